"""PURE: items that may have killed a worker. They wait until the lane lets them start again, the worst one first."""

from collections.abc import Callable

from consumers.runtime.journal import Item
from consumers.runtime.timers import Mark


class Suspects:
    """`find` looks an item up in its journal; None where it has ended."""

    def __init__(self, find: Callable[[Mark], Item | None]) -> None:
        self._find = find
        self._held: dict[Mark, None] = {}
        self._acquitted: set[Mark] = set()

    def __len__(self) -> int:
        return len(self._held)

    def may_start(self, mark: Mark) -> bool:
        """Whether the item was acquitted; otherwise it is held from here on."""
        if mark in self._acquitted:
            self._acquitted.discard(mark)
            return True
        self._held[mark] = None
        return False

    def acquit(self, all_of_them: bool) -> list[Mark]:
        """Let all of them start, or only the one that was running at the most deaths, which comes first."""
        if not self._held:
            return []
        worst = max(self._held, key=self._deaths)
        marks = [worst, *(mark for mark in self._held if mark != worst)] if all_of_them else [worst]
        for mark in marks:
            del self._held[mark]
            self._acquitted.add(mark)
        return marks

    def _deaths(self, mark: Mark) -> int:
        item = self._find(mark)
        return item.attempt if item else 0
