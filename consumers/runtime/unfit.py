"""PURE: why this build cannot call the step of an item, and how such an item stands still.

A flow that has changed can leave an item without its step, or with messages that the step does not take. The item is
then held (a compensation: stuck), nothing of its budget is spent, and it goes on by itself with a build that fits.
"""

from collections.abc import Iterator

from consumers.runtime.flow_changes import is_readable, messages_of
from consumers.runtime.graph import Step, Undo
from consumers.runtime.journal import Done, Fact, Item, Journal
from consumers.runtime.utterances import Utterance, compensation_stuck, held_by_flow
from consumers.runtime.view import View
from schemas.status import FLOW_CHANGED

CAUSE_CHARACTERS_MAX = 500


def changed(sentence: str) -> str:
    """The cause of what stands still because of this sentence."""
    return f"{FLOW_CHANGED}: {sentence}"[:CAUSE_CHARACTERS_MAX]


def owner_of(view: View, item: Item) -> Step | Undo | None:
    """The step or compensation that the item is one of, or None where this build has none."""
    return view.undos.get(item.step) if item.undoes else view.steps.get(item.step)


def undo_of(journal: Journal, view: View, item: Item) -> Undo | None:
    """What this build has to undo that which the item is to undo, whatever it was called when the item was made."""
    done = done_of(journal, item)
    step = view.steps.get(done.step) if done is not None else None
    return step.undo if step is not None else None


def done_of(journal: Journal, item: Item) -> Done | None:
    """The outcome that the compensation undoes."""
    return next((done for done in journal.done if done.item == item.undoes), None)


def missing(journal: Journal, view: View, item: Item) -> str:
    """What this build lacks to run the item, as a sentence."""
    if item.undoes is None:
        return f"no step of {view.participant} is called {item.step}"
    done = done_of(journal, item)
    return f"no compensation of {item.step if done is None else done.step} is deployed"


def obstacle(journal: Journal, view: View, item: Item) -> str:
    """Why this build cannot call the item's step with what the saga has, as a sentence, or nothing."""
    owner = undo_of(journal, view, item) if item.undoes else view.steps.get(item.step)
    if owner is None:
        return missing(journal, view, item)
    for fact in _arguments(journal, owner, item):
        if not is_readable(fact, view.graph.schema.messages):
            return f"{fact.type} of this saga cannot be read"
    if isinstance(owner, Undo):
        done = done_of(journal, item)
        return misfit(owner, done.fact) if done is not None and done.fact is not None else ""
    if owner.join_deadline_seconds is None and item.message.type not in {kind for leg in owner.legs for kind in leg}:
        return f"{owner.name} is no longer started by {item.message.type}"
    for recall in owner.signature.recalls:
        if not recall.optional and journal.facts.keys().isdisjoint(recall.types):
            return f"{owner.name} recalls {' or '.join(recall.types)}, which was not kept for this saga"
    return ""


def misfit(undo: Undo, fact: Fact) -> str:
    """Why the compensation cannot undo this event, as a sentence, or nothing."""
    return "" if fact.type == undo.fact else f"{undo.name} undoes {undo.fact}, and this saga has {fact.type}"


def _arguments(journal: Journal, owner: Step | Undo, item: Item) -> Iterator[Fact]:
    if isinstance(owner, Undo):
        done = done_of(journal, item)
        if done is not None and done.fact is not None:
            yield done.fact
    else:
        yield from messages_of(item)
    for recall in owner.signature.recalls:
        yield from (journal.facts[kind] for kind in recall.types if kind in journal.facts)


def stand(journal: Journal, view: View, item: Item, sentence: str, at: float, again: bool = False) -> list[Utterance]:
    """Let the item stand still because of the flow, and tell of it: once, or `again`. Its timer goes on."""
    cause = changed(sentence)
    if item.held_from is not None and item.cause == cause and not again:
        return []
    if again:
        # It is told by its attempt, and spends nothing of its budget.
        item.attempt, item.budget = item.attempt + 1, item.budget + 1
    if item.held_from is None:
        item.held_from = "ready" if item.state in ("running", "held", "stuck") else item.state
    item.cause = item.told = cause
    if item.undoes:
        item.state = "stuck"
        return [compensation_stuck(journal, view, item, cause, at)]
    item.state = "held"
    return [held_by_flow(journal, view, item.step, item.id, cause, item.attempt, at)]


def go_on(item: Item) -> None:
    """The item goes on from where it was held."""
    if item.held_from is not None:
        item.state, item.held_from, item.cause, item.told = item.held_from, None, "", ""
