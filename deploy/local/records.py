"""Who we have started, written down: another supervisor, or `soma down`, takes no stranger for it."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from deploy.local.files import read_object, write_whole

# Every program of a stack carries these two in its environment; a pid alone may belong to somebody else by now.
TOKEN_VARIABLE = "SOMA_STACK_TOKEN"
HOME_VARIABLE = "SOMA_HOME"
START_TIME_TOLERANCE_SECONDS = 2.0
SHOWN_SECONDS, SHOWN_POLL_SECONDS = 0.25, 0.005


@dataclass(frozen=True)
class Record:
    """One running part, as written to `SOMA_HOME/run/<name>.json`."""

    name: str
    pid: int
    started_at: float
    token: str
    ports: Mapping[str, int] = field(default_factory=dict)
    wiring: str = ""

    def write(self, path: Path) -> None:
        write_whole(path, asdict(self))


def read_record(path: Path) -> Record | None:
    """The record in a file; `None` where there is none or it cannot be understood."""
    content = read_object(path)
    try:
        return Record(
            name=str(content["name"]),
            pid=int(content["pid"]),
            started_at=float(content["started_at"]),
            token=str(content["token"]),
            ports={str(name): int(port) for name, port in content["ports"].items()},
            wiring=str(content["wiring"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def recorded(run: Path) -> dict[str, Record]:
    """All records of a stack by name, whether or not what they tell of still lives."""
    records = (read_record(path) for path in sorted(run.glob("*.json")))
    return {record.name: record for record in records if record is not None}


def living(record: Record | None) -> psutil.Process | None:
    """What the record tells of, if it still runs and is ours; `None` for a dead one, a zombie and a stranger.

    The token in its environment decides. Where the system does not show environments, the time it was started decides:
    not always, because a clock that was set right moves all start times.
    """
    if record is None:
        return None
    try:
        found = psutil.Process(record.pid)
        if found.status() == psutil.STATUS_ZOMBIE:
            return None
        environment = _environment(found)
        if environment:
            return found if environment.get(TOKEN_VARIABLE) == record.token else None
        return found if abs(found.create_time() - record.started_at) < START_TIME_TOLERANCE_SECONDS else None
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def _environment(program: psutil.Process) -> dict[str, str]:
    """Its environment; empty where the system does not show it. May block for a moment."""
    deadline = time.monotonic() + SHOWN_SECONDS
    while True:
        try:
            environment = program.environ()
        except psutil.AccessDenied:
            return {}
        # Linux shows a program that has just been started without its environment, for a moment.
        if environment or time.monotonic() > deadline:
            return environment
        time.sleep(SHOWN_POLL_SECONDS)


def strays(home: Path, known_tokens: set[str]) -> Iterator[psutil.Process]:
    """What carries our mark but stands in no record: its starter was killed before it could write one."""
    for found in psutil.process_iter():
        try:
            if found.pid == os.getpid() or found.status() == psutil.STATUS_ZOMBIE:
                continue
            environment = found.environ()
        except (psutil.Error, OSError):
            continue
        token = environment.get(TOKEN_VARIABLE)
        if token and token not in known_tokens and environment.get(HOME_VARIABLE) == str(home):
            yield found


def end(processes: list[psutil.Process], timeout_seconds: float) -> None:
    """Ask all to end, wait, and kill those that did not. psutil refuses when a pid has changed its owner meanwhile."""
    for found in processes:
        try:
            found.terminate()
        except psutil.Error:
            continue
    _gone, alive = psutil.wait_procs(processes, timeout=timeout_seconds)
    for found in alive:
        try:
            found.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(alive, timeout=timeout_seconds)
