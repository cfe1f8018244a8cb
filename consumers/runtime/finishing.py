"""PURE: the rules of outcomes. What follows when an item has ended, and which items may start.

1. What a step says is said whatever the log has decided meanwhile; if an end has come first, it is then undone.
2. A failure is tried again inside the step's budget, unless a failing end has been heard.
3. A spent budget ends the saga, holds the step, or is ignored, by the step's policy; a pivot and what follows it hold.
4. A compensation cannot refuse: it is tried again, then it stands `stuck` until a person frees it.
5. The door does one thing of a saga at a time, in the order of the broker's clock, and only when it has heard its own
   last word in the log: so a command and a deadline cannot both win.
"""

import msgspec

from consumers.runtime.graph import Step, Undo
from consumers.runtime.hearing import drop, settle
from consumers.runtime.journal import Done, Fact, Item, Journal
from consumers.runtime.quarantine import frees, is_quarantined
from consumers.runtime.retries import wait_seconds
from consumers.runtime.unfit import changed, owner_of, stand
from consumers.runtime.utterances import (
    Failure,
    Utterance,
    command_refused,
    compensation_stuck,
    step_delayed,
    step_failed,
    wire_type_of,
)
from consumers.runtime.view import View
from producers.headers import iso_time
from producers.identity import fact_id
from schemas.engine import Policy
from schemas.message import Event

TELLING_DELAY_SECONDS = 1.0
# So many attempts are told of although their cause is the same: when the next one is, and which it is, are news.
ATTEMPTS_TOLD_MAX = 10
SHORTEST_WAIT_SECONDS = 0.01
ANSWERED_MAX = 1_000


class Spoke(msgspec.Struct, frozen=True):
    """The step returned: an event, or nothing to say. `body` is the event as it will stand on the wire."""

    event: Event | None
    body: bytes = b""


class Waits(msgspec.Struct, frozen=True):
    """The step asked to be called again at `until`, in seconds of the broker's clock."""

    until: float


class Blocked(msgspec.Struct, frozen=True):
    """The attempt never began: a dependency is down. It costs nothing of the budget."""

    cause: str
    until: float


class Broke(msgspec.Struct, frozen=True):
    """The attempt failed. A `permanent` failure would fail again, so the budget counts as spent."""

    error: str
    cause: str
    permanent: bool = False


class Unfit(msgspec.Struct, frozen=True):
    """The attempt never began: this build cannot call the step with what the saga has. `sentence` tells why."""

    sentence: str


Outcome = Spoke | Waits | Blocked | Broke | Unfit


def finish(journal: Journal, view: View, item: Item, outcome: Outcome, now: float) -> list[Utterance]:
    """Note the outcome of a running item; returns what is to be said. An item that was dropped meanwhile is ignored."""
    if journal.items.get(item.id) is not item:
        return []
    item.suspect = item.on_trial = item.is_alone = False
    owner = owner_of(view, item)
    if isinstance(outcome, Spoke):
        said = _spoke(journal, view, item, outcome, now)
    elif isinstance(outcome, Waits):
        # A moment that has passed already must not make the item turn round without end.
        until = max(outcome.until, now + SHORTEST_WAIT_SECONDS)
        said = _delay(
            journal, view, item, f"waits until {iso_time(outcome.until)}", until, is_long=_is_long(until, now)
        )
        item.state = "waiting"
    elif isinstance(outcome, Blocked):
        # Counted from when the step could have begun: its saga is kept waiting since then.
        is_long = _is_long(outcome.until, item.message.at)
        said = _delay(journal, view, item, outcome.cause, outcome.until, is_long=is_long)
    elif isinstance(outcome, Unfit):
        said = _unfit(journal, view, item, outcome.sentence, now)
    elif owner is None:
        item.state, item.cause = "stuck", outcome.cause
        said = [compensation_stuck(journal, view, item, outcome.cause)]
    elif not outcome.permanent and item.attempt < item.budget and (item.undoes or not journal.is_failing):
        due = now + wait_seconds(owner.retry, item.attempt)
        attempt = item.attempt
        is_again = _is_long(due, now) and attempt <= ATTEMPTS_TOLD_MAX
        cause, is_long = f"{outcome.error}: {outcome.cause}", _is_long(due, item.message.at)
        said = _delay(journal, view, item, cause, due, is_long=is_long, is_again=is_again)
        item.attempt = attempt + 1
    else:
        said = _give_up(journal, view, item, owner, outcome, now)
    return said + settle(journal, view, now) if journal.is_failing else said


def _unfit(journal: Journal, view: View, item: Item, sentence: str, now: float) -> list[Utterance]:
    if item.command:
        # Who has asked can ask again; a command that waited would keep its saga from ever being over.
        del journal.items[item.id]
        note_answered(journal, item, now)
        return [command_refused(journal, item, changed(sentence))]
    if journal.is_failing and not item.undoes:
        drop(journal, view, item)
        return []
    return stand(journal, view, item, sentence, now)


def _spoke(journal: Journal, view: View, item: Item, outcome: Spoke, now: float) -> list[Utterance]:
    del journal.items[item.id]
    if item.command:
        note_answered(journal, item, now)
    message = item.message
    # Each hop comes here: what `key` returns, without the call.
    causation, cause = message.id, message.identity or message.id
    if item.undoes:
        undone = journal.done.pop()
        journal.undone += 1
        caused_by = undone.fact or undone.message
        causation, cause = caused_by.id, caused_by.key
    step = view.steps.get(item.step)
    if outcome.event is None:
        if not item.undoes and step is not None and step.undo is not None:
            journal.done.append(Done(item.id, item.step, item.message, None, item.unknown_until))
        return [command_refused(journal, item, "it leads to nothing now")] if item.command else []
    event = outcome.event
    wire_type = event.wire_type or wire_type_of(event, view.graph.saga)
    said_id = fact_id(journal.saga_id, wire_type, view.participant, cause)
    utterance = Utterance(event, causation, item.attempt, item.started_at, None, outcome.body, said_id, cause)
    if not item.undoes and step is not None and step.undo is not None:
        if step.undo.fact == wire_type:
            fact = Fact(wire_type, said_id, view.participant, outcome.body, item.message.at, cause)
            journal.done.append(Done(item.id, item.step, item.message, fact, item.unknown_until))
        elif item.unknown_until > now:
            # It has refused, but an attempt of a former life can still have the effect.
            journal.done.append(Done(item.id, item.step, item.message, None, item.unknown_until))
    if view.is_door and journal.closed_at is None and wire_type in view.graph.sayers:
        journal.awaiting.append(said_id)
    return [utterance]


def _is_long(due: float, since: float) -> bool:
    return due - since > TELLING_DELAY_SECONDS


def _delay(
    journal: Journal, view: View, item: Item, cause: str, due: float, *, is_long: bool, is_again: bool = False
) -> list[Utterance]:
    """Let the item wait; tell of it where it is kept for long, by a cause that is news or another attempt."""
    goes_on = bool(item.undoes) or not journal.is_failing
    is_news = goes_on and is_long and (is_again or cause != item.told)
    item.state, item.due, item.cause = "delayed", due, cause
    item.told = cause if is_news else item.told
    return [step_delayed(journal, view, item, due)] if is_news else []


def delayed_by(journal: Journal, view: View, item: Item, down: Blocked, now: float) -> list[Utterance]:
    """The item may start, but a dependency is down: returns what its saga is told, once. The item stays as it is."""
    if item.told == down.cause or not is_due(item, now) or (journal.is_failing and not item.undoes):
        return []
    item.cause = item.told = down.cause
    return [step_delayed(journal, view, item, max(down.until, now))]


def note_answered(journal: Journal, item: Item, now: float) -> None:
    """The command is answered; published again, it gets no other answer."""
    journal.answered_at = now
    journal.answered.append(item.message.key)
    del journal.answered[:-ANSWERED_MAX]


def is_repeated(journal: Journal, item: Item) -> bool:
    """Whether the command was heard before: it waits, or is answered.

    One that a former build remembers by its id alone counts as heard, whatever its source is.
    """
    message = item.message
    if item.id in journal.items or message.key in journal.answered or message.id in journal.answered_ids:
        return True
    former = journal.items.get(f"{item.step}/{message.id}")
    return former is not None and former.message.source == message.source


def _give_up(journal: Journal, view: View, item: Item, owner: Step | Undo, broke: Broke, now: float) -> list[Utterance]:
    failure = Failure(item, broke.error, broke.cause)
    item.cause, item.due = f"{broke.error}: {broke.cause}", None
    if isinstance(owner, Undo):
        item.state = "stuck"
        return [compensation_stuck(journal, view, item, item.cause)]
    policy = _policy(journal, owner, item)
    if policy == "hold":
        item.state = "held"
        return [step_failed(journal, view, item, "hold", failure)]
    drop(journal, view, item)
    refusal: list[Utterance] = []
    if item.command:
        note_answered(journal, item, now)
        refusal = [command_refused(journal, item, item.cause)]
    return [step_failed(journal, view, item, policy, failure), *refusal]


def _policy(journal: Journal, owner: Step, item: Item) -> Policy:
    """What the spent budget leads to now: the step's policy, unless the saga is ending or can only go forward."""
    if journal.is_failing:
        # The saga is ending already; the failure is told, and changes nothing.
        return "ignore"
    if owner.policy == "end" and not owner.until.isdisjoint(journal.facts):
        return "ignore" if item.command else "hold"
    return owner.policy


def startable(journal: Journal, view: View, now: float, passed: frozenset[str] | set[str]) -> list[Item]:
    """The items that may start now. `passed` names those whose read barrier is behind them (see `needs_barrier`)."""
    due = [item for item in journal.items.values() if item.state == "ready" or is_due(item, now)]
    if due and is_quarantined(journal):
        # No effect may rest on a saga of which an event is not applied; what frees it may start.
        due = [item for item in due if frees(view, item)]
    if due and journal.hold is not None:
        due = [item for item in due if frees(view, item) or _is_answerable(journal, view, item)]
    if not due:
        return []
    if view.is_door:
        if journal.awaiting or any(item.state == "running" for item in journal.items.values()):
            return []
        first = min(due, key=_moment)
        if first.state in ("waiting", "joining") and any(
            item.command and item.state == "delayed" and item.message.at <= _moment(first)
            for item in journal.items.values()
        ):
            # A command that came before the deadline beats it on a later attempt as well.
            return []
        return [first] if first.id in passed or not needs_barrier(first) else []
    running = {item.step for item in journal.items.values() if item.state == "running"}
    chosen: list[Item] = []
    for item in due:
        if item.step not in running and (item.id in passed or not needs_barrier(item)):
            running.add(item.step)
            chosen.append(item)
    return chosen


def _is_answerable(journal: Journal, view: View, item: Item) -> bool:
    """Whether a command, such as a cancel, rests on nothing that is parked while the saga is held."""
    step = view.steps.get(item.step)
    if not item.command or step is None or journal.hold is None:
        return False
    needed = step.until.union(*(recall.types for recall in step.signature.recalls))
    return all(fact.type in view.kinds and fact.type not in needed for fact in journal.hold.parked)


def is_due(item: Item, now: float) -> bool:
    """Whether the item wants to run, or has run out of time, at `now`."""
    if item.state == "ready":
        return True
    return item.state in ("waiting", "delayed", "joining") and item.due is not None and item.due <= now


def needs_barrier(item: Item) -> bool:
    """Whether the item may only be judged once everything is heard that stood in the log when it became due."""
    return item.command or item.state in ("waiting", "joining")


def _moment(item: Item) -> float:
    return item.due if item.due is not None and item.state in ("waiting", "joining") else item.message.at
