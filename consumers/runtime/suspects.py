"""PURE: suspects, the items that were running when a worker crashed. They wait until the lane lets them start again.

One of them may crash the next worker as well. After one crash all start again. After several in a row only half of the
most suspicious ones start at first, those that were running at most of the crashes; all others start when these have
ended, or have run for a while. So each life halves those that can be the cause, and an item that kills its worker is
alone after log n lives. If the worker crashes then too, each of these crashes counts as an attempt of its budget. The
others lose only time.
"""

from collections.abc import Callable

from consumers.runtime.journal import Item
from consumers.runtime.timers import Mark


class Suspects:
    """`find` looks an item up in its journal; None where it has ended."""

    def __init__(self, find: Callable[[Mark], Item | None]) -> None:
        self._find = find
        self._waiting: dict[Mark, None] = {}
        self._admitted: set[Mark] = set()
        self._alone: Mark | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def may_start(self, mark: Mark) -> bool:
        """Return whether the suspect was admitted; otherwise it waits from here on."""
        if mark in self._admitted:
            self._admitted.discard(mark)
            return True
        self._waiting[mark] = None
        return False

    def is_alone(self, mark: Mark) -> bool:
        """Return whether the suspect is the only one that was admitted last."""
        return mark == self._alone

    def admit(self, all_of_them: bool, in_turn: bool) -> list[Mark]:
        """Let all of them start, or half of those that were running at most crashes; returns those.

        `in_turn`: no other lane of the worker lets suspects start meanwhile.
        """
        ranked = sorted(self._waiting, key=self._deaths, reverse=True)
        if not all_of_them:
            worst = [mark for mark in ranked if self._deaths(mark) == self._deaths(ranked[0])]
            ranked = worst[: (len(worst) + 1) // 2]
        for mark in ranked:
            del self._waiting[mark]
            self._admitted.add(mark)
        self._alone = ranked[0] if len(ranked) == 1 and in_turn else None
        return ranked

    def _deaths(self, mark: Mark) -> int:
        item = self._find(mark)
        return item.deaths if item else 0
