"""What the status topics carry: where each saga stands."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SagaState = Literal[
    "running",
    "waiting",
    "compensating",
    "stuck",
    "held",
    "completed",
    "rejected",
    "compensated",
    "cancelled",
    "expired",
]
StepState = Literal["running", "waiting", "delayed", "held", "done", "refused", "failed", "stuck", "undone", "skipped"]

FINAL_STATES: frozenset[SagaState] = frozenset({"completed", "rejected", "compensated", "cancelled", "expired"})
STANDING_STATES: frozenset[SagaState] = frozenset({"stuck", "held"})


class StepStatus(BaseModel):
    """One step of one saga."""

    name: str
    participant: str = ""
    state: StepState
    attempts: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    said: str | None = None
    item: str | None = Field(default=None, description="The item to name when it has to be freed.")


class Stalled(BaseModel):
    """A fact that is owed past its deadline, who owes it, and what was found there."""

    step: str = Field(default="", description="Empty where a participant has to undo and settle.")
    participant: str
    missing: list[str] = Field(description="The wire types of which one is owed.")
    since: datetime = Field(description="The deadline that has passed.")
    found: str = ""


class SagaStatus(BaseModel):
    """One record of `<saga>.status`."""

    model_config = ConfigDict(extra="ignore")

    saga_id: str
    saga: str
    state: SagaState
    progress_percent: int = Field(ge=0, le=100)
    steps: list[StepStatus] = []
    waiting_for: str | None = None
    cause: str | None = None
    started_at: datetime
    updated_at: datetime
    deadline: datetime | None = None
    outcome: dict[str, object] | None = Field(default=None, description="The fact that ended the saga.")
    trace_id: str | None = None
    stalled: Stalled | None = Field(default=None, description="What is overdue; cleared by the next fact.")
