"""PURE: read barriers. A command or a deadline is judged only once all is heard that stood in the log by then."""

from collections import deque
from collections.abc import Collection, Iterator

from consumers.runtime.timers import Mark

Ends = dict[str, int]


class Barriers:
    """Items that need one are asked for, get the ends of the inputs as their mark, and pass when these are heard."""

    def __init__(self) -> None:
        self._unmarked: dict[Mark, None] = {}
        self._asked: dict[Mark, tuple[str, ...]] = {}
        self._marked: dict[tuple[str, ...], deque[tuple[Ends, list[Mark]]]] = {}
        self._passed: dict[str, set[str]] = {}

    def ask(self, mark: Mark, inputs: tuple[str, ...]) -> None:
        """The item must not start before these inputs are read to their end; asking again changes nothing."""
        if mark not in self._asked:
            self._asked[mark] = inputs
            self._unmarked[mark] = None

    def waive(self, mark: Mark) -> None:
        """The item needs none: it passes at once."""
        self._asked[mark] = ()
        self._passed.setdefault(mark[0], set()).add(mark[1])

    def unmarked(self) -> list[Mark]:
        """The items for which somebody must ask where the inputs end now; each is given once."""
        if not self._unmarked:
            return []
        marks = list(self._unmarked)
        self._unmarked.clear()
        return marks

    def mark(self, marks: list[Mark], ends: Ends) -> None:
        """These items pass once their inputs are heard up to `ends`."""
        by_inputs: dict[tuple[str, ...], list[Mark]] = {}
        for mark in marks:
            by_inputs.setdefault(self._asked.get(mark, tuple(ends)), []).append(mark)
        for inputs, found in by_inputs.items():
            needed = {topic: ends[topic] for topic in inputs}
            self._marked.setdefault(inputs, deque()).append((needed, found))

    def reached(self, positions: dict[str, int]) -> Iterator[str]:
        """The inputs are heard up to here; gives the ids of the sagas of which an item has passed."""
        for marked in self._marked.values():
            while marked and all(positions.get(topic, 0) >= end for topic, end in marked[0][0].items()):
                for saga_id, item_id in marked.popleft()[1]:
                    self._passed.setdefault(saga_id, set()).add(item_id)
                    yield saga_id

    def passed(self, saga_id: str) -> set[str]:
        """The items of the saga that have passed and not started since."""
        return self._passed.get(saga_id, set())

    def used(self, mark: Mark) -> None:
        """The item starts; should it wait again, it needs another barrier."""
        self._asked.pop(mark, None)
        passed = self._passed.get(mark[0])
        if passed is not None:
            passed.discard(mark[1])
            if not passed:
                del self._passed[mark[0]]

    def keep(self, saga_id: str, items: Collection[str]) -> None:
        """Forget what has passed for items of the saga that are no more: they never start."""
        for item_id in self.passed(saga_id) - set(items):
            self.used((saga_id, item_id))

    def is_waiting(self) -> bool:
        """Whether an item waits for its mark to be reached."""
        return any(self._marked.values())
