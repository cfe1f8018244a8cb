"""PURE: what every type of event means to the tracker, looked up once per graph and never again per event."""

from dataclasses import dataclass
from typing import Literal

from consumers.runtime.graph import Graph, Step, Undo
from schemas.engine import (
    CommandRefused,
    CompensationStuck,
    EngineEvent,
    ItemResolved,
    ItemResumed,
    ItemSkipped,
    Settled,
    StepDelayed,
    StepFailed,
    StepPaused,
    StepResumed,
)
from schemas.message import CompensatingEvent, Completion, EndState, Event, FailingEnd, Opening, Question, Refusal

Sort = Literal[
    "delayed", "failed", "stuck", "resumed", "freed", "settled", "undone", "question", "end", "pause", "fact"
]

# The first that fits decides.
_SORTS: tuple[tuple[type[Event], Sort], ...] = (
    (StepDelayed, "delayed"),
    (StepFailed, "failed"),
    (CompensationStuck, "stuck"),
    (ItemResumed, "resumed"),
    (ItemResolved, "freed"),
    (ItemSkipped, "freed"),
    (Settled, "settled"),
    (StepPaused, "pause"),
    (StepResumed, "pause"),
    (CompensatingEvent, "undone"),
    (Question, "question"),
    (Completion, "end"),
    (FailingEnd, "end"),
)


@dataclass(frozen=True, slots=True)
class Sayer:
    """A step that may say the type, and what it must have heard to say it; `names` are those it has and had."""

    step: str
    participant: str
    names: tuple[str, ...]
    heard: frozenset[str]
    hears_commands: bool


@dataclass(frozen=True, slots=True)
class Hearer:
    """A step that hears the type; `legs` are what else a join waits for, and empty for any other step."""

    step: str
    legs: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class Meaning:
    """One type of event. `undone` pairs each step it takes back with the names that step's undo has and had."""

    wire_type: str
    kind: type[Event]
    sort: Sort
    is_engine: bool
    opens: bool
    says_refused: bool
    waiting_for: str
    answers: str | None
    sayers: tuple[Sayer, ...]
    hearers: tuple[Hearer, ...]
    undone: tuple[tuple[str, tuple[str, ...]], ...]


class Meanings:
    """What the events of one saga kind mean; `by_type` knows all that can change a status."""

    def __init__(self, graph: Graph) -> None:
        self.saga, self.participants = graph.saga, graph.participants
        self.by_type = {
            wire_type: _meaning(graph, wire_type, kind)
            for wire_type, kind in graph.schema.messages.items()
            if issubclass(kind, Event) and not issubclass(kind, CommandRefused)
        }
        self.completions = frozenset(name for name, one in self.by_type.items() if issubclass(one.kind, Completion))
        self.ends_as: dict[str, EndState] = {
            name: one.kind.ends_as for name, one in self.by_type.items() if issubclass(one.kind, FailingEnd)
        }
        # In the order of the flow: name, participant, whether a saga that goes well passes it.
        self.steps = tuple((one.name, one.participant, _is_milestone(one, graph)) for one in graph.steps.values())
        self.milestones = sum(is_milestone for _, _, is_milestone in self.steps)
        self.names = frozenset(graph.steps)
        self._owners: dict[tuple[str, str], frozenset[str]] = {}
        for step in graph.steps.values():
            for name in {*names_of(step), *(names_of(step.undo) if step.undo else ())}:
                named = step.participant, name
                self._owners[named] = self._owners.get(named, frozenset()) | {step.name}
        # The first step that claims a former name has it; a name that a step has now leads to that step alone.
        self.renamed: dict[str, str] = {}
        for step in graph.steps.values():
            for name in step.formerly:
                if name not in self.names:
                    self.renamed.setdefault(name, step.name)

    def owners_of(self, participant: str, name: str) -> frozenset[str]:
        """The steps of the participant that have, or once had, this name, or whose compensation has; none elsewhere."""
        return self._owners.get((participant, name), frozenset())


def names_of(owner: Step | Undo) -> tuple[str, ...]:
    """The name of a step or compensation, and those that it had before."""
    return (owner.name, *owner.formerly)


def _meaning(graph: Graph, wire_type: str, kind: type[Event]) -> Meaning:
    return Meaning(
        wire_type=wire_type,
        kind=kind,
        sort=next((sort for declared, sort in _SORTS if issubclass(kind, declared)), "fact"),
        is_engine=issubclass(kind, EngineEvent),
        opens=issubclass(kind, Opening),
        says_refused=issubclass(kind, Refusal),
        waiting_for=kind.waiting_for if issubclass(kind, Question) else "",
        answers=kind.answers.wire_type if kind.answers is not None else None,
        sayers=tuple(
            Sayer(step.name, step.participant, names_of(step), frozenset(_heard_by(step)), step.hears_commands)
            for step in graph.sayers.get(wire_type, ())
        ),
        hearers=tuple(
            Hearer(step.name, tuple(frozenset(leg) for leg in step.legs) if len(step.legs) > 1 else ())
            for step in graph.hearers.get(wire_type, ())
        ),
        undone=tuple(
            (step.name, names_of(step.undo))
            for step in graph.steps.values()
            if step.undo and issubclass(kind, CompensatingEvent) and step.undo.fact == kind.undoes.wire_type
        ),
    )


def _heard_by(step: Step) -> set[str]:
    return {wire_type for leg in step.legs for wire_type in leg}


def _is_milestone(step: Step, graph: Graph) -> bool:
    """Whether a saga that goes well passes this step."""
    return (step.opens or not step.hears_commands) and not all(graph.is_a(kind, FailingEnd) for kind in step.says)
