"""What is done to the stack while it works: drawn from a seed, one fault after the other, each noted in a file."""

import contextlib
import random
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from deploy.local.ports import LOOPBACK
from tests.prove.errand.application import MOMENTS
from tests.prove.running import RunningStack

# Longer than a member's session: its partitions are given to others while it is frozen.
FROZEN_SECONDS = 8.0
BLACK_HOLE_SECONDS = 3.0
STORM_SECONDS = 4.0
DIES_WITHIN_SECONDS = 10.0
WORKERS = ("worker-1", "worker-2")
# How often each kind is drawn. A broker takes seconds to come back, and until then nothing else is proved.
WEIGHTS = {
    "kill worker": 30,
    "die inside": 24,
    "freeze worker": 8,
    "storm": 8,
    "cut connections": 10,
    "swallow connections": 4,
    "kill sink": 6,
    "kill store": 4,
    "kill supervisor": 3,
    "kill broker": 2,
    "restart broker": 2,
    "move store": 2,
    "move broker": 1,
}
MOVES_WITHIN_SECONDS = 60.0


@dataclass
class Faults:
    """Does them, those of the given kinds; `counts` tells how often each kind was really done."""

    running: RunningStack
    seed: int
    kinds: tuple[str, ...] = tuple(WEIGHTS)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._log = (self.running.home / "faults.log").open("a")

    @property
    def done(self) -> int:
        """How many faults were done."""
        return self.counts.total()

    def next(self) -> None:
        """Do the next one, and wait until it is over; what cannot be done just now is not counted."""
        kind = self._random.choices(self.kinds, [WEIGHTS[kind] for kind in self.kinds])[0]
        worker = self._random.choice(WORKERS)
        doing: dict[str, Callable[[], bool]] = {
            "kill worker": lambda: self._signal(worker, signal.SIGKILL),
            "die inside": lambda: self._die(self._random.choice(MOMENTS)),
            "freeze worker": lambda: self._freeze(worker, FROZEN_SECONDS),
            "storm": self._storm,
            "cut connections": lambda: self._signal("proxy", signal.SIGKILL),
            "swallow connections": lambda: self._freeze("proxy", BLACK_HOLE_SECONDS),
            "kill sink": lambda: self._signal("sink", signal.SIGKILL),
            "kill store": lambda: self._signal("store", signal.SIGKILL),
            "kill supervisor": lambda: self._signal("supervisor", signal.SIGKILL),
            "kill broker": lambda: self._signal("kafka", signal.SIGKILL),
            "restart broker": lambda: self._signal("kafka", signal.SIGTERM),
            "move store": lambda: self.move("store"),
            "move broker": lambda: self.move("kafka"),
        }
        at = time.time()
        if doing[kind]():
            self.counts[kind] += 1
            self._log.write(f"{at:.3f} {kind} {worker}\n")
            self._log.flush()

    def _signal(self, part: str, number: int) -> bool:
        process = self.running.process(part)
        if process is None:
            return False
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return False
        return True

    def _freeze(self, part: str, seconds: float) -> bool:
        process = self.running.process(part)
        if process is None:
            return False
        try:
            process.suspend()
            time.sleep(seconds)
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
        return True

    def move(self, part: str) -> bool:
        """Kill the part, and listen at its port until the stack has given it another one; whether it has."""
        supervisor, process = self.running.process("supervisor"), self.running.process(part)
        address = {"store": self.running.clickhouse, "kafka": self.running.kafka}[part]
        before = address()
        if supervisor is None or process is None or not before:
            return False
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                # Else it would start the part again before the port is taken.
                supervisor.suspend()
                process.kill()
                is_taken = _within(MOVES_WITHIN_SECONDS, lambda: _listens(stranger, int(before.rpartition(":")[2])))
            except psutil.NoSuchProcess:
                return False
            finally:
                with contextlib.suppress(psutil.NoSuchProcess):
                    supervisor.resume()
            return is_taken and _within(MOVES_WITHIN_SECONDS, lambda: address() not in ("", before))

    def _die(self, moment: str) -> bool:
        self.running.ask_to_die(moment)
        return _within(DIES_WITHIN_SECONDS, lambda: self.running.has_died(moment))

    def _storm(self) -> bool:
        """A worker joins, and leaves: in good order, or not."""
        joined = self.running.extra_worker(f"extra-{self.done}")
        try:
            time.sleep(STORM_SECONDS)
            if self._random.random() < 0.5:
                joined.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    joined.wait(30)
        finally:
            # The proof itself may be stopped meanwhile.
            joined.kill()
            joined.wait()
        return True


def _listens(stranger: socket.socket, port: int) -> bool:
    """Listen at the port; false where who had it has not let it go yet."""
    try:
        stranger.bind((LOOPBACK, port))
        stranger.listen()
    except OSError:
        return False
    return True


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether the condition came to hold within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
