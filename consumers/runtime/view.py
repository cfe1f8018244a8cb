"""PURE: the part of a graph that one participant acts on, looked up by wire type."""

from dataclasses import dataclass, field

from consumers.runtime.graph import Graph, Step, Undo
from schemas.engine import CompensationStuck as Stuck
from schemas.engine import ItemResumed, RetryItem, Settled, StepFailed
from schemas.message import Completion, FailingEnd, Opening


@dataclass(frozen=True)
class View:
    """One participant's part of the flow."""

    graph: Graph
    participant: str
    steps: dict[str, Step] = field(default_factory=dict)
    undos: dict[str, Undo] = field(default_factory=dict)
    hearers: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    decisive: frozenset[str] = frozenset()
    of_interest: frozenset[str] = frozenset()

    @property
    def is_door(self) -> bool:
        """Whether this participant hears the saga's commands."""
        return self.participant == self.graph.door

    def engine_type(self, kind: type[Settled | StepFailed | Stuck | ItemResumed | RetryItem]) -> str:
        """The wire type of an engine message in this saga kind."""
        return f"{self.graph.saga}.{kind.suffix}"


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
    ends = frozenset(wire_type for wire_type in graph.schema.messages if graph.is_a(wire_type, Completion | FailingEnd))
    openings = {wire_type for wire_type in graph.schema.messages if graph.is_a(wire_type, Opening)}
    engine = {f"{graph.saga}.{kind.suffix}" for kind in (Settled, StepFailed, Stuck, ItemResumed)}
    # The door goes on only when it has heard its own last word.
    own = {wire_type for step in steps.values() for wire_type in step.says} if participant == graph.door else set()
    heard = {wire_type for wire_type, listening in hearers.items() if listening}
    kept = graph.kept_by(participant)
    decisive = frozenset(ends | openings | engine)
    return View(graph, participant, named, undos, hearers, kept, ends, decisive, decisive | heard | own | kept)
