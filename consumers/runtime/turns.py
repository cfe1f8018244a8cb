"""PURE: whose turn it is. Items that may start wait here, tenant by tenant in turn, each step in a row of its own.

One tenant's ten thousand sagas delay another's one by no more than its share; and a step that has to wait for room
(its dependency is busy or down, or the step is paused) does not stand in the way of other steps.
"""

from collections import deque
from collections.abc import Callable, KeysView
from itertools import islice

from consumers.runtime.timers import Mark


class Row:
    """The waiting items of one step and tenant. `told` of them, the first ones, were given by `Turns.untold`."""

    __slots__ = ("marks", "told")

    def __init__(self) -> None:
        self.marks: deque[Mark] = deque()
        self.told = 0


class Turns:
    """The items that may start but have not. An item stands in it once, however often it is put there."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Row]] = {}
        self._bytes: dict[str, int] = {}
        self._untold: dict[str, int] = {}
        self._there: dict[Mark, int] = {}

    def __len__(self) -> int:
        return len(self._there)

    def steps(self) -> KeysView[str]:
        """The steps of which an item waits."""
        return self._rows.keys()

    def size_bytes(self, step: str) -> int:
        """How much of the step waits, as it was put here."""
        return self._bytes.get(step, 0)

    def put(self, step: str, tenant: str, mark: Mark, size_bytes: int = 0) -> None:
        """Let the item wait for its turn."""
        if mark in self._there:
            return
        self._there[mark] = size_bytes
        self._bytes[step] = self._bytes.get(step, 0) + size_bytes
        self._untold[step] = self._untold.get(step, 0) + 1
        tenants = self._rows.setdefault(step, {})
        row = tenants.get(tenant)
        if row is None:
            row = tenants[tenant] = Row()
        row.marks.append(mark)

    def take(self, may_start: Callable[[str], bool]) -> Mark | None:
        """The next item of a step for which there is room, or None; `may_start` is asked once for every step."""
        for step, tenants in self._rows.items():
            if may_start(step):
                tenant, row = next(iter(tenants.items()))
                mark = row.marks.popleft()
                self._bytes[step] -= self._there.pop(mark)
                if row.told:
                    row.told -= 1
                else:
                    self._untold[step] -= 1
                # A tenant that has had a turn goes to the end, and so does the step.
                del tenants[tenant]
                if row.marks:
                    tenants[tenant] = row
                del self._rows[step]
                if tenants:
                    self._rows[step] = tenants
                else:
                    del self._bytes[step], self._untold[step]
                return mark
        return None

    def untold(self, step: str, most: int) -> list[Mark]:
        """At most so many items of the step that this has not given since they were put here."""
        marks: list[Mark] = []
        if self._untold.get(step):
            for row in self._rows[step].values():
                found = list(islice(row.marks, row.told, row.told + most - len(marks)))
                row.told += len(found)
                marks += found
                if len(marks) == most:
                    break
            self._untold[step] -= len(marks)
        return marks

    def has_untold(self, step: str) -> bool:
        """Whether `untold` would give any item of the step."""
        return bool(self._untold.get(step))
