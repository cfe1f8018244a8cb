"""PURE: whose turn it is. Items that may start wait here, tenant by tenant in turn, each step in a row of its own.

One tenant's ten thousand sagas delay another's one by no more than its share; and a step that has to wait for room
(its dependency is busy or down, or the step is paused) does not stand in the way of other steps.
"""

from collections import deque
from collections.abc import Callable, KeysView

from consumers.runtime.timers import Mark


class Row:
    """The waiting items of one step and tenant: those that `Turns.untold` has given come before the `untold` ones."""

    __slots__ = ("told", "untold")

    def __init__(self) -> None:
        self.told: deque[Mark] = deque()
        self.untold: deque[Mark] = deque()

    def __bool__(self) -> bool:
        return bool(self.told or self.untold)


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
        row.untold.append(mark)

    def take(self, may_start: Callable[[str], bool]) -> Mark | None:
        """The next item of a step for which there is room, or None; `may_start` is asked once for every step."""
        for step, tenants in self._rows.items():
            if may_start(step):
                tenant, row = next(iter(tenants.items()))
                mark = self._out_of(step, row.told) if row.told else self._out_of_untold(step, row)
                # A tenant that has had a turn goes to the end, and so does the step.
                del tenants[tenant]
                if row:
                    tenants[tenant] = row
                del self._rows[step]
                if tenants:
                    self._rows[step] = tenants
                else:
                    del self._bytes[step], self._untold[step]
                return mark
        return None

    def untold(self, step: str, most: int, keeps: Callable[[Mark], bool]) -> list[Mark]:
        """At most so many items of the step that this has not given since they were put here.

        Those that `keeps` does not want go on waiting here no more.
        """
        given: list[Mark] = []
        tenants = self._rows.get(step, {})
        for tenant in list(tenants) if self._untold.get(step) else ():
            row = tenants[tenant]
            while row.untold and len(given) < most:
                mark = row.untold[0]
                given.append(mark)
                if keeps(mark):
                    row.told.append(row.untold.popleft())
                    self._untold[step] -= 1
                else:
                    self._out_of_untold(step, row)
            if not row:
                del tenants[tenant]
        if step in self._rows and not tenants:
            del self._rows[step], self._bytes[step], self._untold[step]
        return given

    def has_untold(self, step: str) -> bool:
        """Whether `untold` would give any item of the step."""
        return bool(self._untold.get(step))

    def _out_of_untold(self, step: str, row: Row) -> Mark:
        self._untold[step] -= 1
        return self._out_of(step, row.untold)

    def _out_of(self, step: str, marks: deque[Mark]) -> Mark:
        mark = marks.popleft()
        self._bytes[step] -= self._there.pop(mark)
        return mark
