"""PURE: which events can stand together in one saga, with branches and concurrency.

A step that hears an event says one thing about it. So two events exclude each other if they need the same step to have
said different things. A step that hears a command can be called again, and a step that hears an event which may stand
several times runs for each: what they say excludes nothing.

The answers come from comparing pairs of ways, each with all that it needs. Three events that exclude each other only
together count as possible.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from schemas.message import Command, Completion, FailingEnd, Opening

if TYPE_CHECKING:
    from consumers.runtime.flow_model import Graph, Step

Leg = tuple[str, ...]
FAILED = "(failed)"
SILENT = "(silent)"


@dataclass(frozen=True)
class Way:
    """One way in which a step comes to an outcome: because of `heard`; one event of each leg of `needs` stands before.

    `once`: the step comes to one outcome only for what it has heard.
    """

    step: str
    heard: str
    outcome: str
    needs: tuple[Leg, ...]
    once: bool


class Executions:
    """Answers questions about one graph. A graph with a loop gets answers that are careful, not exact."""

    def __init__(self, graph: "Graph") -> None:
        self._graph = graph
        self._repeated: dict[str, bool] = {}
        self._known: dict[tuple[Way, Way], bool] = {}
        self._ways: dict[str, tuple[Way, ...]] = {}

    def ways_to(self, wire_type: str) -> tuple[Way, ...]:
        """Every way in which the event is said."""
        if wire_type not in self._ways:
            sayers = self._graph.sayers.get(wire_type, ())
            self._ways[wire_type] = tuple(way for step in sayers for way in self.ways_of(step, wire_type))
        return self._ways[wire_type]

    def ways_of(self, step: "Step", outcome: str) -> list[Way]:
        """Every way in which the step comes to the outcome: a wire type, FAILED or SILENT."""
        said = self._graph.schema.events().get(outcome)
        asked: tuple[Leg, ...] = ((said.answers.wire_type,),) if said is not None and said.answers is not None else ()
        if step.join_deadline_seconds is not None:
            return [Way(step.name, "", outcome, step.legs, once=True)]
        found = []
        for heard in step.legs[0] if step.legs else ():
            if self._graph.is_a(heard, Completion | FailingEnd):
                continue
            is_command = self._graph.is_a(heard, Command)
            once = (step.opens or not is_command) and not self._is_repeated(heard)
            found.append(Way(step.name, heard, outcome, asked if is_command else ((heard,),), once))
        return found

    def outcomes_of(self, step: "Step") -> list[str]:
        """What a step can come to but a failing end: its other events, and silence if it may be silent."""
        said = [kind for kind in step.says if not self._graph.is_a(kind, FailingEnd)]
        return [*said, SILENT] if step.signature.may_be_silent else said

    def can_coincide(self, some: Iterable[Way], others: Iterable[Way]) -> bool:
        """Whether one of the first and one of the second ways can both be gone in one saga."""
        others = tuple(others)
        return any(not self._exclude(one, other) for one in some for other in others)

    def legs_can_coincide(self, one: Leg, other: Leg) -> bool:
        """Whether an event of each leg can stand in one saga; unknown events exclude nothing."""
        some = [way for kind in one for way in self.ways_to(kind)]
        others = [way for kind in other for way in self.ways_to(kind)]
        return not some or not others or self.can_coincide(some, others)

    def requires(self, leg: Leg, types: frozenset[str]) -> bool:
        """Whether each event of the leg can stand only where one of the types stands, itself included."""
        return all(self._requires(kind, types, {}) for kind in leg)

    def _requires(self, wire_type: str, types: frozenset[str], known: dict[str, bool]) -> bool:
        if wire_type not in known:
            ways = self.ways_to(wire_type)
            # Until it is known, a loop that leads back here counts as a way without them.
            known[wire_type] = wire_type in types
            known[wire_type] |= bool(ways) and all(
                any(all(self._requires(kind, types, known) for kind in leg) for leg in way.needs) for way in ways
            )
        return known[wire_type]

    def doors_last_word(self, leg: Leg) -> frozenset[str]:
        """The nearest events of the door without which no event of the leg can stand; none where there are none."""
        return self._last_words(leg, {}) or frozenset()

    def _last_words(self, leg: Leg, known: dict[str, frozenset[str] | None]) -> frozenset[str] | None:
        found = [self._last_word(kind, known) for kind in leg]
        return None if None in found else frozenset(kind for one in found for kind in one or ())

    def _last_word(self, wire_type: str, known: dict[str, frozenset[str] | None]) -> frozenset[str] | None:
        if self.is_the_doors(wire_type):
            return frozenset({wire_type})
        if wire_type not in known:
            known[wire_type] = None
            best = [
                self._best_of([self._last_words(leg, known) for leg in way.needs]) for way in self.ways_to(wire_type)
            ]
            if best and None not in best:
                known[wire_type] = frozenset(kind for one in best for kind in one or ())
        return known[wire_type]

    def _best_of(self, cuts: list[frozenset[str] | None]) -> frozenset[str] | None:
        """Any of the cuts will do; one with the Opening is the worst, for it leaves no time to cancel."""
        whole = [cut for cut in cuts if cut is not None]
        return min(whole, key=lambda cut: any(self._graph.is_a(kind, Opening) for kind in cut), default=None)

    def is_the_doors(self, wire_type: str) -> bool:
        """Whether the event is said, and only by the door."""
        sayers = self._graph.sayers.get(wire_type, ())
        return bool(sayers) and all(step.participant == self._graph.door for step in sayers)

    def _exclude(self, one: Way, other: Way) -> bool:
        known = self._known.get((one, other))
        if known is None:
            # Until it is known, a loop that leads back here takes them for possible.
            self._known[one, other] = self._known[other, one] = False
            known = self._say_different_things(one, other) or (
                any(self._excludes_leg(one, leg) for leg in other.needs)
                or any(self._excludes_leg(other, leg) for leg in one.needs)
            )
            self._known[one, other] = self._known[other, one] = known
        return known

    def _say_different_things(self, one: Way, other: Way) -> bool:
        same_call = (one.step, one.heard) == (other.step, other.heard)
        return same_call and one.once and other.once and one.outcome != other.outcome

    def _excludes_leg(self, one: Way, leg: Leg) -> bool:
        ways = [way for kind in leg for way in self.ways_to(kind)]
        return bool(ways) and all(self._exclude(one, way) for way in ways)

    def _is_repeated(self, wire_type: str) -> bool:
        """Whether the event may stand several times in one saga: said of several causes, or by a repeatable step."""
        if wire_type not in self._repeated:
            self._repeated[wire_type] = False
            ways = self.ways_to(wire_type)
            self._repeated[wire_type] = any(
                self._graph.steps[way.step].repeatable
                or (way.heard and not self._graph.is_a(way.heard, Command) and self._is_repeated(way.heard))
                for way in ways
            ) or any(not self._exclude(one, other) for one, other in combinations(ways, 2))
        return self._repeated[wire_type]
