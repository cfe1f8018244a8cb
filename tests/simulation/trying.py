"""A copy of the source trees with one deliberate bug in it, and whether the simulation finds the bug there."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
MUTATIONS = Path(__file__).parent / "mutations"
TREES = ("schemas", "producers", "consumers", "compensations", "deploy", "tests")
DECIDED_SECONDS = 90.0
TRIED_AT_ONCE = 2


class DoesNotApply(Exception):
    """The code has moved on from under a patch."""


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant: caught or not, by what, and how long that took."""

    name: str
    is_caught: bool
    words: str
    seconds: float


def tried(name: str, patch: str) -> Verdict:
    """Apply the patch to a copy and run the budget there; `DoesNotApply` where it does not.

    A copy that hangs is caught as well: the code as it is decides in a fraction of the time.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as copy:
        for tree in TREES:
            shutil.copytree(
                ROOT / tree, Path(copy) / tree, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
            )
        _apply(name, patch, copy)
        began = time.monotonic()
        command = [sys.executable, "-m", "tests.simulation.budget"]
        environment = {**os.environ, "PYTHONPATH": copy, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            ended = subprocess.run(
                command, cwd=copy, env=environment, capture_output=True, text=True, timeout=DECIDED_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return Verdict(name, True, "came to no end", time.monotonic() - began)
        words = (ended.stdout.strip() or ended.stderr.strip()[-500:]).splitlines()
        return Verdict(name, ended.returncode != 0, words[-1] if words else "", time.monotonic() - began)


def applies(name: str, patch: str) -> None:
    """`DoesNotApply` where the code has moved on from under the patch."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as copy:
        shutil.copytree(ROOT / "consumers", Path(copy) / "consumers", ignore=shutil.ignore_patterns("__pycache__"))
        _apply(name, patch, copy)


def kept() -> list[tuple[str, str]]:
    """The names and texts of the patches in the repository."""
    return [(path.stem, path.read_text()) for path in sorted(MUTATIONS.glob("*.patch"))]


def _apply(name: str, patch: str, copy: str) -> None:
    # Outside of any repository, so that a path is one below the copy.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(Path(copy).parent)}
    applied = subprocess.run(
        ["git", "apply", "-p1", "-"],
        cwd=copy,
        input=patch,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if applied.returncode != 0:
        raise DoesNotApply(f"{name}: {applied.stderr.strip()}")
