"""What the engine itself says in every saga kind: its wire types are `<saga>.<suffix>`, the suffix is given here.

An engine event about one item is caused by that item (`<step>/<message id>`), not by the message alone: two steps
may hear the same message, and (saga, type, source, causation) is said once.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from .message import Command, Event, Message

Policy = Literal["end", "hold", "ignore"]

# Everybody may write to the topics: what journals keep of these events is bounded.
Name = Annotated[str, Field(max_length=300)]
ItemName = Annotated[str, Field(max_length=1_000)]
Cause = Annotated[str, Field(max_length=20_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]


class EngineEvent(Event):
    """Said by the engine in any saga kind."""

    suffix: ClassVar[str] = ""

    def __init_subclass__(cls, suffix: str = "", **settings: Any) -> None:
        super().__init_subclass__(**settings)
        cls.suffix = suffix

    @classmethod
    def type_in(cls, saga: str) -> str:
        """The wire type of this event in the saga kind `saga`."""
        return f"{saga}.{cls.suffix}"


class Settled(EngineEvent, suffix="participant.settled"):
    """The participant has undone all it had to undo after the failing end."""

    participant: Name
    undone: Count = Field(description="How many compensations it ran.")


class StepFailed(EngineEvent, suffix="step.failed"):
    """A step has spent its budget. `policy` says what follows: the saga ends, the step is held, or nothing."""

    participant: Name
    step: Name
    item: ItemName
    attempts: Count
    cause: Cause
    policy: Policy


class StepDelayed(EngineEvent, suffix="step.delayed"):
    """An item waits for longer than a second before its next attempt; said once per cause."""

    participant: Name
    step: Name
    item: ItemName
    attempt: Count
    cause: Cause
    next_at: datetime


class CompensationStuck(EngineEvent, suffix="compensation.stuck"):
    """A compensation has spent its budget, or its step no longer exists: a person must free it."""

    participant: Name
    step: Name
    item: ItemName
    attempts: Count
    cause: Cause


class ItemResumed(EngineEvent, suffix="item.resumed"):
    """The door passes on a person's wish to try a held or stuck item again, with its original key."""

    participant: Name
    step: Name
    item: ItemName


class RetryItem(Command):
    """Asks the door to let a held or stuck item be tried again; its wire type is `<saga>.item.retry`."""

    suffix: ClassVar[str] = "item.retry"

    participant: Name
    step: Name
    item: ItemName
    reason: str = ""


class StepPaused(EngineEvent, suffix="step.paused"):
    """A step fails for too large a share of its sagas; in this partition it starts no more until it is resumed.

    Said about the saga whose failure was one too many.
    """

    participant: Name
    step: Name
    cause: Cause


class StepResumed(EngineEvent, suffix="step.resumed"):
    """The door passes on a person's wish that a paused step goes on in this partition."""

    participant: Name
    step: Name


class ResumeStep(Command):
    """Asks the door to let a paused step go on in this saga's partition; its wire type is `<saga>.step.resume`."""

    suffix: ClassVar[str] = "step.resume"

    participant: Name
    step: Name
    reason: str = ""


class CommandRefused(EngineEvent, suffix="command.refused"):
    """The answer to a command that led to nothing; no step can hear it."""

    command_id: ItemName
    reason: str


ENGINE_EVENTS: tuple[type[EngineEvent], ...] = (
    Settled,
    StepFailed,
    StepDelayed,
    CompensationStuck,
    ItemResumed,
    StepPaused,
    StepResumed,
    CommandRefused,
)
ENGINE_COMMANDS: tuple[type[RetryItem] | type[ResumeStep], ...] = (RetryItem, ResumeStep)


def engine_messages(saga: str) -> dict[str, type[Message]]:
    """The engine's own messages in the saga kind `saga`, by wire type."""
    events: dict[str, type[Message]] = {kind.type_in(saga): kind for kind in ENGINE_EVENTS}
    return events | {f"{saga}.{kind.suffix}": kind for kind in ENGINE_COMMANDS}
