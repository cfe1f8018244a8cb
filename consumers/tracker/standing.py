"""PURE: what of a saga stands still until a person frees it, and the rows of its status that show it.

A row is known by its step's name. A step that is not in this build has a row of its own, with the participant that told
of it: without the participant no verb can name the item.
"""

from consumers.runtime.flow_record import FLOW
from consumers.runtime.gone import GONE
from consumers.runtime.quarantine import QUARANTINE
from consumers.tracker.meanings import Meaning, Meanings
from consumers.tracker.tracked import Tracked, TrackedStep
from schemas.engine import CompensationStuck, ItemResolved, ItemResumed, ItemSkipped, Settled, StepFailed
from schemas.message import Event
from schemas.status import FLOW_CHANGED, SagaState, StepState

CAUSE_CHARACTERS_MAX = 2_000
DELAY_CHARACTERS_MAX = 500
STANDING_MAX = 200
UNKNOWN_STEPS_MAX = 20
# What is told under these names holds the whole saga in its participant, also while it should undo.
HOLDS_SAGA = frozenset({QUARANTINE, FLOW})
# As long as the status lets a name be.
ROW_CHARACTERS_MAX = 300


def rename_steps(tracked: Tracked, meanings: Meanings) -> bool:
    """Give the rows of steps that were renamed since their names of now; returns whether there were any."""
    former = [name for name in tracked.steps if name in meanings.renamed]
    for name in former:
        step = tracked.steps.pop(name)
        step.participant = ""
        tracked.steps.setdefault(meanings.renamed[name], step)
    return bool(former)


def update(
    tracked: Tracked,
    meanings: Meanings,
    participant: str,
    name: str,
    state: StepState,
    attempts: int | None,
    item: str | None,
) -> None:
    """Write to the rows of a step, or of the step whose compensation has this name; a missing row is not added."""
    for row in _rows(tracked, meanings, participant, name):
        step = tracked.steps.setdefault(row, TrackedStep())
        step.state, step.item = state, item
        if attempts is not None:
            step.attempts = attempts
    show_standing(tracked, meanings, participant, name)


def apply_failure(tracked: Tracked, meanings: Meanings, event: StepFailed) -> None:
    """A step has spent its budget, or cannot be carried by this build. After the end only what holds a saga counts."""
    if event.policy == "hold" and (tracked.end is None or event.step in HOLDS_SAGA):
        _stand(tracked, meanings, event, "held")
    else:
        update(tracked, meanings, event.participant, event.step, "failed", event.attempts, event.item)


def apply_stuck(tracked: Tracked, meanings: Meanings, meaning: Meaning, event: Event) -> None:
    """A compensation stands stuck, or a step that this build of its participant lacks.

    Such a step is given up by the end: what is told of it after the end was said before its participant heard the end.
    """
    assert isinstance(event, CompensationStuck)
    if tracked.end is None or not event.forward or event.step in HOLDS_SAGA:
        _stand(tracked, meanings, event, "stuck")


def _stand(tracked: Tracked, meanings: Meanings, event: StepFailed | CompensationStuck, state: SagaState) -> None:
    if event.participant not in tracked.participants:
        # Others may write among the events; no verb could free what stands under this name.
        return
    if len(tracked.standing) < STANDING_MAX:
        tracked.standing[event.item] = state
        tracked.standing_at[event.item] = event.participant
    cause = event.cause if event.cause.startswith(FLOW_CHANGED) else f"{event.step}: {event.cause}"
    tracked.cause = cause[:CAUSE_CHARACTERS_MAX]
    _add_row(tracked, meanings, event.participant, event.step)
    shown: StepState = "held" if state == "held" else "stuck"
    update(tracked, meanings, event.participant, event.step, shown, event.attempts, event.item)
    for row in _rows(tracked, meanings, event.participant, event.step):
        tracked.steps[row].delay = event.cause[:DELAY_CHARACTERS_MAX]


def apply_resumed(tracked: Tracked, meanings: Meanings, meaning: Meaning, event: Event) -> None:
    """An item that stood still is tried again."""
    assert isinstance(event, ItemResumed)
    _forget(tracked, event.item)
    for row in _rows(tracked, meanings, event.participant, event.step):
        if event.step in HOLDS_SAGA:
            # It was no step, and has nothing to say.
            del tracked.steps[row]
            continue
        step = tracked.steps.setdefault(row, TrackedStep())
        step.state, step.item = "running", event.item
        step.since, step.delay = tracked.heard_at, None
    show_standing(tracked, meanings, event.participant, event.step)
    _forget_cause(tracked)


def apply_freed(tracked: Tracked, meanings: Meanings, meaning: Meaning, event: Event) -> None:
    """A person has undone by hand what stood stuck, or has given it up."""
    assert isinstance(event, ItemResolved | ItemSkipped)
    _forget(tracked, event.item)
    state: StepState = "undone" if isinstance(event, ItemResolved) else "skipped"
    update(tracked, meanings, event.participant, event.step, state, None, None)
    if event.step == GONE:
        _settle(tracked, event.participant)
    _forget_cause(tracked)


def apply_settled(tracked: Tracked, meanings: Meanings, meaning: Meaning, event: Event) -> None:
    """A participant has settled; what held the saga there holds it no more, nor does it matter that it was gone."""
    assert isinstance(event, Settled)
    _settle(tracked, event.participant)
    for name in (GONE, FLOW):
        if _forget(tracked, f"{name}/{event.participant}"):
            update(tracked, meanings, event.participant, name, "done", None, None)
            _forget_cause(tracked)


def apply_undone(tracked: Tracked, meanings: Meanings, meaning: Meaning, event: Event) -> None:
    """A compensation has spoken, and so stands still no more."""
    for step, undos in meaning.undone:
        tracked.steps.setdefault(step, TrackedStep())
        tracked.steps[step].state, tracked.steps[step].item = "undone", None
        for item in [name for name in tracked.standing if name.partition("/")[0] in undos]:
            _forget(tracked, item)
            _forget_cause(tracked)


def forget_spoken(tracked: Tracked, names: tuple[str, ...], causation: str) -> None:
    """A step with these names has spoken about this message: what freed the item may not have been told."""
    for name in names:
        _forget(tracked, f"{name}/{causation}")
        _forget(tracked, f"{name}/join")
    _forget_cause(tracked)


def give_up_all(tracked: Tracked) -> None:
    """The saga has ended: what stood still before is given up, and is undone where it can be."""
    tracked.standing.clear()
    tracked.standing_at.clear()
    tracked.lost = ()
    for step in tracked.steps.values():
        if step.state in ("running", "waiting", "delayed", "held", "stuck"):
            step.state, step.item = "skipped", None


def _forget(tracked: Tracked, item: str) -> bool:
    """The item stands still no more; returns whether it did."""
    tracked.standing_at.pop(item, None)
    return tracked.standing.pop(item, None) is not None


def _settle(tracked: Tracked, participant: str) -> None:
    if tracked.end is not None and participant in tracked.participants and participant not in tracked.settled:
        tracked.settled.append(participant)


def _forget_cause(tracked: Tracked) -> None:
    if not tracked.standing:
        tracked.cause = tracked.end_cause


def show_standing(tracked: Tracked, meanings: Meanings, participant: str, name: str) -> None:
    """A row names one item at a time: where another one of the same step stands still, it is that one's turn."""
    if not tracked.standing:
        return
    rows = _rows(tracked, meanings, participant, name)
    for item, state in tracked.standing.items():
        step = item.partition("/")[0]
        if tracked.standing_at.get(item, participant) != participant:
            # Another participant stands still under the same name.
            continue
        for row in rows & _rows(tracked, meanings, participant, step) & tracked.steps.keys():
            tracked.steps[row].state = "held" if state == "held" else "stuck"
            tracked.steps[row].item = item


def _rows(tracked: Tracked, meanings: Meanings, participant: str, name: str) -> frozenset[str]:
    owners = meanings.owners_of(participant, name)
    return owners or frozenset({name, _own_row(participant, name)} & _unknown_rows(tracked, meanings, participant))


def _unknown_rows(tracked: Tracked, meanings: Meanings, participant: str) -> set[str]:
    return {row for row, step in tracked.steps.items() if row not in meanings.names and step.participant == participant}


def _add_row(tracked: Tracked, meanings: Meanings, participant: str, name: str) -> None:
    """See that an item that stands still has a row, with its participant; a row of the former build may lack it."""
    if meanings.owners_of(participant, name):
        return
    former = tracked.steps.get(name)
    if former is not None and not former.participant and name not in meanings.names:
        former.participant = participant
    elif not _rows(tracked, meanings, participant, name):
        if len(tracked.steps) < len(meanings.steps) + UNKNOWN_STEPS_MAX:
            is_taken = former is not None or name in meanings.names
            row = _own_row(participant, name) if is_taken else name
            tracked.steps[row] = TrackedStep(participant=participant)


def _own_row(participant: str, name: str) -> str:
    return f"{participant}/{name}"[:ROW_CHARACTERS_MAX]
