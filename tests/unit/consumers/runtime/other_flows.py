"""The order with further steps or without some, for the rules that its own flow does not come to."""

from collections.abc import Iterable
from typing import Any

from consumers.runtime.graph import Graph, graph_of
from consumers.runtime.steps import Flow, Participant, StepFunction
from schemas.message import Command, CompensatingEvent, Completion, Event, FailingEnd, Message, Opening
from schemas.topics import SagaSchema
from tests.unit.consumers.runtime import small_saga as order


class ClerkAssigned(Event, type="order.clerk.assigned"):
    pass


class Weighed(Event, type="order.weighed"):
    kilograms: float = 0
    remarks: Any = None


class PauseOrder(Command, type="order.pause"):
    pass


class OrderPaused(Event, type="order.paused"):
    pass


class OrderReopened(Opening, type="order.reopened"):
    pass


class OrderFinished(Completion, type="order.finished"):
    pass


class OrderLost(FailingEnd, type="order.lost"):
    pass


class ClerkDismissed(CompensatingEvent, type="order.clerk.dismissed", undoes=ClerkAssigned):
    pass


def flow_with(
    *more: tuple[str, StepFunction],
    without: tuple[str, ...] = (),
    undos: Iterable[StepFunction] = order.UNDOS,
    words: tuple[type[Message], ...] = (),
) -> Graph:
    """The order with these steps, each with its participant, and these words besides; without some of its own."""
    participants = tuple(
        Participant(
            one.name,
            tuple(step for step in one.steps if step.__name__ not in without)
            + tuple(step for name, step in more if name == one.name),
            one.door,
        )
        for one in order.FLOW.participants
    )
    messages = order.SCHEMA.messages | {kind.wire_type: kind for kind in words}
    return graph_of(Flow("order", participants), undos, SagaSchema("order", order.SCHEMA.topics, messages))
