"""A copy of the source trees with one deliberate bug in it, and which judge finds the bug there.

A written bug is judged by the simulation first. A made mutant is judged by the module's own unit tests first, then by
all unit tests of the engine: each of these finds it sooner than the simulation, which judges what they do not find.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.bugs import Bug

ROOT = Path(__file__).parents[2]
TREES = ("schemas", "producers", "consumers", "compensations", "deploy", "tests")
# The unit tests take their settings from it.
FILES = ("pyproject.toml",)
DECIDED_SECONDS = 100.0
TRIED_AT_ONCE = 2
SIMULATION, OWN_TESTS, UNIT_TESTS = "simulation", "module's own tests", "unit tests"
# A test that hangs is stopped by this program's own limit, and then the mutant is not caught.
PYTEST = ("-m", "pytest", "-q", "-x", "--timeout=0", "-p", "no:cacheprovider", "-p", "no:randomly")
JUDGES = (SIMULATION, OWN_TESTS, UNIT_TESTS)
QUICK_JUDGES = (OWN_TESTS, UNIT_TESTS, SIMULATION)
UNIT_FOLDERS = ("tests/unit/consumers/runtime", "tests/unit/consumers/tracker")


class DoesNotApply(Exception):
    """The code has moved on from under a bug."""


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant: which judge caught it (none: it survived), by what, and how long that took."""

    name: str
    caught_by: str
    words: str
    seconds: float

    @property
    def is_caught(self) -> bool:
        """Whether a judge found it."""
        return bool(self.caught_by)


def tried(bug: Bug, judges: Iterable[str] = JUDGES) -> Verdict:
    """Put the bug into a copy and let the judges look; `DoesNotApply` where the code has moved on from under it.

    A copy that comes to no end proves nothing: that judge has not caught it.
    """
    began = time.monotonic()
    words = ""
    with tempfile.TemporaryDirectory(prefix="mutant-") as copy:
        _copied(bug, Path(copy))
        for judge in judges:
            for command in commands(judge, bug):
                is_found, words = _judged(Path(copy), command)
                if is_found:
                    return Verdict(bug.name, judge, words, time.monotonic() - began)
    return Verdict(bug.name, "", words, time.monotonic() - began)


def commands(judge: str, bug: Bug) -> Iterator[tuple[str, ...]]:
    """What the judge runs, one after the other."""
    if judge == SIMULATION:
        yield "-m", "tests.simulation.budget"
    elif judge == UNIT_TESTS:
        yield *PYTEST, *UNIT_FOLDERS
    else:
        found = [path for folder in UNIT_FOLDERS for path in (ROOT / folder).glob(f"test_{Path(bug.path).stem}*.py")]
        if found:
            yield *PYTEST, *sorted(str(path.relative_to(ROOT)) for path in found)


def _copied(bug: Bug, copy: Path) -> None:
    # With what Python has compiled of it: a judge then compiles the changed module only, and takes seconds less.
    for tree in TREES:
        shutil.copytree(ROOT / tree, copy / tree, ignore=shutil.ignore_patterns("node_modules"))
    for name in FILES:
        shutil.copy(ROOT / name, copy / name)
    (copy / bug.path).write_text(applied(bug))


def _judged(copy: Path, command: tuple[str, ...]) -> tuple[bool, str]:
    """Whether this judge finds something wrong in the copy, and its last words."""
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    # In a session of its own: what it has started ends with it, where the time is up.
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=copy,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as running:
        try:
            told, _ = running.communicate(timeout=DECIDED_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            return False, "came to no end"
    words = [line for line in told.splitlines() if line.strip()]
    return running.returncode != 0, words[-1][-500:] if words else ""


def applied(bug: Bug) -> str:
    """The module's text with the bug in it; `DoesNotApply` unless the text that it replaces stands there once."""
    text = (ROOT / bug.path).read_text()
    if text.count(bug.old) != 1:
        raise DoesNotApply(f"{bug.name}: {bug.path} has {text.count(bug.old)} times {bug.old!r}")
    return text.replace(bug.old, bug.new)
