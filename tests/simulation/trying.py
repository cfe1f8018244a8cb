"""A copy of the source trees with one deliberate bug in it, and whether the simulation finds the bug there."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.bugs import Bug

ROOT = Path(__file__).parents[2]
TREES = ("schemas", "producers", "consumers", "compensations", "deploy", "tests")
DECIDED_SECONDS = 240.0
TRIED_AT_ONCE = 2


class DoesNotApply(Exception):
    """The code has moved on from under a bug."""


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant: caught or not, by what, and how long that took."""

    name: str
    is_caught: bool
    words: str
    seconds: float


def tried(bug: Bug) -> Verdict:
    """Put the bug into a copy and run the budget there; `DoesNotApply` where the code has moved on from under it.

    A copy that comes to no end proves nothing: it is not caught.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as copy:
        for tree in TREES:
            shutil.copytree(
                ROOT / tree, Path(copy) / tree, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
            )
        (Path(copy) / bug.path).write_text(applied(bug))
        began = time.monotonic()
        command = [sys.executable, "-m", "tests.simulation.budget"]
        environment = {**os.environ, "PYTHONPATH": copy, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            ended = subprocess.run(
                command, cwd=copy, env=environment, capture_output=True, text=True, timeout=DECIDED_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return Verdict(bug.name, False, "came to no end", time.monotonic() - began)
        words = (ended.stdout.strip() or ended.stderr.strip()[-500:]).splitlines()
        return Verdict(bug.name, ended.returncode != 0, words[-1] if words else "", time.monotonic() - began)


def applied(bug: Bug) -> str:
    """The module's text with the bug in it; `DoesNotApply` unless the text that it replaces stands there once."""
    text = (ROOT / bug.path).read_text()
    if text.count(bug.old) != 1:
        raise DoesNotApply(f"{bug.name}: {bug.path} has {text.count(bug.old)} times {bug.old!r}")
    return text.replace(bug.old, bug.new)
