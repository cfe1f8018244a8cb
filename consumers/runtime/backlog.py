"""PURE: what could start without further input, how much it is, and what keeps it from starting.

What waits for a timer, a person, an event or a read barrier is not here. What is here counts, in encoded bytes, unless
its step is paused or its dependency's circuit breaker is open: then only a person or the dependency can let it go on.
A lane reads less while too much counts, so nothing may count that needs further input, or waits without end.
"""

from collections.abc import Callable, Iterator
from functools import partial

from consumers.runtime.finishing import Blocked
from consumers.runtime.journal import Item
from consumers.runtime.memory import UNLIMITED, Room
from consumers.runtime.timers import Mark
from consumers.runtime.turns import Turns
from consumers.runtime.view import View

# What an item costs beside its messages while its journal is kept encoded: its ids, its mark and its place, roughly.
ITEM_BYTES = 1_000
TOLD_AT_ONCE = 100

# Whether an item is known to need the dependency that is down.
Needs = Callable[[Blocked, Mark], bool]


class Backlog:
    """The fair queue of one lane. `is_paused` tells whether the step of that name is.

    `look` must be called before the others, with the room at that moment.
    """

    def __init__(self, view: View, is_paused: Callable[[str], bool]) -> None:
        self._view, self._is_paused = view, is_paused
        self._turns = Turns()
        self._room: Room = UNLIMITED
        self._fresh_bytes = 0
        self._down: dict[str, Blocked] = {}
        self._has_queue = False
        self._now = 0.0

    @property
    def size_bytes(self) -> int:
        """All that could start without further input, in encoded bytes."""
        return self._fresh_bytes + sum(
            self._turns.size_bytes(step)
            for step in self._turns.steps()
            if step not in self._down and not self._is_paused(step)
        )

    def heard(self, body_bytes: int) -> None:
        """An event was applied that may let something start; it counts until the next `look`."""
        self._fresh_bytes += ITEM_BYTES + body_bytes

    def look(self, now: float, room: Room) -> None:
        """Find out which of the waiting steps have room, and which have a dependency that is down."""
        self._now, self._room, self._fresh_bytes = now, room, 0
        self._down = {step: down for step in self._turns.steps() if (down := self._down_for(step)) is not None}
        self._has_queue = any(self._has_room(step) for step in self._turns.steps())

    def lets_in(self, step: str) -> bool:
        """Whether an item of the step may start at once: it has room, and passes no item that could start as well."""
        return not self._has_queue and step not in self._turns.steps() and self._has_room(step)

    def put(self, item: Item, tenant: str, mark: Mark) -> None:
        """Let the item wait for its turn."""
        if item.step not in self._down:
            down = self._down_for(item.step)
            if down is not None:
                self._down[item.step] = down
        legs_bytes = sum(len(fact.body) for fact in item.legs.values())
        self._turns.put(item.step, tenant, mark, ITEM_BYTES + len(item.message.body) + legs_bytes)

    def take(self) -> Mark | None:
        """The item whose turn it is, or None where no step has room."""
        return self._turns.take(self._has_room) if self._turns else None

    def untold(self, most: int, needs: Needs) -> Iterator[tuple[Mark, Blocked, bool]]:
        """Some of the items that wait for a dependency that is down, each once, with what its saga is to be told.

        The third is whether the item `needs` it and waits on. The others wait here no more: the caller is to try them.
        At most so many are given, and no more of a step than may be under way.
        """
        for step, down in list(self._down.items()):
            owner = self._view.owner(step)
            if not self._is_paused(step) and owner is not None:
                at_once = min(TOLD_AT_ONCE, most, self._room.places(owner))
                marks = self._turns.untold(step, at_once, partial(needs, down))
                most -= len(marks)
                for mark in marks:
                    yield mark, down, needs(down, mark)

    def is_held_back(self) -> bool:
        """Whether something could start or be told soon, without being woken by a timer or an input."""
        return any(
            step not in self._down or self._down[step].until <= self._now or self._turns.has_untold(step)
            for step in self._turns.steps()
            if not self._is_paused(step)
        )

    def next_probe(self) -> float | None:
        """When the next dependency that is down may be probed, if that is later than the last `look`."""
        moments = [down.until for step, down in self._down.items() if not self._is_paused(step)]
        return min((until for until in moments if until > self._now), default=None)

    def _has_room(self, step: str) -> bool:
        if self._is_paused(step):
            return False
        owner = self._view.owner(step)
        return owner is None or self._room.has_room(owner)

    def _down_for(self, step: str) -> Blocked | None:
        owner = self._view.owner(step)
        return None if owner is None else self._room.down(owner)
