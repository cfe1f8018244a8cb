"""PURE: what the tracker keeps of one open saga."""

import msgspec

from consumers.tracker.meanings import Meanings
from schemas.status import SagaState, StepState


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
    # The steps that have not spoken and are not in this build, where no other step owes the saga a fact.
    lost: tuple[str, ...] = ()
    # Where each item of `standing` stands still; a record of a former build lacks it.
    standing_at: dict[str, str] = msgspec.field(default_factory=dict)

    def is_closed(self, meanings: Meanings) -> bool:
        """Whether nothing more can happen."""
        if self.end is None:
            return False
        return self.end in meanings.completions or set(self.participants) <= set(self.settled)
