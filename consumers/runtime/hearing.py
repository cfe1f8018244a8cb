"""PURE: the rules of the log. What a message that stands in it changes in a participant's journal.

1. The Opening opens; a saga that was never opened, or is closed, hears nothing.
2. The first end wins; a later one changes nothing.
3. Before an end, a fact starts the steps that hear it, each once; a join starts when its last leg is heard.
4. After a failing end no new attempt starts: attempts in flight come to an end, then the participant undoes.
5. A compensation that a person has resolved or skipped counts as done, and settling goes on.
6. While this build cannot carry the saga, what would start a step is parked. A failing end gives that up as well.
"""

from consumers.runtime import gone
from consumers.runtime.flow_record import FLOW
from consumers.runtime.graph import Step
from consumers.runtime.journal import Done, End, Fact, Item, Journal, Standing
from consumers.runtime.quarantine import QUARANTINE
from consumers.runtime.unfit import changed, go_on, misfit, missing, owner_of, stand, undo_of
from consumers.runtime.utterances import BY_FLOW, Utterance, compensation_stuck, settled
from consumers.runtime.view import View
from schemas.engine import CompensationStuck, ItemResolved, ItemResumed, ItemSkipped, Settled, StepFailed
from schemas.message import Message, Opening
from schemas.status import FLOW_CHANGED

STANDING_MAX = 200


def hear(journal: Journal, view: View, fact: Fact, event: Message) -> list[Utterance]:
    """Fold one event of the log into the journal; returns what follows at once. Hearing it again changes nothing.

    `event` is the message in the fact's body.
    """
    if fact.id in journal.awaiting:
        journal.awaiting.remove(fact.id)
    if journal.closed_at is not None:
        return []
    if fact.type in view.openings:
        if journal.participants:
            return []
        _open(journal, view, fact, event)
    if not journal.is_open:
        # Its opening may be what could not be applied.
        return _resume(journal, view, fact, event) if isinstance(event, ItemResumed) else []
    said = _note(journal, view, fact, event) if fact.type in view.decisive else []
    if journal.end is not None and _is_over(journal, journal.end):
        journal.close(fact.at)
        return []
    if journal.is_failing:
        return said + settle(journal, view, fact.at)
    if journal.hold is not None:
        if fact.type in view.kept or view.hearers.get(fact.type):
            journal.park(fact)
        return said
    if fact.type in view.kept:
        journal.facts[fact.type] = fact
    for step in view.hearers.get(fact.type, ()):
        _trigger(journal, step, fact)
    return said


def _note(journal: Journal, view: View, fact: Fact, event: Message) -> list[Utterance]:
    """What the engine's own events and the ends change."""
    if fact.type in view.openings:
        return []
    if fact.type in view.ends:
        _end(journal, End(fact.type, fact.id, failing=fact.type not in view.completions))
    elif isinstance(event, Settled):
        participant = event.participant
        if journal.is_failing and participant in journal.participants and participant not in journal.settled:
            journal.settled.append(participant)
            journal.standing.pop(gone.item_of(participant), None)
    elif isinstance(event, StepFailed):
        if event.policy == "end":
            _end(journal, End(fact.type, fact.id, failing=True))
        elif event.policy == "hold" and journal.end is None:
            _stand(journal, event, forward=True)
    elif isinstance(event, CompensationStuck):
        _stand(journal, event, event.forward)
    elif isinstance(event, ItemResumed):
        return _resume(journal, view, fact, event)
    elif isinstance(event, ItemResolved | ItemSkipped):
        _free(journal, view, event)
    return []


def _is_over(journal: Journal, end: End) -> bool:
    """Whether nothing more can happen after this end: completed, or failed and settled by all."""
    return not end.failing or set(journal.participants) <= set(journal.settled)


def _open(journal: Journal, view: View, fact: Fact, opened: Message) -> None:
    assert isinstance(opened, Opening)
    journal.participants, journal.graph = opened.participants, opened.graph
    if view.participant not in opened.participants:
        # This participant joined the flow after the saga had begun; it owes the saga nothing.
        journal.close(fact.at)


def _stand(journal: Journal, named: StepFailed | CompensationStuck, forward: bool) -> None:
    if forward and journal.end is not None and named.step not in (QUARANTINE, FLOW):
        # The end has given it up: its participant had not heard of it yet.
        return
    if named.participant in journal.participants and len(journal.standing) < STANDING_MAX:
        by_flow = named.cause.startswith(FLOW_CHANGED)
        journal.standing[named.item] = Standing(named.participant, named.step, forward, by_flow)


def _end(journal: Journal, end: End) -> None:
    if journal.end is None:
        journal.end = end
        # What stood still before the end is given up by it, and undone.
        journal.standing, journal.hold = {}, None
        for item in [item for item in journal.items.values() if item.step == QUARANTINE]:
            del journal.items[item.id]


def _trigger(journal: Journal, step: Step, fact: Fact) -> None:
    if step.join_deadline_seconds is not None:
        _join(journal, step, step.join_deadline_seconds, fact)
        return
    item_id = _id_of(journal, step, fact.id)
    if item_id not in journal.seen:
        journal.seen.append(item_id)
        journal.items[item_id] = Item(item_id, step.name, fact, budget=step.retry.attempts)


def _id_of(journal: Journal, step: Step, about: str) -> str:
    """The id of the step's item; one that began under a former name of the step has it still."""
    for name in step.formerly:
        if (item_id := f"{name}/{about}") in journal.seen:
            return item_id
    return f"{step.name}/{about}"


def _join(journal: Journal, step: Step, deadline_seconds: float, fact: Fact) -> None:
    item_id = _id_of(journal, step, "join")
    item = journal.items.get(item_id)
    if item is None:
        if item_id in journal.seen:
            return
        journal.seen.append(item_id)
        due = fact.at + deadline_seconds
        item = Item(item_id, step.name, fact, state="joining", budget=step.retry.attempts, due=due)
        journal.items[item_id] = item
    if item.state not in ("joining", "held"):
        return
    if any(fact.type in leg and item.leg(leg) is None for leg in step.legs):
        item.legs[fact.type] = item.message = fact
    if not lacks_legs(item, step) and item.state == "joining":
        item.state, item.due = "ready", None


def _resume(journal: Journal, view: View, fact: Fact, named: ItemResumed) -> list[Utterance]:
    journal.standing.pop(named.item, None)
    item, at = journal.items.get(named.item), fact.at
    if named.participant != view.participant or item is None or item.state not in ("held", "stuck"):
        return []
    if fact.source == view.participant and fact.causation.startswith(f"{BY_FLOW}{item.id}/"):
        # It has gone on by itself, and stands still for another reason by now.
        return []
    owner = owner_of(view, item)
    if item.step == QUARANTINE:
        # What could not be applied is applied now; if it fails again, it is held again.
        del journal.items[item.id]
        return hear(journal, view, item.message, view.kinds[item.message.type].model_validate_json(item.message.body))
    if item.held_from is not None and owner is not None:
        go_on(item)
        return []
    if owner is not None:
        item.attempt += 1
        item.budget = item.attempt - 1 + owner.retry.attempts
        item.state, item.due, item.cause, item.told = "ready", None, "", ""
        if isinstance(owner, Step) and owner.join_deadline_seconds is not None and lacks_legs(item, owner):
            item.state, item.due = "joining", at + owner.join_deadline_seconds
        return []
    if item.undoes and undo_of(journal, view, item) is not None:
        # Its compensation is deployed by now; settling makes it anew.
        del journal.items[item.id]
        return []
    return stand(journal, view, item, missing(journal, view, item), at, again=True)


def _free(journal: Journal, view: View, named: ItemResolved | ItemSkipped) -> None:
    """The stuck compensation is over, whether or not it is deployed; what it was to undo is owed no more.

    A step that is held because of the flow can be given up as well; what it may have done is undone at a failing end.
    """
    journal.standing.pop(named.item, None)
    if named.step == gone.GONE:
        gone.free(journal, view, named.participant)
        return
    item = journal.items.get(named.item)
    if named.participant != view.participant or item is None:
        return
    if item.state == "stuck" and item.undoes:
        del journal.items[item.id]
        journal.done = [done for done in journal.done if done.item != item.undoes]
    elif item.state == "held" and item.held_from is not None and not item.undoes:
        drop(journal, view, item)


def lacks_legs(item: Item, step: Step) -> bool:
    """Whether the item is a join that has not heard all it waits for."""
    return step.join_deadline_seconds is not None and any(item.leg(leg) is None for leg in step.legs)


def settle(journal: Journal, view: View, at: float) -> list[Utterance]:
    """Go on with undoing after a failing end, last step first, one after the other; says Settled when all is undone."""
    if not journal.is_failing or not journal.is_open:
        return []
    return gone.gone_stuck(journal, view) + _undo_next(journal, view, at)


def _undo_next(journal: Journal, view: View, at: float) -> list[Utterance]:
    if journal.has_settled:
        return []
    if any(item.state == "running" or item.undoes for item in journal.items.values()):
        return []
    for item in [item for item in journal.items.values() if not item.command and item.step != QUARANTINE]:
        drop(journal, view, item)
    if journal.done:
        last = journal.done[-1]
        step = view.steps.get(last.step)
        if step is None or step.undo is None:
            return [_not_deployed(journal, view, last, at)]
        owed = (step.undo.waits_for & set(journal.participants)) - set(journal.settled)
        if not owed:
            item_id = f"{step.undo.name}/{last.message.key}"
            item = Item(item_id, step.undo.name, last.message, budget=step.undo.retry.attempts, undoes=last.item)
            if last.unknown_until > at:
                item.state, item.due = "delayed", last.unknown_until
            journal.items[item_id] = item
            if last.fact is not None and (sentence := misfit(step.undo, last.fact)):
                return stand(journal, view, item, sentence, at)
        return []
    journal.has_settled = True
    return [settled(journal, view)]


def _not_deployed(journal: Journal, view: View, done: Done, at: float) -> Utterance:
    cause = changed(f"no compensation of {done.step} is deployed")
    item_id = f"{done.step}/undo/{done.message.key}"
    item = Item(item_id, done.step, done.message, state="stuck", undoes=done.item, cause=cause, held_from="ready")
    journal.items[item.id] = item
    return compensation_stuck(journal, view, item, cause, at)


def drop(journal: Journal, view: View, item: Item) -> None:
    """Give up a forward item: if its step has an undo, it is not known what the step may have done.

    Of a step that is not in this build the item itself tells, by `unknown_until`, whether it may have had an effect.
    """
    del journal.items[item.id]
    step = view.steps.get(item.step)
    is_owed = item.unknown_until > 0 if step is None else step.undo is not None and not lacks_legs(item, step)
    if is_owed:
        journal.done.append(Done(item.id, item.step, item.message, None, item.unknown_until))
