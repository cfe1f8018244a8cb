"""One saga kind as the composition root puts it together: flow, compensations, schema and ports."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from consumers.runtime.checks import checked
from consumers.runtime.graph import Graph, graph_of
from consumers.runtime.steps import Flow, StepFunction
from consumers.tracker.ledger import tracker_of
from producers.settings import Settings
from schemas.topics import SagaSchema

PortsFor = Callable[[Settings], dict[type, object]]


@dataclass(frozen=True)
class SagaKind:
    """A checked flow, and how its ports are made. Nothing is connected before `ports` is called."""

    graph: Graph
    ports: PortsFor

    @property
    def participants(self) -> tuple[str, ...]:
        """Everybody with a consumer group: the flow's own, and the tracker."""
        return (*self.graph.participants, tracker_of(self.graph.saga))


def saga_kind(flow: Flow, undos: Iterable[StepFunction], schema: SagaSchema, ports: PortsFor) -> SagaKind:
    """Put a saga kind together; raises `FlowError` with every mistake in the flow."""
    return SagaKind(checked(graph_of(flow, undos, schema)), ports)
