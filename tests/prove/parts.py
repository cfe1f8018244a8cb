"""The parts of the proof: each is a program of its own, has its time, and whatever becomes of it, the next one runs.

A part's last line on stdout is one JSON object; its exit code is 0 where nothing is wrong.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

# What a part that is asked to stop needs to take down its stack.
STOP_SECONDS = 150.0


@dataclass(frozen=True)
class Part:
    """One program: `python -m MODULE ARGUMENTS`, ended when `limit_seconds` have passed."""

    name: str
    module: str
    arguments: tuple[str, ...]
    limit_seconds: float


@dataclass(frozen=True)
class Outcome:
    """What a part told, how long it took, and why it counts as failed (empty: it does not)."""

    name: str
    told: dict[str, Any]
    seconds: float
    failure: str = ""


def all_run(parts: Iterable[Part], limit_seconds: float, tell: Callable[[str], None]) -> list[Outcome]:
    """Run the parts one after the other; together they get `limit_seconds`."""
    until = time.monotonic() + limit_seconds
    outcomes = []
    for part in parts:
        seconds = min(part.limit_seconds, until - time.monotonic())
        tell(f"== {part.name}: at most {max(seconds, 0.0):.0f} s")
        outcome = run(part, seconds) if seconds > 0 else Outcome(part.name, {}, 0.0, "no time was left for it")
        tell(f"== {part.name}: {outcome.seconds:.0f} s, {outcome.failure or 'well'}")
        outcomes.append(outcome)
    return outcomes


def run(part: Part, limit_seconds: float) -> Outcome:
    """Run one part to its end, or until its time is up."""
    began = time.monotonic()
    command = [sys.executable, "-m", part.module, *part.arguments]
    # In a session of its own, so that nothing of it is left where it has to be killed.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        try:
            stdout, is_late = _stdout_of(running, limit_seconds)
        except BaseException:
            _stopped(running)
            raise
    told, failure = told_in(stdout), ""
    if is_late:
        failure = f"it was not done after {limit_seconds:.0f} s"
    elif running.returncode != 0:
        failure = f"it ended with {running.returncode}"
    elif not told:
        failure = "it told nothing"
    return Outcome(part.name, told, time.monotonic() - began, failure)


def _stdout_of(running: "subprocess.Popen[str]", limit_seconds: float) -> tuple[str, bool]:
    """What it wrote, and whether it had to be stopped."""
    try:
        return running.communicate(timeout=limit_seconds)[0], False
    except subprocess.TimeoutExpired:
        return _stopped(running), True


def _stopped(running: "subprocess.Popen[str]") -> str:
    """Ask it to stop (SIGTERM), and kill it with all that it started where it does not; what it wrote."""
    running.terminate()
    try:
        return running.communicate(timeout=STOP_SECONDS)[0]
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        return running.communicate()[0]


def told_in(stdout: str) -> dict[str, Any]:
    """The JSON object in the last line; empty where there is none."""
    lines = stdout.strip().splitlines()
    try:
        told = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def stoppable() -> None:
    """Make SIGTERM end this program as an exception would, so that what it started is taken down."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
