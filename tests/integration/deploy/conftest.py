"""Real stacks in a folder of the test's own; what was started is stopped whatever happens."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local.stack import Stack
from producers.settings import Settings

SMALL_STACK = Path(__file__).with_name("small_stack.py")
Until = Callable[..., None]
MakeStack = Callable[..., Stack]
PidOf = Callable[[Stack, str], int | None]
Kill = Callable[[Stack, str], int]


@pytest.fixture(autouse=True)
def nothing_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "KAFKA_BOOTSTRAP_SERVERS",
        "SOMA_KAFKA__BOOTSTRAP_SERVERS",
        "CLICKHOUSE_URL",
        "SOMA_SMTP_URL",
        "SOMA_HOME",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def until() -> Until:
    """Wait for a condition, not for a time; fails with what it last was."""

    def wait(condition: Callable[[], object], timeout_seconds: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not (last := condition()):
            assert time.monotonic() < deadline, f"not within {timeout_seconds} s: {last!r}"
            time.sleep(0.05)

    return wait


@pytest.fixture
def make_stack(tmp_path: Path) -> Iterator[MakeStack]:
    """A stack of the named parts of `small_stack.py`; the same home each time it is asked for in one test."""
    made: list[Stack] = []

    def make(*parts: str, home: Path | None = None) -> Stack:
        command = (sys.executable, "-P", str(SMALL_STACK), *parts)
        made.append(Stack(Settings(home=home or tmp_path / "home"), command))
        return made[-1]

    yield make
    for stack in made:
        stack.down()


@pytest.fixture
def pid_of() -> PidOf:
    """The pid of a running part; `None` while it is not running."""

    def look(stack: Stack, name: str) -> int | None:
        if name == "supervisor":
            supervisor = stack.supervisor()
            return supervisor.pid if supervisor is not None and stack.status() else None
        parts = stack.status().get("parts", [])
        return next((part["pid"] for part in parts if part["name"] == name and part["state"] == "running"), None)

    return look


@pytest.fixture
def kill(pid_of: PidOf) -> Kill:
    """End a part as a power cut would, and give the pid it had."""

    def end(stack: Stack, name: str) -> int:
        pid = pid_of(stack, name)
        assert pid is not None
        dying = psutil.Process(pid)
        dying.kill()
        # Nobody may have collected it yet; it is dead all the same.
        while dying.is_running() and dying.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        return pid

    return end
