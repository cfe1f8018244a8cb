"""PURE: when items are due. Times are seconds of the broker's clock, given from outside."""

import heapq
from collections.abc import Callable, Iterator

Mark = tuple[str, str]

THINNED_FROM = 1_000


class Timers:
    """Which item is due when: an item is named by its saga's id and its own, its `Mark`."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Mark]] = []
        self._set: set[tuple[float, Mark]] = set()
        self._thinned_at = THINNED_FROM

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, due: float, mark: Mark) -> None:
        """Have the item fire at `due`; setting the same timer again changes nothing."""
        timer = (due, mark)
        if timer not in self._set:
            self._set.add(timer)
            heapq.heappush(self._heap, timer)

    def fired(self, now: float) -> Iterator[Mark]:
        """Every item whose timer is due, the earliest first; each once. It may long have ended or moved its time."""
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)
            self._set.discard(timer)
            yield timer[1]

    def next_due(self) -> float | None:
        """When the next timer is due."""
        return self._heap[0][0] if self._heap else None

    def thin(self, due_of: Callable[[Mark], float | None]) -> None:
        """Forget the timers of items that have ended or moved their time; `due_of` tells when an item is due, if it is.

        It looks through them only when they have become twice as many as it last left.
        """
        if len(self._heap) >= self._thinned_at:
            self._heap = [timer for timer in self._heap if due_of(timer[1]) == timer[0]]
            heapq.heapify(self._heap)
            self._set = set(self._heap)
            self._thinned_at = THINNED_FROM + 2 * len(self._heap)
