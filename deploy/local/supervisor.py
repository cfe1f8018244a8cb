"""The supervisor: it starts the parts of the stack in order, starts again what dies, and ends them in order.

It may itself be killed at any time. Its parts live on; the guardian (or the next `soma up`) starts another supervisor,
which recognises them by their records and goes on from there. A lock on a file, which the system lets go at any death,
makes sure that there is one.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import filelock
import psutil

from deploy.local.errors import StackError
from deploy.local.files import write_whole
from deploy.local.logs import bound
from deploy.local.parts import Part, embedded_parts, guardian_part
from deploy.local.places import Places
from deploy.local.ports import is_free
from deploy.local.records import TOKEN_VARIABLE, Record, end, living, recorded, strays
from deploy.local.watched import Report, Watched
from deploy.local.wiring import DEFAULT_PORTS, choose_ports, remembered_ports, wire, withdraw_addresses, write_addresses
from producers.settings import Settings

SUPERVISOR_COMMAND = (sys.executable, "-P", "-m", "deploy.local.supervisor")
LOCK_TIMEOUT_SECONDS = 5.0
PAUSE_SECONDS = 0.1
LOG_CHECK_SECONDS = 30.0
STRAY_TIMEOUT_SECONDS = 10.0

logger = logging.getLogger(__name__)


class Supervisor:
    """Keeps the given parts running until told to stop."""

    def __init__(self, settings: Settings, parts: Sequence[Part], command: Sequence[str] = SUPERVISOR_COMMAND) -> None:
        self.settings = settings
        self.places = Places.of(settings.home)
        self.watched = [Watched(part) for part in (*parts, guardian_part(tuple(command)))]
        self.stopping = threading.Event()
        self._wiring = wire(settings, self.places, DEFAULT_PORTS)
        self._introduced = False
        self._published: dict[str, object] = {}
        self._logged: dict[str, Report] = {}
        self._logs_checked_seconds = 0.0

    def run(self) -> int:
        """Supervise until told to stop, then stop all parts. Returns at once when another supervisor is at work."""
        lock = filelock.FileLock(self.places.supervisor_lock, timeout=LOCK_TIMEOUT_SECONDS)
        try:
            lock.acquire()
        except filelock.Timeout:
            logger.info("another supervisor is at work")
            return 0
        mark = self.places.supervisor_lock.stat().st_ino
        self.take_over()
        while not self.stopping.wait(PAUSE_SECONDS):
            if not self._home_is_ours(mark):
                logger.error("%s is gone: stopping", self.places.home)
                break
            self.look_after(time.monotonic())
        self.stop_all()
        lock.release()
        return 0

    def look_after(self, now_seconds: float) -> None:
        """One round: observe every part, start what is due, tell the world."""
        if not self._introduced:
            self._introduced = self._introduce()
        for watched in self.watched:
            watched.observe(self._wiring, now_seconds)
        ready = {watched.part.name for watched in self.watched if watched.ready}
        for watched in self.watched:
            if watched.due(ready.issuperset(watched.part.needs), now_seconds):
                self._start(watched, now_seconds)
        self._publish()
        if now_seconds - self._logs_checked_seconds > LOG_CHECK_SECONDS:
            self._logs_checked_seconds = now_seconds
            for log in self.places.logs.glob("*.log"):
                bound(log)

    def stop_all(self) -> None:
        """Stop the guardian, then whoever needs others, then what they needed: workers never outlive the broker."""
        remaining = list(self.watched)
        # Whoever asks from now on must not hear that all is well.
        self.places.status_file.unlink(missing_ok=True)
        guardians = [watched for watched in remaining if watched.part.name == "guardian"]
        self._stop(guardians)
        remaining = [watched for watched in remaining if watched not in guardians]
        while remaining:
            needed = {name for watched in remaining for name in watched.part.needs}
            free = [watched for watched in remaining if watched.part.name not in needed] or remaining
            self._stop(free)
            remaining = [watched for watched in remaining if watched not in free]
        withdraw_addresses(self.places)
        self.places.record("supervisor").unlink(missing_ok=True)

    def _start(self, watched: Watched, now_seconds: float) -> None:
        ports = self._wiring.ports
        taken = {port for port in watched.part.ports if not is_free(ports[port])}
        if taken:
            logger.warning(
                "%s: the port for %s is taken by a stranger; choosing another", watched.part.name, sorted(taken)
            )
            keep = {name: port for name, port in ports.items() if name not in taken}
            self._use(choose_ports(keep, remembered={}))
        watched.start(self._wiring, now_seconds)

    def _stop(self, stopping: Sequence[Watched]) -> None:
        children = [watched.child for watched in stopping if watched.child is not None]
        for child in children:
            child.ask_to_end()
        deadline = time.monotonic() + max((watched.part.stop_timeout_seconds for watched in stopping), default=0.0)
        while any(child.alive() for child in children) and time.monotonic() < deadline:
            time.sleep(0.02)
        for watched in stopping:
            if (stopped := watched.child) is not None:
                in_order = not stopped.alive()
                stopped.kill()
                logger.info("%s: stopped%s", watched.part.name, "" if in_order else ", killed after its time was up")
                if in_order and stopped.exit_code is not None and watched.part.ended_well is not None:
                    watched.part.ended_well(self._wiring)
            watched.forget(self._wiring)

    def _introduce(self) -> bool:
        """Write our own record; on a full disk that must wait, and the parts must not."""
        token = os.environ.get(TOKEN_VARIABLE, "")
        record = Record("supervisor", os.getpid(), psutil.Process().create_time(), token)
        try:
            record.write(self.places.record("supervisor"))
        except (StackError, OSError) as error:
            logger.error("%s", error)
            return False
        return True

    def take_over(self) -> None:
        """Adopt what lives, end what is ours but in no record, keep the ports that are in use or were last time."""
        records = {name: record for name, record in recorded(self.places.run).items() if living(record) is not None}
        parts = {watched.part.name for watched in self.watched}
        known = {record.token for name, record in records.items() if name in parts}
        end(list(strays(self.places.home, known)), STRAY_TIMEOUT_SECONDS)
        in_use = {port: number for name in parts & records.keys() for port, number in records[name].ports.items()}
        self._use(choose_ports(in_use, remembered_ports(self.places)))
        for watched in self.watched:
            watched.adopt(self._wiring)
            if watched.child is not None:
                logger.info("%s: adopted, pid %s", watched.part.name, watched.child.pid)

    def _use(self, ports: Mapping[str, int]) -> None:
        self._wiring = wire(self.settings, self.places, ports)
        error = write_addresses(self._wiring, {watched.part.name for watched in self.watched})
        if error is not None:
            logger.error("%s", error)

    def _publish(self) -> None:
        reports = [asdict(watched.report) for watched in self.watched]
        status: dict[str, object] = {
            "supervisor": os.getpid(),
            "ready": all(watched.ready for watched in self.watched),
            "parts": reports,
        }
        if status == self._published:
            return
        for watched in self.watched:
            if watched.report != self._logged.get(watched.part.name):
                self._logged[watched.part.name] = watched.report
                cause = f" ({watched.report.cause})" if watched.report.state == "backing off" else ""
                logger.info("%s: %s%s", watched.part.name, watched.report.state, cause)
        try:
            write_whole(self.places.status_file, status)
            self._published = status
        except (StackError, OSError) as error:
            logger.error("%s", error)

    def _home_is_ours(self, mark: int) -> bool:
        """Whether the lock we hold is still the one that others would try: somebody may have removed the folder."""
        try:
            return self.places.supervisor_lock.stat().st_ino == mark
        except OSError:
            return False


def supervise(settings: Settings, parts: Sequence[Part], command: Sequence[str] = SUPERVISOR_COMMAND) -> int:
    """Run a supervisor in this program until SIGTERM. `command` is how the guardian starts it again."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    supervisor = Supervisor(settings, parts, command)
    signal.signal(signal.SIGTERM, lambda number, frame: supervisor.stopping.set())
    try:
        return supervisor.run()
    except StackError as error:
        logger.error("%s", error)
        return error.exit_code


if __name__ == "__main__":
    chosen = Settings()
    sys.exit(supervise(chosen, embedded_parts(chosen)))
