"""PURE: the door's answers that need no step: to a saga that is not, has begun, or has ended; and to who frees an item.

What stands still can be retried. A compensation that is stuck can also be resolved or skipped; a step cannot, for what
follows it would wait for a fact that no step says. Only what a changed flow holds can be skipped as well.
"""

from consumers.runtime.finishing import Broke, Outcome, Spoke, Unfit
from consumers.runtime.gone import GONE, why_no_retry
from consumers.runtime.graph import Step, Undo
from consumers.runtime.journal import Item, Journal
from consumers.runtime.quarantine import QUARANTINE, is_quarantined
from consumers.runtime.unfit import missing
from consumers.runtime.view import View
from schemas.engine import (
    CommandRefused,
    EngineEvent,
    ItemCommand,
    ItemResolved,
    ItemResumed,
    ItemSkipped,
    ResolveItem,
    ResumeStep,
    RetryItem,
    SkipItem,
    StepResumed,
)
from schemas.message import FailingEnd

ANSWERS: dict[type[ItemCommand], type[EngineEvent]] = {
    RetryItem: ItemResumed,
    ResolveItem: ItemResolved,
    SkipItem: ItemSkipped,
}


def foregone(journal: Journal, view: View, item: Item, owner: Step | Undo | None) -> Outcome | None:
    """How an item ends that is about to start, or None where its step must be asked."""
    if item.state == "joining":
        return Broke("JoinTimedOut", missing_legs(view, item), permanent=True)
    if item.attempt > item.budget:
        return Broke("WorkerDied", "the worker died each time while this ran", permanent=True)
    answer = judged(journal, view, item) if item.command else None
    if answer is None and owner is None:
        return Unfit(missing(journal, view, item))
    return answer


def judged(journal: Journal, view: View, item: Item) -> Outcome | None:
    """The engine's own answer to a command, or None where its step must be asked."""
    if item.message.type == view.engine_type(ResumeStep):
        return _resumed(journal, view, item)
    step = view.steps.get(item.step)
    opens = step is not None and step.opens
    asked = view.graph.schema.commands().get(item.message.type)
    if not journal.participants and is_quarantined(journal) and asked is RetryItem:
        return _freed(journal, view, item, asked)
    if not journal.participants and not opens:
        return _refused(journal, item, f"there is no {view.graph.saga} {journal.saga_id}")
    if journal.participants and opens:
        return _refused(journal, item, f"{view.graph.saga} {journal.saga_id} was started before")
    if journal.closed_at is None and asked is not None and issubclass(asked, ItemCommand):
        # A saga that is being undone has ended, and its compensations can stand still.
        return _freed(journal, view, item, asked)
    if journal.end is not None or journal.closed_at is not None:
        return _refused(journal, item, f"{view.graph.saga} {journal.saga_id} has ended: {_ended_as(journal, view)}")
    return None


def _ended_as(journal: Journal, view: View) -> str:
    if journal.end is None:
        return "closed"
    kind = view.graph.schema.messages.get(journal.end.type)
    if journal.end.failing:
        return kind.ends_as if kind is not None and issubclass(kind, FailingEnd) else "compensated"
    return "completed"


def _freed(journal: Journal, view: View, item: Item, asked: type[ItemCommand]) -> Outcome:
    command = asked.model_validate_json(item.message.body)
    standing = journal.standing.get(command.item)
    held = journal.items.get(command.item)
    if standing is None and held is not None and held.step == QUARANTINE and asked is RetryItem:
        # The door knows of its own, also where it could not apply the saga's opening.
        return Spoke(ItemResumed.model_validate(command.model_dump()))
    if standing is None or (standing.participant, standing.step) != (command.participant, command.step):
        return _refused(journal, item, f"nothing stands still under {command.participant} {command.item}")
    if asked is RetryItem and command.step == GONE:
        return _refused(journal, item, why_no_retry(view, command.participant))
    can_be_skipped = standing.by_flow and asked is SkipItem if standing.forward else journal.is_failing
    if asked is not RetryItem and not can_be_skipped:
        reason = f"{standing.step} is a step, no compensation: it can only be retried, once its cause is mended"
        return _refused(journal, item, reason)
    # The answer has the command's fields; those that only explain a retry are left out.
    answer = ANSWERS[asked].model_validate(command.model_dump())
    # Two of these in a row must not both be said before the log tells of the first.
    del journal.standing[command.item]
    return Spoke(answer)


def _resumed(journal: Journal, view: View, item: Item) -> Outcome:
    """Whether the step stands still is for its participant to know; to go on twice is no harm."""
    command = ResumeStep.model_validate_json(item.message.body)
    if view.graph.step_called(command.participant, command.step) is None:
        return _refused(journal, item, f"{command.participant} has no step {command.step}")
    return Spoke(StepResumed(saga_id=journal.saga_id, participant=command.participant, step=command.step))


def _refused(journal: Journal, item: Item, reason: str) -> Spoke:
    return Spoke(CommandRefused(saga_id=journal.saga_id, command_id=item.message.id, reason=reason))


def missing_legs(view: View, item: Item) -> str:
    """Which facts a join still waits for, in words."""
    owner: Step | None = view.steps.get(item.step)
    legs = owner.legs if owner else ()
    missing = [" or ".join(leg) for leg in legs if item.leg(leg) is None]
    return "the join's deadline has passed; missing: " + ", ".join(missing)
