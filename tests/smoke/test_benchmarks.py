"""`make bench` with numbers so small that nothing can be said of them: every figure is there."""

import json
import subprocess
import sys

from tests.benchmarks.results import TOLD


def test_every_figure_is_measured() -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "--brief"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert ended.returncode == 0, ended.stderr[-3_000:]
    figures = json.loads(ended.stdout.splitlines()[-1])
    assert set(figures) == set(TOLD)
    assert [name for name, value in figures.items() if value is None] == []
