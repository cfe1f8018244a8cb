"""The embedded stack as the command line sees it: up, down, and how it is."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import filelock
import psutil

from deploy.local.errors import PartNotReady, StackError
from deploy.local.files import read_object
from deploy.local.guardian import start_supervisor
from deploy.local.jars import Report, fetch_jars, listed_jars, wrong_jars
from deploy.local.logs import tail
from deploy.local.places import Places, cache_folder
from deploy.local.records import TOKEN_VARIABLE, end, living, read_record, recorded, strays
from deploy.local.supervisor import SUPERVISOR_COMMAND
from deploy.local.wiring import withdraw_addresses
from producers.secrets import SecretUrl
from producers.settings import Settings

READY_TIMEOUT_SECONDS = 90.0
# The supervisor gives the workers 15 s, the store 15 s and the broker 30 s.
STOP_TIMEOUT_SECONDS = 75.0
POLL_SECONDS = 0.05
SHOWN_LOG_LINES = 15
# What others need is stopped last.
SERVERS = ("kafka", "store", "mail")


@dataclass(frozen=True)
class Stack:
    """One home's stack. Several programs may call this at once; a lock makes them take turns."""

    settings: Settings
    command: Sequence[str] = SUPERVISOR_COMMAND
    places: Places = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", Places.of(self.settings.home))

    def supervisor(self) -> psutil.Process | None:
        """The running supervisor."""
        return living(read_record(self.places.record("supervisor")))

    def runs(self) -> bool:
        """Whether anything of the stack runs, be it without a supervisor."""
        return any(living(record) is not None for record in recorded(self.places.run).values())

    def status(self) -> dict[str, Any]:
        """What the running supervisor last said of its parts; empty where none runs."""
        status = read_object(self.places.status_file)
        supervisor = self.supervisor()
        return status if supervisor is not None and status.get("supervisor") == supervisor.pid else {}

    def fetch(self, report: Report | None = None) -> None:
        """Fetch what the stack needs from outside, if it is not there yet."""
        if self.settings.kafka_bootstrap_servers is None:
            cache = cache_folder(self.places.home)
            if wrong_jars(cache, listed_jars()):
                fetch_jars(cache, report)

    def up(self, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> bool:
        """Start the stack unless it runs, wait until all of it is ready; returns whether it was started just now.

        Raises `PartNotReady` with the part's name and the end of its log, or another `StackError` with its remedy.
        """
        self.places.prepare()
        deadline = time.monotonic() + timeout_seconds
        with self._turn(timeout_seconds + 10):
            running = self.supervisor() is not None
            started: subprocess.Popen[bytes] | None = None
            while not self.status().get("ready"):
                # It may also be ending just now: then another one is wanted.
                if self.supervisor() is None and (started is None or started.poll() is not None):
                    if started is not None and started.returncode != 0:
                        raise PartNotReady(
                            f"the supervisor ended with {started.returncode}:\n{self._log('supervisor')}"
                        )
                    started = self._start()
                if time.monotonic() > deadline:
                    raise PartNotReady(self._why_not_ready(timeout_seconds))
                time.sleep(POLL_SECONDS)
        return not running

    def down(self) -> bool:
        """Stop everything that belongs to this home, in order; returns whether there was anything.

        Also ends what a dead supervisor has left. What is not ours is never touched.
        """
        if not self.places.run.exists():
            return False
        with self._turn(STOP_TIMEOUT_SECONDS + 10):
            found = False
            deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
            while time.monotonic() < deadline:
                supervisor = self.supervisor()
                leftovers = self._leftovers()
                if supervisor is not None:
                    end([supervisor], STOP_TIMEOUT_SECONDS)
                elif leftovers:
                    end(leftovers[0], timeout_seconds=30.0 if len(leftovers) == 1 else 15.0)
                else:
                    self._tidy()
                    return found
                found = True
            raise StackError(f"some parts could not be stopped; see {self.places.logs}")

    def _start(self) -> subprocess.Popen[bytes]:
        # The settings may have been made by a program, not by the environment: what decides about the parts is passed
        # on.
        named = {
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
            "CLICKHOUSE_URL": self.settings.clickhouse_url,
            "SOMA_SMTP_URL": self.settings.smtp_url,
        }
        passed = {
            name: value.get_secret_value() if isinstance(value, SecretUrl) else value
            for name, value in named.items()
            if value is not None
        }
        return start_supervisor(self.places, self.command, passed)

    @contextmanager
    def _turn(self, timeout_seconds: float) -> Iterator[None]:
        lock = filelock.FileLock(self.places.start_lock, timeout=timeout_seconds)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise StackError(
                f"another `soma up` or `soma down` has been at work in {self.places.home} for {timeout_seconds:.0f} s;"
                " run the command again"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _leftovers(self) -> list[list[psutil.Process]]:
        """What is to be ended, in waves: the guardian, whoever needs the servers, the servers."""
        alive = {name: found for name, record in recorded(self.places.run).items() if (found := living(record))}
        known = {record.token for name, record in recorded(self.places.run).items() if name in alive}
        loose = list(strays(self.places.home, known | {os.environ.get(TOKEN_VARIABLE, "")}))
        first = [found for name, found in alive.items() if name in ("guardian", "supervisor")] + loose
        last = [found for name, found in alive.items() if name in SERVERS]
        middle = [found for found in alive.values() if found not in first and found not in last]
        return [wave for wave in (first, middle, last) if wave]

    def _tidy(self) -> None:
        withdraw_addresses(self.places)
        for file in self.places.run.glob("*"):
            if file.suffix in (".json", ".ready"):
                file.unlink(missing_ok=True)

    def _why_not_ready(self, timeout_seconds: float) -> str:
        parts = [part for part in self.status().get("parts", []) if part.get("state") != "running"]
        if not parts:
            return f"the supervisor did not start within {timeout_seconds:.0f} s:\n{self._log('supervisor')}"
        # One that waits for another is not the cause.
        part = next((part for part in parts if part.get("state") != "waiting"), parts[0])
        cause = f" ({part['cause']})" if part.get("cause") else ""
        return (
            f"{part['name']} was not ready within {timeout_seconds:.0f} s: {part['state']}{cause}; the end of"
            f" {self.places.log(part['name'])}:\n{self._log(part['name'])}"
        )

    def _log(self, name: str) -> str:
        lines = tail(self.places.log(name)).decode(errors="replace").splitlines()
        return "\n".join(lines[-SHOWN_LOG_LINES:])
