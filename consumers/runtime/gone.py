"""PURE: the participants of a running saga that are in no flow of this build.

After a failing end such a participant never settles, and every compensation that waits for it would wait without end.
The saga's door says in its place that its compensations stand stuck. An operator resolves or skips them, which counts
as settled; a build that has the participant again settles by itself.
"""

from consumers.runtime.journal import Journal
from consumers.runtime.utterances import Utterance
from consumers.runtime.view import View
from schemas.engine import CompensationStuck
from schemas.status import FLOW_CHANGED

# Told as the step of a participant that is gone; no function can have this name.
GONE = "participant.gone"


def item_of(participant: str) -> str:
    """The item under which the participant stands still."""
    return f"{GONE}/{participant}"


def is_gone(view: View, participant: str) -> bool:
    """Whether no participant of this build carries on what the one of this name has begun."""
    return participant not in view.graph.participants


def gone_stuck(journal: Journal, view: View) -> list[Utterance]:
    """What the door says of each participant that has to settle and is gone; it says so once."""
    if not view.is_door or journal.participants == view.graph.participants:
        return []
    said: list[Utterance] = []
    for participant in journal.participants:
        item = item_of(participant)
        if participant in journal.settled or item in journal.seen or not is_gone(view, participant):
            continue
        journal.seen.append(item)
        event = CompensationStuck(
            saga_id=journal.saga_id,
            participant=participant,
            step=GONE,
            item=item,
            attempts=0,
            cause=f"{FLOW_CHANGED}: this build has no participant {participant}, which has to undo what it did",
        )
        said.append(Utterance(event, item))
    return said


def free(journal: Journal, view: View, participant: str) -> None:
    """A person answers for the participant: it counts as settled, and undoes nothing should it come back."""
    if not journal.is_failing or participant not in journal.participants:
        return
    if participant not in journal.settled:
        journal.settled.append(participant)
    if participant == view.participant:
        journal.has_settled, journal.done = True, []
        journal.items = {item.id: item for item in journal.items.values() if item.command}


def why_no_retry(view: View, participant: str) -> str:
    """Why the door does not pass on the wish to try again."""
    if is_gone(view, participant):
        return f"this build has no participant {participant}: deploy one that has it, or resolve or skip the item"
    return f"{participant} is in this build again, and settles by itself"
