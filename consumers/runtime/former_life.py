"""PURE: what an opening must assume of the lane's former life, by the position that it left.

An attempt of which no end was committed may still have an effect: the former life may have started it since its last
transaction. The latest moment at which a former life can have started one is this opening: from then on it is fenced,
and its lease has run out (see `lease`). So the effect comes no later than this opening + the step's timeout.
"""

from typing import Literal

from consumers.runtime.finishing import is_due
from consumers.runtime.journal import Item, Journal
from consumers.runtime.transport import Position
from consumers.runtime.view import View

Ending = Literal["clean", "lost", "crashed"]


def ending_of(position: Position | None, life: str) -> Ending:
    """Return how the life that left this position ended; `life` is the one that opens the lane now.

    clean: it had read its backlog to the end, and nothing was running. lost: something may have been running when it
    lost the lane, but its process lives on. crashed: anything else. A life that is stopped while it catches up leaves
    what it has found.
    """
    if position is None or position.clean:
        return "clean"
    return "lost" if position.owner == life else "crashed"


def assume_begun(journal: Journal, view: View, ending: Ending, now: float) -> bool:
    """Mark the items of the journal that the former life may have started; returns whether anything has changed."""
    changed = False
    for item in journal.items.values():
        if item.state == "running":
            item.state, item.due = "ready", None
        elif ending == "clean" or not _may_have_begun(item, now):
            continue
        changed = True
        mark_begun(item, view, ending, now)
    return changed


def mark_begun(item: Item, view: View, ending: Ending, now: float) -> None:
    """Note that an attempt of the item may be under way; after a crash the item is also a suspect."""
    step = view.steps.get(item.step)
    if step is not None and step.undo is not None and not item.undoes:
        item.unknown_until = max(item.unknown_until, now + step.timeout_seconds)
    if ending == "crashed":
        item.deaths += item.on_trial
        if item.is_alone:
            # It alone can be the cause, of this crash and of those at which it was on trial with others.
            item.attempt = max(item.attempt, item.deaths) + 1
        item.suspect = True
    item.on_trial = item.is_alone = False


def _may_have_begun(item: Item, now: float) -> bool:
    if item.state == "ready":
        # A suspect starts only after a transaction that has it running.
        return not item.suspect
    return item.state in ("delayed", "waiting") and is_due(item, now)
