"""PURE: where a saga stands, as the log tells it. One event at a time; the same log gives the same status."""

import json
from datetime import UTC, datetime

import msgspec

from consumers.runtime.graph import Graph, Step
from producers.headers import Heard
from schemas.engine import (
    CompensationStuck,
    EngineEvent,
    ItemResolved,
    ItemResumed,
    ItemSkipped,
    Settled,
    StepDelayed,
    StepFailed,
)
from schemas.message import CompensatingEvent, Completion, Event, FailingEnd, Message, Opening, Question, Refusal
from schemas.status import SagaState, SagaStatus, StepState, StepStatus

CAUSE_CHARACTERS_MAX = 2_000
# Far more than a saga says; what others put among its events must not swell the state without end.
EVENTS_MAX = 1_000


class TrackedStep(msgspec.Struct, omit_defaults=True):
    """One step, as far as the log tells; times in seconds."""

    state: StepState = "running"
    attempts: int = 1
    started_at: float | None = None
    ended_at: float | None = None
    said: str | None = None
    item: str | None = None
    participant: str = ""


class Tracked(msgspec.Struct, omit_defaults=True):
    """One open saga. `types` tells what kind of event each id was."""

    saga_id: str
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
    end_cause: str | None = None
    standing: dict[str, SagaState] = msgspec.field(default_factory=dict)
    end: str | None = None
    outcome: str | None = None
    last: str = ""
    closed_at: float | None = None

    def is_closed(self, graph: Graph) -> bool:
        """Whether nothing more can happen."""
        if self.end is None:
            return False
        return graph.is_a(self.end, Completion) or set(self.participants) <= set(self.settled)


def opened(heard: Heard, opening: Opening, at: float) -> Tracked:
    """The saga as its Opening tells of it."""
    trace_id = heard.traceparent.split("-")[1] if heard.traceparent.count("-") == 3 else ""
    return Tracked(heard.saga_id, at, at, trace_id, heard.tenant, opening.participants)


def fold(tracked: Tracked, graph: Graph, heard: Heard, event: Event, at: float, attempt: int, began: float) -> None:
    """Note one event of the log; `at` is when it was said, `began` when the step's attempt did."""
    tracked.updated_at, tracked.last = max(at, tracked.updated_at), heard.id
    if not isinstance(event, EngineEvent) and len(tracked.types) < EVENTS_MAX:
        tracked.types[heard.id] = heard.type
    _note_speaker(tracked, graph, heard, event, at, attempt, began)
    match event:
        case StepDelayed():
            waits = event.cause.startswith("waits until")
            _update(tracked, graph, event.step, "waiting" if waits else "delayed", event.attempt, event.item)
        case StepFailed():
            state: StepState = "held" if event.policy == "hold" else "failed"
            _update(tracked, graph, event.step, state, event.attempts, event.item)
            if event.policy == "hold":
                tracked.standing[event.item] = "held"
                tracked.cause = f"{event.step}: {event.cause}"
            elif event.policy == "end":
                _end(tracked, heard.type, event, f"{event.step}: {event.cause}")
        case CompensationStuck():
            _know(tracked, graph, event.step, event.participant)
            _update(tracked, graph, event.step, "stuck", event.attempts, event.item)
            tracked.standing[event.item] = "stuck"
            tracked.cause = f"{event.step}: {event.cause}"
        case ItemResumed():
            tracked.standing.pop(event.item, None)
            _update(tracked, graph, event.step, "running", None, event.item)
        case ItemResolved() | ItemSkipped():
            tracked.standing.pop(event.item, None)
            freed: StepState = "undone" if isinstance(event, ItemResolved) else "skipped"
            _update(tracked, graph, event.step, freed, None, None)
            if "stuck" not in tracked.standing.values():
                tracked.cause = tracked.end_cause
        case Settled():
            is_news = event.participant in tracked.participants and event.participant not in tracked.settled
            if tracked.end is not None and is_news:
                tracked.settled.append(event.participant)
        case CompensatingEvent():
            _take_back(tracked, graph, event)
        case Question():
            tracked.question, tracked.waiting_for = heard.type, event.waiting_for
            tracked.deadline = event.deadline.timestamp()
        case Completion() | FailingEnd():
            _end(tracked, heard.type, event, getattr(event, "reason", None))
    if event.answers is not None and event.answers.wire_type == tracked.question:
        tracked.question = tracked.waiting_for = tracked.deadline = None
    if tracked.end is None:
        _start_hearers(tracked, graph, heard, at)
    else:
        tracked.question = tracked.waiting_for = tracked.deadline = None


def _take_back(tracked: Tracked, graph: Graph, event: CompensatingEvent) -> None:
    for step in graph.steps.values():
        if step.undo and step.undo.fact == event.undoes.wire_type:
            _update(tracked, graph, step.name, "undone", None, None)
            for item in [name for name in tracked.standing if name.startswith(f"{step.undo.name}/")]:
                del tracked.standing[item]


def _end(tracked: Tracked, wire_type: str, event: Event, cause: str | None) -> None:
    if tracked.end is not None:
        return
    tracked.end = wire_type
    tracked.cause = tracked.end_cause = cause and cause[:CAUSE_CHARACTERS_MAX]
    # As text: a number in it may be larger than the state's encoding knows.
    tracked.outcome = json.dumps({"type": wire_type} | event.model_dump(mode="json", exclude={"saga_id"}))
    for step in tracked.steps.values():
        if step.state in ("running", "waiting", "delayed", "held"):
            step.state = "skipped"


def _note_speaker(
    tracked: Tracked, graph: Graph, heard: Heard, event: Event, at: float, attempt: int, began: float
) -> None:
    cause = tracked.types.get(heard.causation)
    for step in graph.sayers.get(heard.type, ()):
        heard_types = {kind for leg in step.legs for kind in leg}
        if step.participant == heard.source and (cause in heard_types if cause else step.hears_commands):
            known = tracked.steps.setdefault(step.name, TrackedStep(started_at=began))
            known.state = "refused" if isinstance(event, Refusal) else "done"
            known.attempts, known.ended_at, known.said, known.item = attempt, at, heard.type, None
            known.started_at = began
            return


def _start_hearers(tracked: Tracked, graph: Graph, heard: Heard, at: float) -> None:
    spoken = set(tracked.types.values())
    for step in graph.hearers.get(heard.type, ()):
        if step.name not in tracked.steps and all(spoken.intersection(leg) for leg in step.legs):
            tracked.steps[step.name] = TrackedStep(started_at=at)


def _update(
    tracked: Tracked, graph: Graph, name: str, state: StepState, attempts: int | None, item: str | None
) -> None:
    for owner in _owners(graph, name) or {name} & tracked.steps.keys():
        step = tracked.steps.setdefault(owner, TrackedStep())
        step.state, step.item = state, item
        if attempts is not None:
            step.attempts = attempts


def _owners(graph: Graph, name: str) -> list[str]:
    return [step.name for step in graph.steps.values() if name in (step.name, step.undo.name if step.undo else "")]


def _know(tracked: Tracked, graph: Graph, name: str, participant: str) -> None:
    """Tell of a step that is not in this build under its own name, or nobody could free it."""
    if not _owners(graph, name) and len(tracked.steps) < EVENTS_MAX:
        tracked.steps.setdefault(name, TrackedStep(participant=participant))


def state_of(tracked: Tracked, graph: Graph) -> SagaState:
    """The saga's state by the contract's words."""
    if tracked.end is not None and graph.is_a(tracked.end, Completion):
        return "completed"
    if "stuck" in tracked.standing.values():
        return "stuck"
    if tracked.end is not None:
        if not tracked.is_closed(graph):
            return "compensating"
        kind: type[Message] | None = graph.schema.messages.get(tracked.end)
        return kind.ends_as if kind is not None and issubclass(kind, FailingEnd) else "compensated"
    if tracked.standing:
        return "held"
    return "waiting" if tracked.question else "running"


def status_of(tracked: Tracked, graph: Graph) -> SagaStatus:
    """The status record's value; steps in the order of the flow."""
    story = [step for step in graph.steps.values() if _is_milestone(step, graph)]
    done = [step for step in story if step.name in tracked.steps and tracked.steps[step.name].said]
    state = state_of(tracked, graph)
    progress = 100 if state == "completed" else min(99, 100 * len(done) // max(1, len(story)))
    return SagaStatus(
        saga_id=tracked.saga_id,
        saga=graph.saga,
        state=state,
        progress_percent=progress,
        steps=[
            _step_status(step.name, step.participant, tracked.steps[step.name])
            for step in graph.steps.values()
            if step.name in tracked.steps
        ]
        + [
            _step_status(name, step.participant, step)
            for name, step in tracked.steps.items()
            if name not in graph.steps
        ],
        waiting_for=tracked.waiting_for,
        cause=tracked.cause,
        started_at=_moment(tracked.started_at),
        updated_at=_moment(tracked.updated_at),
        deadline=None if tracked.deadline is None else _moment(tracked.deadline),
        outcome=None if tracked.outcome is None else json.loads(tracked.outcome),
        trace_id=tracked.trace_id or None,
    )


def _is_milestone(step: Step, graph: Graph) -> bool:
    """Whether a saga that goes well passes this step."""
    return (step.opens or not step.hears_commands) and not all(graph.is_a(kind, FailingEnd) for kind in step.says)


def _step_status(name: str, participant: str, tracked: TrackedStep) -> StepStatus:
    return StepStatus(
        name=name,
        participant=participant,
        state=tracked.state,
        attempts=tracked.attempts,
        started_at=None if tracked.started_at is None else _moment(tracked.started_at),
        ended_at=None if tracked.ended_at is None else _moment(tracked.ended_at),
        said=tracked.said,
        item=tracked.item,
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
