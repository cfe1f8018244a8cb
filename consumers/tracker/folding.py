"""PURE: where a saga stands, as the log tells it. One event at a time; the same log gives the same status."""

from collections.abc import Callable

from consumers.tracker import standing
from consumers.tracker.meanings import Meaning, Meanings
from consumers.tracker.reading import Entry
from consumers.tracker.standing import CAUSE_CHARACTERS_MAX, DELAY_CHARACTERS_MAX
from consumers.tracker.tracked import Tracked, TrackedStep
from producers.errors import IS_DOWN
from schemas.engine import StepDelayed, StepFailed
from schemas.message import Event, Opening, Question
from schemas.status import StepState

LAST_ERROR = "; before that: "
# Far more than a saga says; what others put among its events must not swell state and status without end.
EVENTS_MAX = 1_000
TRACE_ID_CHARACTERS = 32


def opened(meanings: Meanings, entry: Entry, opening: Opening, at: float) -> Tracked:
    """The saga as its Opening tells of it."""
    traceparent = entry.text("traceparent").split("-")
    trace_id = traceparent[1] if len(traceparent) == 4 and len(traceparent[1]) == TRACE_ID_CHARACTERS else ""
    # Nearly every saga has the same ones; one tuple serves them all.
    participants = meanings.participants if opening.participants == meanings.participants else opening.participants
    return Tracked(at, at, trace_id, entry.text("ce_tenant"), participants)


def fold(tracked: Tracked, meanings: Meanings, entry: Entry, event: Event, at: float, heard_at: float) -> None:
    """Note one event of the log; `at` is when it was said, `heard_at` when it stood there by the broker's clock."""
    meaning = entry.meaning
    tracked.heard_at = max(heard_at, tracked.heard_at)
    tracked.updated_at, tracked.last = max(at, tracked.updated_at), entry.id
    if not meaning.is_engine and len(tracked.types) < EVENTS_MAX:
        tracked.types[entry.id] = meaning.wire_type
    if meaning.sayers:
        _note_speaker(tracked, meanings, entry, at)
    rule = _RULES.get(meaning.sort)
    if rule is not None:
        rule(tracked, meanings, meaning, event)
    if tracked.end is not None:
        tracked.question = tracked.waiting_for = tracked.deadline = None
        return
    if meaning.answers is not None and meaning.answers == tracked.question:
        tracked.question = tracked.waiting_for = tracked.deadline = None
    if meaning.hearers:
        _start_hearers(tracked, meaning, at)


def _delayed(tracked: Tracked, meanings: Meanings, meaning: Meaning, event: Event) -> None:
    assert isinstance(event, StepDelayed)
    waits = event.cause.startswith("waits until")
    state: StepState = "waiting" if waits else "delayed"
    standing.update(tracked, meanings, event.participant, event.step, state, event.attempt, event.item)
    for owner in meanings.owners_of(event.participant, event.step):
        step = tracked.steps[owner]
        step.since = max(event.next_at.timestamp(), tracked.heard_at)
        step.delay = None if waits else _with_error(event.cause, step.delay)[:DELAY_CHARACTERS_MAX]


def _with_error(cause: str, before: str | None) -> str:
    """The cause; where it is an open breaker, with the error that the step met before and the breaker does not name."""
    if not cause.endswith(IS_DOWN) or not before:
        return cause
    error = before.removeprefix(cause).removeprefix(LAST_ERROR)
    return cause if error in cause else f"{cause}{LAST_ERROR}{error}"


def _failed(tracked: Tracked, meanings: Meanings, meaning: Meaning, event: Event) -> None:
    assert isinstance(event, StepFailed)
    standing.apply_failure(tracked, meanings, event)
    if event.policy == "end":
        _end(tracked, meaning, event, f"{event.step}: {event.cause}")


def _asked(tracked: Tracked, meanings: Meanings, meaning: Meaning, event: Event) -> None:
    assert isinstance(event, Question)
    tracked.question, tracked.waiting_for = meaning.wire_type, meaning.waiting_for
    tracked.deadline = event.deadline.timestamp()


def _ended(tracked: Tracked, meanings: Meanings, meaning: Meaning, event: Event) -> None:
    _end(tracked, meaning, event, getattr(event, "reason", None))


def _end(tracked: Tracked, meaning: Meaning, event: Event, cause: str | None) -> None:
    if tracked.end is not None:
        return
    tracked.end = meaning.wire_type
    tracked.cause = tracked.end_cause = cause and cause[:CAUSE_CHARACTERS_MAX]
    tracked.outcome = _outcome(meaning.wire_type, event)
    standing.give_up_all(tracked)


def _outcome(wire_type: str, event: Event) -> str:
    """As text: a number in it may be larger than the state's encoding knows."""
    fields = event.model_dump_json(exclude={"saga_id"})
    if "type" in type(event).model_fields:
        return fields
    return f'{{"type":"{wire_type}"}}' if fields == "{}" else f'{{"type":"{wire_type}",{fields[1:]}'


def _note_speaker(tracked: Tracked, meanings: Meanings, entry: Entry, at: float) -> None:
    meaning, cause = entry.meaning, tracked.types.get(entry.causation)
    for sayer in meaning.sayers:
        if sayer.participant == entry.source and (cause in sayer.heard if cause else sayer.hears_commands):
            if tracked.standing:
                standing.forget_spoken(tracked, sayer.names, entry.causation)
            tracked.steps[sayer.step] = TrackedStep(
                state="refused" if meaning.says_refused else "done",
                attempts=entry.attempt(),
                started_at=entry.seconds("ce_startedat", at),
                ended_at=at,
                said=meaning.wire_type,
            )
            standing.show_standing(tracked, meanings, sayer.participant, sayer.step)
            return


def _start_hearers(tracked: Tracked, meaning: Meaning, at: float) -> None:
    spoken: set[str] | None = None
    for hearer in meaning.hearers:
        if hearer.step in tracked.steps:
            continue
        if hearer.legs:
            spoken = set(tracked.types.values()) if spoken is None else spoken
            if not all(spoken.intersection(leg) for leg in hearer.legs):
                continue
        tracked.steps[hearer.step] = TrackedStep(started_at=at, since=tracked.heard_at)


Rule = Callable[[Tracked, Meanings, Meaning, Event], None]

_RULES: dict[str, Rule] = {
    "delayed": _delayed,
    "failed": _failed,
    "stuck": standing.apply_stuck,
    "resumed": standing.apply_resumed,
    "freed": standing.apply_freed,
    "settled": standing.apply_settled,
    "undone": standing.apply_undone,
    "question": _asked,
    "end": _ended,
}
