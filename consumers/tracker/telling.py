"""PURE: a tracked saga as the record of its status topic.

The record has the shape of `schemas.status.SagaStatus`, byte for byte as pydantic would write it, but is written from
structs of its own: a status is written for nearly every event, and this is a third of the price.
"""

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from consumers.tracker.meanings import Meanings
from consumers.tracker.pauses import resuming
from consumers.tracker.tracked import Stalled, Tracked, TrackedStep
from producers.headers import iso_time, traceparent_of
from producers.records import Headers
from schemas.status import FLOW_CHANGED, SagaState

MOMENTS_KEPT = 8_192
EXPLAINED = frozenset({"delayed", "waiting", "held", "stuck"})
# The status topic takes a megabyte; headers and the record's own fields need little of it.
STATUS_BYTES_MAX = 768 * 1024
NAME_CHARACTERS = 100
LOST = (
    f"{FLOW_CHANGED}: this build has no step {{}}; a build that has it, or names it in formerly=, lets the saga go on"
)


class _Step(msgspec.Struct, gc=False, omit_defaults=True):
    """A `StepStatus`; the fields with a default are left out where they have it, as there."""

    name: str
    participant: str
    state: str
    attempts: int
    started_at: datetime | None
    ended_at: datetime | None
    said: str | None
    item: str | None
    cause: str | None = None
    next_at: datetime | None = None
    freed_by: str | None = None


class _Stalled(msgspec.Struct, gc=False):
    """A `Stalled`."""

    step: str
    participant: str
    missing: tuple[str, ...]
    since: datetime
    found: str


class _Status(msgspec.Struct, gc=False):
    """A `SagaStatus`; the fields stand in the same order."""

    saga_id: str
    saga: str
    state: str
    progress_percent: int
    steps: list[_Step]
    waiting_for: str | None
    cause: str | None
    started_at: datetime
    updated_at: datetime
    deadline: datetime | None
    outcome: msgspec.Raw | None
    trace_id: str | None
    stalled: _Stalled | None


def state_of(tracked: Tracked, meanings: Meanings) -> SagaState:
    """The saga's state by the contract's words."""
    if tracked.end is not None and tracked.is_closed(meanings):
        # An ended saga is never stuck, whatever was told of it before.
        return "completed" if tracked.end in meanings.completions else meanings.ends_as.get(tracked.end, "compensated")
    if "stuck" in tracked.standing.values():
        return "stuck"
    if tracked.end is not None:
        return "held" if tracked.standing else "compensating"
    if tracked.standing or tracked.paused or tracked.lost:
        return "held"
    return "waiting" if tracked.question else "running"


class Teller:
    """Writes the status records of one saga kind, said by `name`."""

    def __init__(self, meanings: Meanings, name: str) -> None:
        self._meanings, self._encode = meanings, msgspec.json.Encoder().encode
        self._first = (("content-type", b"application/json"), ("ce_specversion", b"1.0"))
        self._source = ("ce_source", name.encode())
        self._type = ("ce_type", f"{meanings.saga}.status".encode())

    def headers(self, saga_id: str, tracked: Tracked) -> Headers:
        """As `producers.headers.headers_for` makes them; caused by the event that changed the status last."""
        # That a saga stalls is told once more than there are events.
        message_id, key = f"{tracked.last}/{'stalled' if tracked.stalled else 'status'}", saga_id.encode()
        parent = f"00-{tracked.trace_id}-0-01" if tracked.trace_id else ""
        headers: Headers = (
            *self._first,
            ("ce_id", message_id.encode()),
            self._source,
            self._type,
            ("ce_time", iso_time(tracked.updated_at).encode()),
            ("ce_subject", key),
            ("ce_correlationid", key),
            ("ce_causationid", tracked.last.encode()),
        )
        if tracked.tenant:
            headers += (("ce_tenant", tracked.tenant.encode()),)
        return (*headers, ("traceparent", traceparent_of(saga_id, message_id, parent).encode()))

    def body(self, saga_id: str, tracked: Tracked) -> bytes:
        """The status as JSON; steps in the order of the flow."""
        steps: list[_Step] = []
        passed = 0
        for name, participant, is_milestone in self._meanings.steps:
            step = tracked.steps.get(name)
            if step is not None:
                passed += is_milestone and step.said is not None
                steps.append(_told(name, participant, step, tracked.paused.get(name)))
        if len(steps) < len(tracked.steps):
            told = {step.name for step in steps}
            # Of steps that are not in this build.
            steps += [
                _told(name, step.participant, step, None, name in tracked.lost)
                for name, step in tracked.steps.items()
                if name not in told
            ]
        state = state_of(tracked, self._meanings)
        progress = 100 if state == "completed" else min(99, 100 * passed // max(1, self._meanings.milestones))
        status = _Status(
            saga_id=saga_id,
            saga=self._meanings.saga,
            state=state,
            progress_percent=progress,
            steps=steps,
            waiting_for=tracked.waiting_for,
            cause=tracked.cause or _pause_of(steps) or (LOST.format(", ".join(tracked.lost)) if tracked.lost else None),
            started_at=_known(tracked.started_at),
            updated_at=_known(tracked.updated_at),
            deadline=_moment(tracked.deadline),
            outcome=None if tracked.outcome is None else msgspec.Raw(tracked.outcome.encode()),
            trace_id=tracked.trace_id or None,
            stalled=_stalled(tracked.stalled),
        )
        body = self._encode(status)
        return body if len(body) <= STATUS_BYTES_MAX else self._shortened(status, len(tracked.outcome or ""))

    def _shortened(self, status: _Status, outcome_characters: int) -> bytes:
        """The status without its outcome, which stands in the log, and with no long names."""
        status.outcome = msgspec.Raw(self._encode({"omitted": f"{outcome_characters} characters; see the events"}))
        for step in status.steps:
            step.name, step.item = step.name[:NAME_CHARACTERS], step.item and step.item[:NAME_CHARACTERS]
        return self._encode(status)


def _told(name: str, participant: str, step: TrackedStep, paused: str | None, is_lost: bool = False) -> _Step:
    started_at, ended_at = _moment(step.started_at), _moment(step.ended_at)
    told = _Step(name, participant, step.state, step.attempts, started_at, ended_at, step.said, step.item)
    if paused is not None:
        told.state, told.cause, told.freed_by = "held", f"paused: {paused}", resuming(participant, name)
    elif is_lost:
        told.state, told.cause = "held", LOST.format(name)
    elif step.state in EXPLAINED:
        told.cause = step.delay
        if step.state in ("delayed", "waiting"):
            told.next_at = _moment(step.since)
    return told


def _pause_of(steps: list[_Step]) -> str | None:
    """Why the saga waits at a paused step, with the command that lets it go on; None where it waits at none."""
    paused = next((step for step in steps if step.freed_by is not None), None)
    return None if paused is None else f"{paused.name} is {paused.cause}; `{paused.freed_by}` lets it go on"


def _stalled(stalled: Stalled | None) -> _Stalled | None:
    if stalled is None:
        return None
    return _Stalled(stalled.step, stalled.participant, stalled.missing, _known(stalled.since), stalled.found)


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else _known(seconds)


@lru_cache(maxsize=MOMENTS_KEPT)
def _known(seconds: float) -> datetime:
    """A saga's steps share most of their moments, and each is written once per event that follows."""
    return datetime.fromtimestamp(seconds, UTC)
