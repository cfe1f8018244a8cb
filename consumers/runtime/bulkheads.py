"""Bulkheads: how much may be under way at each dependency, in the whole worker. One that is slow sinks no other.

A dependency whose circuit breaker is open has no room, except for one probe at a time, and for items that were not
tried since: a step may do without the dependency.

An item enters all its step's dependencies before it starts, so one that finds no room waits among those that have not
begun: it holds no place of the lane, spends nothing of its timeout, and other steps pass it by.
"""

from collections import defaultdict
from collections.abc import Mapping

from consumers.runtime.breakers import Breaker
from consumers.runtime.finishing import Blocked
from consumers.runtime.graph import Step, Undo
from consumers.runtime.memory import PLACES_MAX, Room
from consumers.runtime.transport import Clock
from producers.settings import Bulkhead

DEFAULT = Bulkhead()


class Bulkheads(Room):
    """`limits` by the name of the port; a port without any has the default ones. `breakers` by port.

    Times are of `clock`, in seconds.
    """

    def __init__(
        self, limits: Mapping[str, Bulkhead], clock: Clock, breakers: Mapping[type, Breaker] | None = None
    ) -> None:
        self._limits, self._clock, self._breakers = limits, clock, {} if breakers is None else breakers
        self.running: dict[str, int] = defaultdict(int)
        self._free_at: dict[str, float] = defaultdict(float)

    def has_room(self, owner: Step | Undo) -> bool:
        return all(self._is_free(port) for _, port in owner.signature.ports)

    def _is_free(self, port: type) -> bool:
        breaker = self._breakers.get(port)
        return (breaker is None or breaker.admits()) and self._places(port.__name__) > 0

    def _places(self, dependency: str) -> int:
        limit = self._limits.get(dependency, DEFAULT)
        places = limit.concurrent - self.running[dependency]
        if limit.per_second is None:
            return places
        return min(places, int(self._free_at[dependency] <= self._clock()))

    def places(self, owner: Step | Undo) -> int:
        up = [port for _, port in owner.signature.ports if not self._is_down(port)]
        return max(0, min((self._places(port.__name__) for port in up), default=PLACES_MAX))

    def _is_down(self, port: type) -> bool:
        breaker = self._breakers.get(port)
        return breaker is not None and breaker.is_open

    def down(self, owner: Step | Undo) -> Blocked | None:
        return next((self._breakers[port].blocked() for _, port in owner.signature.ports if self._is_down(port)), None)

    def enter(self, owner: Step | Undo) -> None:
        for _, port in owner.signature.ports:
            dependency, breaker = port.__name__, self._breakers.get(port)
            self.running[dependency] += 1
            if breaker is not None:
                breaker.enter()
            per_second = self._limits.get(dependency, DEFAULT).per_second
            if per_second is not None:
                # A bucket one second deep: what was not used of the last second may be used at once, and no more.
                apart_seconds = 1.0 / per_second
                oldest = self._clock() - max(0.0, 1.0 - apart_seconds)
                self._free_at[dependency] = max(self._free_at[dependency], oldest) + apart_seconds

    def leave(self, owner: Step | Undo) -> None:
        for _, port in owner.signature.ports:
            dependency, breaker = port.__name__, self._breakers.get(port)
            self.running[dependency] -= 1
            if breaker is not None and not self.running[dependency]:
                breaker.all_left()
