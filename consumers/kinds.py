"""One saga kind as the composition root puts it together: flow, compensations, schema and ports."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from consumers.runtime.checks import checked
from consumers.runtime.flow_checks.adapters import adapters
from consumers.runtime.graph import Graph, draft_of
from consumers.runtime.steps import Flow, StepFunction
from consumers.runtime.view import view_of
from consumers.tracker.ledger import tracker_of
from producers.errors import FlowError
from producers.settings import Settings
from schemas.topics import SagaSchema

PortsFor = Callable[[Settings], dict[type, object]]


@dataclass(frozen=True)
class SagaKind:
    """A flow, and how its ports are made. Nothing is connected before `ports` is called."""

    draft: Graph
    ports: PortsFor

    @cached_property
    def graph(self) -> Graph:
        """The checked flow; raises `FlowError` with every mistake in it."""
        return checked(self.draft)

    @property
    def participants(self) -> tuple[str, ...]:
        """Everybody with a consumer group: the flow's own, and the tracker."""
        return (*self.graph.participants, tracker_of(self.graph.saga))

    def adapters(self, settings: Settings) -> dict[type, object]:
        """The adapters by port; raises `FlowError` where one that the flow needs is missing or lacks a method."""
        if not callable(self.ports):
            raise FlowError(self.graph.saga, ["the ports are no function: hand over one that takes the settings"])
        ports = self.ports(settings)
        mistakes = [str(mistake) for mistake in adapters(self.graph, ports)]
        if mistakes:
            raise FlowError(self.graph.saga, mistakes)
        return ports

    def inputs(self) -> dict[str, list[str]]:
        """The topics that each participant's consumer group reads."""
        topics = self.graph.schema.topics
        doors = {name for name in self.graph.participants if view_of(self.graph, name).is_door}
        return {
            name: [topics.events, topics.commands] if name in doors else [topics.events] for name in self.participants
        }


def saga_kind(flow: Flow, undos: Iterable[StepFunction], schema: SagaSchema, ports: PortsFor) -> SagaKind:
    """Put a saga kind together. Its mistakes are raised when its graph is first asked for, so that all kinds' show."""
    return SagaKind(draft_of(flow, undos, schema), ports)
