"""PURE: where a saga stands, as the log tells it. One event at a time; the same log gives the same status."""

from collections.abc import Callable

import msgspec

from consumers.runtime.quarantine import QUARANTINE
from consumers.tracker.meanings import Meaning, Meanings
from consumers.tracker.reading import Entry
from producers.errors import IS_DOWN
from schemas.engine import CompensationStuck, ItemResolved, ItemResumed, ItemSkipped, Settled, StepDelayed, StepFailed
from schemas.message import Event, Opening, Question
from schemas.status import SagaState, StepState

CAUSE_CHARACTERS_MAX = 2_000
DELAY_CHARACTERS_MAX = 500
LAST_ERROR = "; before that: "
# Far more than a saga says; what others put among its events must not swell state and status without end.
EVENTS_MAX = 1_000
STANDING_MAX = 200
UNKNOWN_STEPS_MAX = 20
TRACE_ID_CHARACTERS = 32


class TrackedStep(msgspec.Struct, array_like=True, gc=False):
    """One step, as far as the log tells; times in seconds.

    `since`: from when on, by the broker's clock, it may be expected to speak. `delay`: why it waits or stands still.
    """

    state: StepState = "running"
    attempts: int = 1
    started_at: float | None = None
    ended_at: float | None = None
    said: str | None = None
    item: str | None = None
    participant: str = ""
    since: float | None = None
    delay: str | None = None


class Stalled(msgspec.Struct, array_like=True, gc=False):
    """Who owes the saga what, since when, and what was found there."""

    step: str
    participant: str
    missing: tuple[str, ...]
    since: float
    found: str


class Tracked(msgspec.Struct, array_like=True):
    """One open saga. `types` tells what kind of event each id was; the saga's own id is the key it is kept under."""

    started_at: float
    updated_at: float
    trace_id: str = ""
    tenant: str = ""
    participants: tuple[str, ...] = ()
    settled: list[str] = msgspec.field(default_factory=list)
    steps: dict[str, TrackedStep] = msgspec.field(default_factory=dict)
    types: dict[str, str] = msgspec.field(default_factory=dict)
    question: str | None = None
    waiting_for: str | None = None
    deadline: float | None = None
    cause: str | None = None
    standing: dict[str, SagaState] = msgspec.field(default_factory=dict)
    end: str | None = None
    outcome: str | None = None
    last: str = ""
    end_cause: str | None = None
    heard_at: float = 0.0
    stalled: Stalled | None = None
    # The paused steps at which it waits, and why each is paused.
    paused: dict[str, str] = msgspec.field(default_factory=dict)

    def is_closed(self, meanings: Meanings) -> bool:
        """Whether nothing more can happen."""
        if self.end is None:
            return False
        return self.end in meanings.completions or set(self.participants) <= set(self.settled)


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
        _note_speaker(tracked, entry, at)
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
    _update(tracked, meanings, event.step, "waiting" if waits else "delayed", event.attempt, event.item)
    for owner in meanings.owners.get(event.step, ()):
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
    state: StepState = "held" if event.policy == "hold" else "failed"
    _update(tracked, meanings, event.step, state, event.attempts, event.item)
    if event.policy == "hold":
        _stand(tracked, meanings, event, "held")
    elif event.policy == "end":
        _end(tracked, meaning, event, f"{event.step}: {event.cause}")


def _stuck(tracked: Tracked, meanings: Meanings, meaning: Meaning, event: Event) -> None:
    assert isinstance(event, CompensationStuck)
    if event.step not in meanings.owners and len(tracked.steps) < len(meanings.steps) + UNKNOWN_STEPS_MAX:
        # It is not in this build: told of under its own name, or nobody could free it.
        tracked.steps.setdefault(event.step, TrackedStep(participant=event.participant))
    _update(tracked, meanings, event.step, "stuck", event.attempts, event.item)
    _stand(tracked, meanings, event, "stuck")


def _stand(tracked: Tracked, meanings: Meanings, event: StepFailed | CompensationStuck, state: SagaState) -> None:
    if len(tracked.standing) < STANDING_MAX:
        tracked.standing[event.item] = state
    tracked.cause = f"{event.step}: {event.cause}"[:CAUSE_CHARACTERS_MAX]
    for owner in meanings.owners.get(event.step) or {event.step} & tracked.steps.keys():
        tracked.steps[owner].delay = event.cause[:DELAY_CHARACTERS_MAX]


def _resumed(tracked: Tracked, meanings: Meanings, meaning: Meaning, event: Event) -> None:
    assert isinstance(event, ItemResumed)
    tracked.standing.pop(event.item, None)
    _update(tracked, meanings, event.step, "running", None, event.item)
    for owner in meanings.owners.get(event.step, ()):
        tracked.steps[owner].since, tracked.steps[owner].delay = tracked.heard_at, None


def _freed(tracked: Tracked, meanings: Meanings, meaning: Meaning, event: Event) -> None:
    assert isinstance(event, ItemResolved | ItemSkipped)
    tracked.standing.pop(event.item, None)
    state: StepState = "undone" if isinstance(event, ItemResolved) else "skipped"
    _update(tracked, meanings, event.step, state, None, None)
    if "stuck" not in tracked.standing.values():
        tracked.cause = tracked.end_cause


def _settled(tracked: Tracked, meanings: Meanings, meaning: Meaning, event: Event) -> None:
    assert isinstance(event, Settled)
    is_news = event.participant in tracked.participants and event.participant not in tracked.settled
    if tracked.end is not None and is_news:
        tracked.settled.append(event.participant)


def _undone(tracked: Tracked, meanings: Meanings, meaning: Meaning, event: Event) -> None:
    for step, undo in meaning.undone:
        _update(tracked, meanings, step, "undone", None, None)
        for item in [name for name in tracked.standing if name.startswith(f"{undo}/")]:
            del tracked.standing[item]


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
    for item in [name for name in tracked.standing if name.startswith(f"{QUARANTINE}/")]:
        # The end gives up what the participant could not apply.
        del tracked.standing[item]
    for step in tracked.steps.values():
        if step.state in ("running", "waiting", "delayed", "held"):
            step.state = "skipped"


def _outcome(wire_type: str, event: Event) -> str:
    """As text: a number in it may be larger than the state's encoding knows."""
    fields = event.model_dump_json(exclude={"saga_id"})
    if "type" in type(event).model_fields:
        return fields
    return f'{{"type":"{wire_type}"}}' if fields == "{}" else f'{{"type":"{wire_type}",{fields[1:]}'


def _note_speaker(tracked: Tracked, entry: Entry, at: float) -> None:
    meaning, cause = entry.meaning, tracked.types.get(entry.causation)
    for sayer in meaning.sayers:
        if sayer.participant == entry.source and (cause in sayer.heard if cause else sayer.hears_commands):
            tracked.steps[sayer.step] = TrackedStep(
                state="refused" if meaning.says_refused else "done",
                attempts=entry.attempt(),
                started_at=entry.seconds("ce_startedat", at),
                ended_at=at,
                said=meaning.wire_type,
            )
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


def _update(
    tracked: Tracked, meanings: Meanings, name: str, state: StepState, attempts: int | None, item: str | None
) -> None:
    for owner in meanings.owners.get(name) or {name} & tracked.steps.keys():
        step = tracked.steps.setdefault(owner, TrackedStep())
        step.state, step.item = state, item
        if attempts is not None:
            step.attempts = attempts


Rule = Callable[[Tracked, Meanings, Meaning, Event], None]

_RULES: dict[str, Rule] = {
    "delayed": _delayed,
    "failed": _failed,
    "stuck": _stuck,
    "resumed": _resumed,
    "freed": _freed,
    "settled": _settled,
    "undone": _undone,
    "question": _asked,
    "end": _ended,
}
