"""What the status topics carry: where each saga stands."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .bounds import Count, ItemName, Moment, Name, Text

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
# How the cause begins of what this build cannot carry on, as the saga's flow was another one when it began.
FLOW_CHANGED = "flow changed"
STANDING_STATES: frozenset[SagaState] = frozenset({"stuck", "held"})


STEPS_MAX = 2_000
MISSING_MAX = 200


def _is_none(value: object) -> bool:
    return value is None


class StepStatus(BaseModel):
    """One step of one saga. The last three fields are left out where there is nothing to tell."""

    name: Name
    participant: Name = ""
    state: StepState
    attempts: Count = 0
    started_at: Moment | None = None
    ended_at: Moment | None = None
    said: Name | None = None
    item: ItemName | None = Field(default=None, description="The item to name when it has to be freed.")
    cause: Text | None = Field(
        default=None,
        exclude_if=_is_none,
        description="Why it is delayed, held or stuck: the last error, the open breaker, or why the step is paused.",
    )
    next_at: Moment | None = Field(
        default=None, exclude_if=_is_none, description="When it starts again, as the step last told."
    )
    freed_by: Text | None = Field(
        default=None, exclude_if=_is_none, description="The command that lets a paused step go on, for every saga."
    )


class Stalled(BaseModel):
    """A fact that is owed past its deadline, who owes it, and what was found there."""

    step: Name = Field(default="", description="Empty where a participant has to undo and settle.")
    participant: Name
    missing: list[Name] = Field(max_length=MISSING_MAX, description="The wire types of which one is owed.")
    since: Moment = Field(description="The deadline that has passed.")
    found: Text = ""


class SagaStatus(BaseModel):
    """One record of `<saga>.status`."""

    model_config = ConfigDict(extra="ignore")

    saga_id: Name
    saga: Name
    state: SagaState
    progress_percent: int = Field(ge=0, le=100)
    steps: list[StepStatus] = Field(default=[], max_length=STEPS_MAX)
    waiting_for: Text | None = None
    cause: Text | None = None
    started_at: Moment
    updated_at: Moment
    deadline: Moment | None = None
    outcome: dict[str, object] | None = Field(default=None, description="The fact that ended the saga.")
    trace_id: Name | None = None
    stalled: Stalled | None = Field(default=None, description="What is overdue; cleared by the next fact.")
