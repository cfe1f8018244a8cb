"""PURE: what the engine will put on the bus: an event, and what the headers say about it."""

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from consumers.runtime.journal import Item, Journal
from consumers.runtime.view import View
from schemas.engine import (
    CommandRefused,
    CompensationStuck,
    EngineEvent,
    ItemResumed,
    Policy,
    Settled,
    StepDelayed,
    StepFailed,
    StepPaused,
)
from schemas.message import Event

# What the engine says of itself because of a build is caused by no message and no command.
BY_FLOW = "flow/"


class Utterance(msgspec.Struct, frozen=True):
    """One event to be said about a saga.

    `cause` is what its id follows from, where that is not the `causation` it names: ids of commands may be equal.
    `fatal` is the failure that also goes to the dead letters; `body` and `id` are those of the event, where they are
    known already.
    """

    event: Event
    causation: str
    attempt: int = 1
    started_at: float | None = None
    fatal: "Failure | None" = None
    body: bytes = b""
    id: str = ""
    cause: str = ""


def wire_type_of(event: Event, saga: str) -> str:
    """The event's type on the wire."""
    return event.type_in(saga) if isinstance(event, EngineEvent) else event.wire_type


@dataclass(frozen=True)
class Failure:
    """Why an item was given up."""

    item: Item
    error: str
    cause: str


def settled(journal: Journal, view: View) -> Utterance:
    """The participant has nothing left to undo."""
    assert journal.end is not None
    event = Settled(saga_id=journal.saga_id, participant=view.participant, undone=journal.undone)
    return Utterance(event, journal.end.id)


def step_failed(journal: Journal, view: View, item: Item, policy: Policy, failure: Failure) -> Utterance:
    """The step's budget is spent."""
    event = StepFailed(
        saga_id=journal.saga_id,
        participant=view.participant,
        step=item.step,
        item=item.id,
        attempts=item.attempt,
        cause=failure.cause,
        policy=policy,
    )
    return Utterance(event, f"{item.id}/{item.attempt}", item.attempt, item.started_at, fatal=failure)


def held_by_flow(journal: Journal, view: View, step: str, item: str, cause: str, attempt: int, at: float) -> Utterance:
    """This build cannot carry the item, or the saga. It may be told again, of another build, at another time."""
    event = StepFailed(
        saga_id=journal.saga_id,
        participant=view.participant,
        step=step,
        item=item,
        attempts=attempt,
        cause=cause,
        policy="hold",
    )
    return Utterance(event, f"{BY_FLOW}{item}/held/{attempt}/{at:.3f}")


def resumed_by_flow(journal: Journal, view: View, step: str, item: str, at: float) -> Utterance:
    """This build can carry the item, or the saga, again."""
    event = ItemResumed(saga_id=journal.saga_id, participant=view.participant, step=step, item=item)
    return Utterance(event, f"{BY_FLOW}{item}/resumed/{at:.3f}")


def compensation_stuck(journal: Journal, view: View, item: Item, cause: str, at: float | None = None) -> Utterance:
    """The compensation's budget is spent, or its step no longer exists; `at` where that may be told again."""
    event = CompensationStuck(
        saga_id=journal.saga_id,
        participant=view.participant,
        step=item.step,
        item=item.id,
        attempts=item.attempt,
        cause=cause,
        forward=item.undoes is None,
    )
    causation = f"{item.id}/{item.attempt}" if at is None else f"{item.id}/{item.attempt}/{at:.3f}"
    return Utterance(event, causation, item.attempt, item.started_at)


def step_delayed(journal: Journal, view: View, item: Item, due: float) -> Utterance:
    """The item will be tried again, but not soon."""
    event = StepDelayed(
        saga_id=journal.saga_id,
        participant=view.participant,
        step=item.step,
        item=item.id,
        attempt=item.attempt,
        cause=item.cause,
        next_at=datetime.fromtimestamp(due, UTC),
    )
    return Utterance(event, f"{item.id}/{item.attempt}/{due:.3f}", item.attempt, item.started_at)


def step_paused(journal: Journal, view: View, item: Item, step: str, cause: str) -> Utterance:
    """The step has failed for one saga too many, the last time with this item."""
    event = StepPaused(saga_id=journal.saga_id, participant=view.participant, step=step, cause=cause)
    return Utterance(event, f"{item.id}/{item.attempt}", item.attempt, item.started_at)


def command_refused(journal: Journal, item: Item, reason: str) -> Utterance:
    """The command led to nothing."""
    event = CommandRefused(saga_id=journal.saga_id, command_id=item.message.id, reason=reason)
    return Utterance(event, item.message.id, item.attempt, item.started_at, cause=item.message.key)
