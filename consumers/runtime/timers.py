"""PURE: when items are due. Times are seconds of the broker's clock, given from outside.

The index alone answers: no journal is decoded to find what is due, or what is no longer wanted.
"""

import heapq
from collections.abc import Iterator, Mapping

Mark = tuple[str, str]

THINNED_FROM = 1_000
NONE: Mapping[str, float] = {}


class Timers:
    """Which item is due when: an item is named by its saga's id and its own, its `Mark`. An item has one timer."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Mark]] = []
        self._by_saga: dict[str, dict[str, float]] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many timers are set."""
        return self._count

    @property
    def held(self) -> int:
        """How many are held in memory; more than are set, until those that were dropped are thinned out."""
        return len(self._heap)

    def __contains__(self, saga_id: str) -> bool:
        """Whether a timer of the saga is set."""
        return saga_id in self._by_saga

    def keep(self, saga_id: str, dues: Mapping[str, float]) -> None:
        """Set the saga's timers, by item id; any other timer of the saga is dropped."""
        for item_id in self._by_saga.get(saga_id, NONE).keys() - dues.keys():
            self._drop((saga_id, item_id))
        for item_id, due in dues.items():
            self.set(due, (saga_id, item_id))

    def set(self, due: float, mark: Mark) -> None:
        """Have the item fire at `due`, and no more at the time before; setting the same timer again changes nothing."""
        timers = self._by_saga.setdefault(mark[0], {})
        before = timers.get(mark[1])
        if before != due:
            self._count += before is None
            timers[mark[1]] = due
            heapq.heappush(self._heap, (due, mark))
            self._thin()

    def fired(self, now: float) -> Iterator[Mark]:
        """Every item whose timer is due, the earliest first; each once."""
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)
            if self._is_set(timer):
                self._drop(timer[1])
                yield timer[1]

    def due(self, now: float) -> list[Mark]:
        """Every item whose timer is due, in no order; the timers stay set."""
        return [timer[1] for timer in self._heap if timer[0] <= now and self._is_set(timer)]

    def next_due(self) -> float | None:
        """When the next timer is due."""
        while self._heap and not self._is_set(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _is_set(self, timer: tuple[float, Mark]) -> bool:
        due, (saga_id, item_id) = timer
        return self._by_saga.get(saga_id, NONE).get(item_id) == due

    def _drop(self, mark: Mark) -> None:
        timers = self._by_saga[mark[0]]
        del timers[mark[1]]
        self._count -= 1
        if not timers:
            del self._by_saga[mark[0]]

    def _thin(self) -> None:
        """Once most of the heap was dropped or has moved its time, make it again."""
        if len(self._heap) > THINNED_FROM + 2 * self._count:
            self._heap = [
                (due, (saga_id, item_id)) for saga_id, dues in self._by_saga.items() for item_id, due in dues.items()
            ]
            heapq.heapify(self._heap)
