"""PURE: whose turn it is. Items that may start wait here, tenant by tenant in turn, each step in a row of its own.

One tenant's ten thousand sagas delay another's one by no more than its share; and a step that has to wait for room
(its dependency is busy, or somebody has paused it) does not stand in the way of other steps.
"""

from collections import deque
from collections.abc import Callable, Iterable

from consumers.runtime.timers import Mark


class Turns:
    """The items that may start but have not. An item stands in it once, however often it is put there."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, deque[Mark]]] = {}
        self._there: set[Mark] = set()

    def __len__(self) -> int:
        return len(self._there)

    def steps(self) -> Iterable[str]:
        """The steps of which an item waits."""
        return self._rows.keys()

    def put(self, step: str, tenant: str, mark: Mark) -> None:
        """Let the item wait for its turn."""
        if mark not in self._there:
            self._there.add(mark)
            self._rows.setdefault(step, {}).setdefault(tenant, deque()).append(mark)

    def take(self, may_start: Callable[[str], bool]) -> Mark | None:
        """The next item of a step for which there is room, or None; `may_start` is asked once for every step."""
        for step, tenants in self._rows.items():
            if may_start(step):
                tenant, row = next(iter(tenants.items()))
                mark = row.popleft()
                self._there.discard(mark)
                # Whoever has had a turn goes to the end, and so does the step.
                del tenants[tenant]
                if row:
                    tenants[tenant] = row
                del self._rows[step]
                if tenants:
                    self._rows[step] = tenants
                return mark
        return None
