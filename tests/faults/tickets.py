"""Tickets: a saga whose code can be broken and mended while it runs. `SOMA_APPLICATION=tests.faults.tickets:sagas`

desk     open_ticket -> TicketOpened     close_ticket (on TicketPrinted) -> TicketClosed
press    print_ticket -> TicketPrinted

As long as the file `broken` lies in `SOMA_FAULTS`, print_ticket fails before it prints; for a torn ticket it always
does. As long as `strict` lies there, nobody can read a command for more than four seats.
"""

import os
import sys
from pathlib import Path

from pydantic import field_validator

from consumers.kinds import SagaKind, saga_kind
from consumers.runtime.steps import Call, Flow, Participant, Retry, on, undo
from schemas.message import Command, CompensatingEvent, Completion, Event, Opening
from schemas.topics import SagaSchema, schema_of
from tests.faults.application import FOLDER
from tests.prove.errand.world import WORLD_FILE, World, WorldOnDisk

SEATS_MAX = 4


def lies_there(name: str) -> bool:
    """Whether a test has left this file."""
    return (Path(os.environ[FOLDER]) / name).exists()


class InkDried(Exception):
    """The mistake that can be mended."""


class PaperTorn(Exception):
    """The mistake that cannot."""


class StartTicket(Command, type="ticket.start"):
    """Begin."""

    seats: int = 1
    torn: bool = False

    @field_validator("seats")
    @classmethod
    def _are_few(cls, seats: int) -> int:
        if seats > SEATS_MAX and lies_there("strict"):
            raise ValueError("too many")
        return seats


class TicketOpened(Opening, type="ticket.opened"):
    """The ticket exists."""

    torn: bool = False


class TicketPrinted(Event, type="ticket.printed"):
    """The effect."""


class TicketShredded(CompensatingEvent, type="ticket.shredded", undoes=TicketPrinted):
    """Takes the effect back."""


class TicketClosed(Completion, type="ticket.closed"):
    """The good end."""


@on(StartTicket)
async def open_ticket(start: StartTicket) -> TicketOpened:
    return TicketOpened(saga_id=start.saga_id, torn=start.torn)


@on(TicketOpened, failure="hold", retry=Retry(attempts=1))
async def print_ticket(opened: TicketOpened, world: World, call: Call) -> TicketPrinted:
    if opened.torn:
        raise PaperTorn("the paper is torn")
    if lies_there("broken"):
        raise InkDried("the ink is dry")
    await world.do(f"{call.saga_id} {call.key}")
    return TicketPrinted(saga_id=call.saga_id)


@on(TicketPrinted)
async def close_ticket(printed: TicketPrinted) -> TicketClosed:
    return TicketClosed(saga_id=printed.saga_id)


@undo(TicketPrinted)
async def shred_ticket(printed: TicketPrinted | None, world: World, call: Call) -> TicketShredded:
    await world.undo(f"{call.saga_id} {call.key}")
    return TicketShredded(saga_id=call.saga_id)


SCHEMA: SagaSchema = schema_of("ticket", sys.modules[__name__])
FLOW = Flow(
    "ticket",
    participants=(
        Participant("ticket.desk", steps=(open_ticket, close_ticket), door=True),
        Participant("ticket.press", steps=(print_ticket,)),
    ),
)


def sagas() -> tuple[SagaKind, ...]:
    """The one kind of saga of these tests."""
    world = Path(os.environ[FOLDER]) / WORLD_FILE
    return (saga_kind(FLOW, (shred_ticket,), SCHEMA, lambda settings: {World: WorldOnDisk(world, lambda: None)}),)
