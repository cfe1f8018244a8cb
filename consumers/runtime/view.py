"""PURE: the part of a graph that one participant acts on, looked up by wire type."""

from dataclasses import dataclass, field
from functools import cached_property

from consumers.runtime.flow_record import FlowRecord, fingerprint_of, record_of
from consumers.runtime.graph import Graph, Step, Undo
from schemas.engine import CompensationStuck as Stuck
from schemas.engine import (
    EngineCommand,
    EngineEvent,
    ItemResolved,
    ItemResumed,
    ItemSkipped,
    Settled,
    StepFailed,
    StepResumed,
)
from schemas.message import Completion, Event, FailingEnd, Opening


@dataclass(frozen=True)
class View:
    """One participant's part of the flow.

    `kinds` has the class of every event that may stand in the log; `decisive` are the openings, the ends and the
    engine's own events; `of_interest` is all that changes a journal of this participant; `owed` must be
    applied however much the saga holds already, and takes next to no room.
    """

    graph: Graph
    participant: str
    steps: dict[str, Step] = field(default_factory=dict)
    undos: dict[str, Undo] = field(default_factory=dict)
    hearers: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    kinds: dict[str, type[Event]] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    openings: frozenset[str] = frozenset()
    completions: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    decisive: frozenset[str] = frozenset()
    of_interest: frozenset[str] = frozenset()
    owed: frozenset[str] = frozenset()

    @cached_property
    def is_door(self) -> bool:
        """Whether this participant hears the saga's commands."""
        return self.participant == self.graph.door

    @cached_property
    def flow(self) -> FlowRecord:
        """The participant's part of the flow and its schema, as its lanes store it."""
        return record_of(self.graph, self.participant)

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint of `flow`."""
        return fingerprint_of(self.flow)

    @cached_property
    def of_no_interest(self) -> frozenset[bytes]:
        """The wire types, as they stand in a header, that change no journal of this participant.

        The door looks at every event all the same: it is the one that dead-letters what nobody can read.
        """
        return (
            frozenset() if self.is_door else frozenset(kind.encode() for kind in self.kinds.keys() - self.of_interest)
        )

    @cached_property
    def copies(self) -> dict[str, int]:
        """How often a journal keeps an event, by wire type: as a fact, and as the message of each item it starts."""
        counted = {wire_type: int(wire_type in self.kept) for wire_type in self.kinds}
        for wire_type, listening in self.hearers.items():
            joins = sum(step.join_deadline_seconds is not None for step in listening)
            # A join keeps it as a leg as well.
            counted[wire_type] = counted.get(wire_type, 0) + len(listening) + joins
        return counted

    def owner(self, name: str) -> Step | Undo | None:
        """The step or compensation that is, or was once, called so."""
        return self.steps.get(name) or self.undos.get(name)

    def name_of(self, name: str) -> str:
        """The step's name now; an item has the one it was journaled with."""
        owner = self.owner(name)
        return name if owner is None else owner.name

    def engine_type(self, kind: type[EngineEvent | EngineCommand]) -> str:
        """The wire type of an engine message in this saga kind."""
        return kind.type_in(self.graph.saga)


def view_of(graph: Graph, participant: str) -> View:
    """What `participant` needs of the graph."""
    steps = graph.steps_of(participant)
    # A renamed step still answers to the names it had when running sagas were journaled.
    named = {name: step for step in steps.values() for name in (*step.formerly, step.name)}
    undos = {name: step.undo for step in steps.values() if step.undo for name in (*step.undo.formerly, step.undo.name)}
    hearers = {
        wire_type: tuple(step for step in listening if step.participant == participant)
        for wire_type, listening in graph.hearers.items()
    }
    events = graph.schema.events()
    completions = frozenset(wire_type for wire_type in events if graph.is_a(wire_type, Completion))
    ends = completions | {wire_type for wire_type in events if graph.is_a(wire_type, FailingEnd)}
    openings = frozenset(wire_type for wire_type in events if graph.is_a(wire_type, Opening))
    telling: tuple[type[EngineEvent], ...] = (
        Settled,
        StepFailed,
        Stuck,
        ItemResumed,
        ItemResolved,
        ItemSkipped,
        StepResumed,
    )
    engine = {kind.type_in(graph.saga) for kind in telling}
    # The door goes on only when it has heard its own last word.
    own = {wire_type for step in steps.values() for wire_type in step.says} if participant == graph.door else set()
    heard = {wire_type for wire_type, listening in hearers.items() if listening}
    kept = graph.kept_by(participant)
    decisive = frozenset(ends | openings | engine)
    return View(
        graph=graph,
        participant=participant,
        steps=named,
        undos=undos,
        hearers=hearers,
        kinds=events,
        kept=kept,
        openings=openings,
        completions=completions,
        ends=ends,
        decisive=decisive,
        of_interest=decisive | heard | own | kept,
        owed=decisive - openings,
    )
