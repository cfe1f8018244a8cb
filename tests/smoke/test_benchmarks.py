"""`make bench` with numbers so small that nothing can be said of them: every figure is there."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.benchmarks.results import TOLD


def measured(*words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks", "--brief", *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert ended.returncode == 0, ended.stderr[-3_000:]
    figures: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    assert set(figures) == set(TOLD)
    return figures


def test_a_part_is_measured_alone() -> None:
    figures = measured("--only", "hop")
    assert {name for name, value in figures.items() if value is not None} == {"hop_ratio", "hops_per_second"}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_every_figure_is_measured() -> None:
    assert [name for name, value in measured().items() if value is None] == []
