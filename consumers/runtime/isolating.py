"""PURE: how a lane goes on that is lost again and again: after what pause, and how much it takes at once.

The pause grows until there is progress. After some losses of a kind that an input can cause, fewer and fewer inputs
are taken per transaction, until one is left that is lost each time. It is given up, and the lane takes more again.
"""

import random
from collections.abc import Callable

from aiokafka.errors import KafkaError

from consumers.runtime.timers import Mark
from producers.errors import SomaError, Uncommittable

FIRST_PAUSE_SECONDS = 0.05
PAUSE_SECONDS_MAX = 8.0
# The rounds that find one input are few.
ISOLATING_PAUSE_SECONDS_MAX = 1.0
# A lane that was lost is well again when it has lived so long.
WELL_AFTER_SECONDS = 10.0
LOSSES_BEFORE_ISOLATING = 3
TAKEN_AT_ONCE_MAX = 512

# Where a record stands: topic, partition and offset.
Place = tuple[str, int, int]


class Isolation:
    """What one lane remembers from life to life of how it was lost."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._losses = self._caused = 0
        self._taken = self._under_way = 0
        self._last: Place | Mark | None = None
        self._suspected: Place | Mark | None = None
        self._error = ""
        self.at_once: int | None = None
        self.refused: dict[Place, str] = {}
        self.condemned: dict[Mark, str] = {}

    @property
    def cause(self) -> str:
        """Why the lane does not get on though the cluster is well, or nothing."""
        return f"was lost {self._caused} times over what it reads or says: {self._error}" if self._caused > 1 else ""

    def take(self, one: Place | Mark, count: int = 1) -> None:
        """So many inputs were taken, this one last: a record that was read, or the end of an item."""
        self._taken += count
        self._last = one

    def left(self) -> int | None:
        """How many inputs may be taken before the next transaction; None for any number."""
        return None if self.at_once is None else self.at_once - self._taken

    def begins(self) -> None:
        """A transaction begins with all that was taken."""
        self._under_way, self._taken = self._taken, 0

    def committed(self, is_progress: bool) -> None:
        """It is committed; `is_progress` if the lane has got on by it."""
        if self.at_once is not None and self._under_way:
            self.at_once = self.at_once * 2 if self.at_once < TAKEN_AT_ONCE_MAX else None
        self._under_way = 0
        if is_progress and not self._caused:
            self._calm()

    def lived(self, seconds: float) -> None:
        """The lane has been open for so long."""
        if self._losses and seconds > WELL_AFTER_SECONDS:
            self._caused, self._suspected = 0, None
            # What was given up is committed by now; an operator may have it tried again.
            self.refused.clear()
            self.condemned.clear()
            self._calm()

    def _calm(self) -> None:
        self._losses, self._pause_seconds, self._error = 0, FIRST_PAUSE_SECONDS, ""

    def lost(self, error: Exception) -> float:
        """The lane was lost; returns how many seconds it waits until it opens again."""
        self._losses += 1
        self._error = f"{type(error).__name__}: {error}"
        count, self._under_way, self._taken = self._under_way + self._taken, 0, 0
        if may_be_caused_by_input(error):
            self._caused += 1
            if self._caused >= LOSSES_BEFORE_ISOLATING:
                self._narrow(count)
        longest = PAUSE_SECONDS_MAX if self.at_once is None else ISOLATING_PAUSE_SECONDS_MAX
        pause_seconds = min(longest, self._pause_seconds)
        self._pause_seconds = min(PAUSE_SECONDS_MAX, self._pause_seconds * 2)
        return pause_seconds * (0.5 + self._jitter() / 2)

    def _narrow(self, count: int) -> None:
        if count > 1:
            self.at_once = count // 2
            return
        self.at_once = 1
        if count == 1 and self._last is not None:
            if self._last == self._suspected:
                self._give_up(self._last)
            self._suspected = self._last

    def _give_up(self, one: Place | Mark) -> None:
        """The lane was lost twice over this input alone."""
        cause = f"the lane could not go on with it: {self._error}"
        if len(one) == 3:
            self.refused[one] = cause
        else:
            self.condemned[one] = cause


def may_be_caused_by_input(error: Exception) -> bool:
    """Whether what was read or said may be the cause: a record that is refused, or a mistake of ours over one."""
    return isinstance(error, Uncommittable) or not isinstance(error, KafkaError | OSError | TimeoutError | SomaError)
