"""The review saga. `SOMA_APPLICATION=tests.benchmarks.review.application:sagas`."""

import sys
from datetime import timedelta
from typing import Protocol

from consumers.kinds import SagaKind, saga_kind
from consumers.runtime.steps import Call, Flow, Later, Participant, on, undo
from schemas.engine import CommandRefused
from schemas.message import (
    Command,
    CompensatingEvent,
    Completion,
    Event,
    FailingEnd,
    Opening,
    Question,
)
from schemas.topics import schema_of

REVIEW_TIME = timedelta(days=2)
# What a draft has to say, as far as a saga keeps it.
SUMMARY = "Tulips in spring: three beds, two colours, one weekend. " * 8


class StartReview(Command, type="review.start"):
    """Begin."""


class ApproveReview(Command, type="review.approve"):
    """A person has said yes."""


class ReviewOpened(Opening, type="review.opened"):
    """The saga runs."""


class DraftWritten(Event, type="review.draft.written"):
    """There is a draft."""

    summary: str = SUMMARY


class DraftDiscarded(CompensatingEvent, type="review.draft.discarded", undoes=DraftWritten):
    """The draft is gone."""


class DecisionRequested(Question, type="review.decision.requested", waiting_for="approve"):
    """A person is asked."""


class ReviewApproved(Event, type="review.approved", answers=DecisionRequested):
    """The draft may be published."""


class DraftPublished(Event, type="review.published"):
    """The draft is public."""


class DraftWithdrawn(CompensatingEvent, type="review.withdrawn", undoes=DraftPublished):
    """The draft is public no longer."""


class ReviewCompleted(Completion, type="review.completed"):
    """The saga is through."""


class ReviewExpired(FailingEnd, type="review.expired", ends_as="expired"):
    """Nothing was decided in time."""


class Press(Protocol):
    """Where drafts are kept and published; it does nothing, at once."""

    async def make(self, key: str) -> None: ...

    async def take_back(self, key: str) -> None: ...


class IdlePress:
    """Does nothing."""

    async def make(self, key: str) -> None:
        """Nothing is made."""

    async def take_back(self, key: str) -> None:
        """Nothing is taken back."""


@on(StartReview)
async def open_review(start: StartReview) -> ReviewOpened:
    return ReviewOpened(saga_id=start.saga_id)


@on(ReviewOpened)
async def write_draft(opened: ReviewOpened, press: Press, call: Call) -> DraftWritten:
    await press.make(call.key)
    return DraftWritten(saga_id=call.saga_id)


@undo(DraftWritten)
async def discard_draft(written: DraftWritten | None, press: Press, call: Call) -> DraftDiscarded:
    await press.take_back(call.key)
    return DraftDiscarded(saga_id=call.saga_id)


@on(DraftWritten)
async def ask_person(written: DraftWritten, call: Call) -> DecisionRequested:
    return DecisionRequested(saga_id=call.saga_id, deadline=call.now + REVIEW_TIME)


@on(ApproveReview)
async def approve_draft(
    approve: ApproveReview, asked: DecisionRequested | None, approved: ReviewApproved | None, call: Call
) -> ReviewApproved | CommandRefused:
    if asked is None or approved is not None:
        return call.refused("nothing is asked")
    return ReviewApproved(saga_id=call.saga_id)


@on(DecisionRequested)
async def expire_review(
    asked: DecisionRequested, approved: ReviewApproved | None, call: Call
) -> ReviewExpired | Later | None:
    if approved is not None:
        return None
    return call.later(asked.deadline) if call.now < asked.deadline else ReviewExpired(saga_id=call.saga_id)


@on(ReviewApproved)
async def publish_draft(approved: ReviewApproved, written: DraftWritten, press: Press, call: Call) -> DraftPublished:
    await press.make(call.key)
    return DraftPublished(saga_id=call.saga_id)


@undo(DraftPublished)
async def withdraw_draft(published: DraftPublished | None, press: Press, call: Call) -> DraftWithdrawn:
    await press.take_back(call.key)
    return DraftWithdrawn(saga_id=call.saga_id)


@on(DraftPublished)
async def complete_review(published: DraftPublished, call: Call) -> ReviewCompleted:
    return ReviewCompleted(saga_id=call.saga_id)


FLOW = Flow(
    "review",
    participants=(
        Participant("review.door", (open_review, ask_person, approve_draft, expire_review, complete_review), door=True),
        Participant("review.studio", (write_draft, publish_draft)),
    ),
)


def sagas() -> tuple[SagaKind, ...]:
    """The review, alone."""
    schema = schema_of("review", sys.modules[__name__])
    return (saga_kind(FLOW, (discard_draft, withdraw_draft), schema, lambda settings: {Press: IdlePress()}),)
