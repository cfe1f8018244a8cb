"""A saga of one hop: opened, answered, completed. `SOMA_APPLICATION=tests.benchmarks.hop.application:sagas`."""

import sys

from consumers.kinds import SagaKind, saga_kind
from consumers.runtime.steps import Flow, Participant, on
from schemas.message import Command, Completion, Event, Opening
from schemas.topics import schema_of

WORKER = "hop.worker"


class StartHop(Command, type="hop.start"):
    """Begin."""


class HopOpened(Opening, type="hop.opened"):
    """What the participant hears."""

    topic: str = "tulips in spring"


class HopAnswered(Event, type="hop.answered"):
    """What the participant says."""

    text: str = "done"


class HopCompleted(Completion, type="hop.completed"):
    """The end."""


@on(StartHop)
async def open_hop(start: StartHop) -> HopOpened:
    return HopOpened(saga_id=start.saga_id)


@on(HopOpened)
async def answer(opened: HopOpened) -> HopAnswered:
    return HopAnswered(saga_id=opened.saga_id)


@on(HopAnswered)
async def complete_hop(answered: HopAnswered) -> HopCompleted:
    return HopCompleted(saga_id=answered.saga_id)


FLOW = Flow("hop", (Participant("hop.door", (open_hop, complete_hop), door=True), Participant(WORKER, (answer,))))


def sagas() -> tuple[SagaKind, ...]:
    """The hop, alone."""
    return (saga_kind(FLOW, (), schema_of("hop", sys.modules[__name__]), lambda settings: {}),)
