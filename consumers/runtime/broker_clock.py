"""The broker's clock, as a worker can tell it: timers and deadlines follow it, whatever this machine's clock does.

The worker counts on from its own clock, monotonically, and corrects itself by each answer in which a broker tells when
it has appended something: that moment lies between the request and the answer (as in NTP, RFC 5905 section 8).
"""

import time

from consumers.runtime.transport import Clock

# A broker tells milliseconds, cut off.
TOLD_SECONDS = 0.001


class BrokerClock:
    """Call it for seconds since the epoch. It steps only as far as an answer of a broker makes it."""

    def __init__(self, wall: Clock = time.time, monotonic: Clock = time.monotonic) -> None:
        self.monotonic = monotonic
        self._offset = wall() - monotonic()
        self._is_told = False

    def __call__(self) -> float:
        return self.monotonic() + self._offset

    def is_told(self) -> bool:
        """Return whether a broker has told the time; until then it is this machine's, which may be wrong."""
        return self._is_told

    def observe(self, at: float, asked: float, answered: float) -> None:
        """A broker's clock showed `at` at some moment between these two of `monotonic`."""
        self._offset = min(max(self._offset, at - answered), at + TOLD_SECONDS - asked)
        self._is_told = True
