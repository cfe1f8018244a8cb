"""Whether a lane's worker may still act for it: a frozen process that wakes up must not act on what it has lost.

A member of a group loses its partitions only once the broker has had no heartbeat of it for the session timeout. So
until that time has passed since the member sent its last successful heartbeat, no other worker can have opened its
lanes. The caller asks before each call of a port, and whenever an attempt goes on after an await. A request that is on
the wire already cannot be called back; the successor waits for its effect (see `former_life`).

Limit: a member that an operator removes from its group loses its partitions at once, and finds out by its next
heartbeat.
"""

import time
from collections.abc import Callable

from consumers.runtime.transport import Clock


class NotOwned(BaseException):
    """The attempt may not go on: it is no longer known that this worker owns the lane. No step should catch it."""


def elapsed() -> float:
    """Return seconds that go on while the process is stopped and, on Linux, while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Membership:
    """The proof that a worker still is a member of its group; lasts `session_seconds` from each `prove`."""

    def __init__(self, session_seconds: float, clock: Clock = elapsed) -> None:
        self._session_seconds, self._clock = session_seconds, clock
        self._until = float("-inf")

    def now(self) -> float:
        """Return the time, as `prove` takes it."""
        return self._clock()

    def prove(self, sent_at: float) -> None:
        """The broker has answered a heartbeat that was sent at that time."""
        self._until = max(self._until, sent_at + self._session_seconds)

    def is_proved(self) -> bool:
        """Return whether no other member can have got this one's partitions by now."""
        return self._clock() < self._until


class Lease:
    """What one life of a lane holds: good while `owns` says so, until it is given back."""

    def __init__(self, owns: Callable[[], bool]) -> None:
        self._owns = owns
        self._is_over = False

    def give_back(self) -> None:
        """End the lease, whatever still runs."""
        self._is_over = True

    def is_held(self) -> bool:
        """Return whether the worker may act."""
        return not self._is_over and self._owns()

    def check(self) -> None:
        """Raise `NotOwned` unless the worker may act."""
        if not self.is_held():
            raise NotOwned


# For a caller outside of a lane: a rehearsal, a test of one step.
ALWAYS = Lease(lambda: True)
