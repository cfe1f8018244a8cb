"""A running part: one that we started, or one that a supervisor before us did."""

import contextlib
import os
import subprocess
import uuid
from collections.abc import Callable, Mapping

import psutil

from deploy.local.errors import explained
from deploy.local.kafka import Launch
from deploy.local.logs import bound
from deploy.local.places import Places
from deploy.local.records import HOME_VARIABLE, TOKEN_VARIABLE, Record, living, read_record

# Each holds a path, or several: where modules, downloads and certificates are.
PATH_VARIABLES = frozenset(
    {"PYTHONPATH", "SOMA_CACHE", "SOMA_KAFKA_SECURITY__CA_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR"}
)


class Child:
    """Holds on to a running program by what is written in its record."""

    def __init__(self, record: Record, running: psutil.Process, started: subprocess.Popen[bytes] | None) -> None:
        self.record = record
        self._running = running
        self._started = started

    @property
    def pid(self) -> int:
        return self.record.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; `None` while it lives, and for one that somebody else started."""
        return self._started.poll() if self._started is not None else None

    def alive(self) -> bool:
        """Whether it still runs; collects the exit code of a child of our own, so that none stays a zombie."""
        if self._started is not None:
            return self._started.poll() is None
        return living(self.record) is not None

    def ask_to_end(self) -> None:
        if self.alive():
            _unless_ended(self._running.terminate)

    def kill(self) -> None:
        if self.alive():
            _unless_ended(self._running.kill)
        if self._started is not None:
            self._started.wait()


def _unless_ended(action: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.Error):
        action()


def spawn(name: str, launch: Launch, places: Places, token: str) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, marked with `token`, its output in its log.

    It holds on to nothing of ours: neither the terminal nor a pipe that somebody waits at. Raises `DiskFull` or
    `HomeUnusable`.
    """
    log = places.log(name)
    bound(log)
    with explained(log):
        output = log.open("ab")
    with output:
        return subprocess.Popen(
            launch.command,
            # Not where the caller stands: that folder may be removed, and no program starts in one that is gone.
            cwd=launch.folder or places.home,
            env={
                **absolute(os.environ),
                **launch.environment,
                HOME_VARIABLE: str(places.home),
                TOKEN_VARIABLE: token,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def absolute(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with its relative paths made absolute, for a program that stands in another folder."""
    found = dict(environment)
    for name in PATH_VARIABLES & found.keys():
        with contextlib.suppress(OSError):
            found[name] = os.pathsep.join(
                os.path.abspath(path) if path else path for path in found[name].split(os.pathsep)
            )
    return found


def start_child(name: str, launch: Launch, places: Places, ports: Mapping[str, int], wiring: str) -> Child:
    """Start a program and write its record.

    A program whose record cannot be written is ended at once: nobody could find it again. Raises `DiskFull` or
    `HomeUnusable`.
    """
    token = uuid.uuid4().hex
    started = spawn(name, launch, places, token)
    try:
        running = psutil.Process(started.pid)
        record = Record(name, started.pid, running.create_time(), token, ports, wiring)
        record.write(places.record(name))
    except BaseException:
        started.kill()
        started.wait()
        raise
    return Child(record, running, started)


def adopt_child(name: str, places: Places) -> Child | None:
    """The program that a supervisor before us started under this name, if it still runs."""
    record = read_record(places.record(name))
    running = living(record)
    return Child(record, running, None) if record is not None and running is not None else None
