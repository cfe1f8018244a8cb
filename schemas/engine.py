"""What the engine itself says in every saga kind: its wire types are `<saga>.<suffix>`, the suffix is given here.

An engine event about one item is caused by that item (`<step>/<message id>`), not by the message alone: two steps
may hear the same message, and (saga, type, source, causation) is said once.
"""

from typing import Any, ClassVar, Literal

from pydantic import Field

from .bounds import Count, ItemName, Moment, Name, Text, Words
from .message import Command, Event, Message

Policy = Literal["end", "hold", "ignore"]


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
    cause: Text
    policy: Policy


class StepDelayed(EngineEvent, suffix="step.delayed"):
    """An item keeps its saga waiting for more than a second, and has another attempt at `next_at`.

    Said for each new cause, and for each of the first ten attempts that is followed by a wait of more than a second.
    """

    participant: Name
    step: Name
    item: ItemName
    attempt: Count
    cause: Text
    next_at: Moment


class CompensationStuck(EngineEvent, suffix="compensation.stuck"):
    """A compensation has spent its budget, or its step no longer exists: a person must free it."""

    participant: Name
    step: Name
    item: ItemName
    attempts: Count
    cause: Text
    forward: bool = Field(default=False, description="No compensation, but a step that is no longer deployed.")


class ItemResumed(EngineEvent, suffix="item.resumed"):
    """The door passes on a person's wish to try a held or stuck item again, with its original key."""

    participant: Name
    step: Name
    item: ItemName


class ItemResolved(EngineEvent, suffix="item.resolved"):
    """A person has undone by hand what the stuck compensation could not; it counts as done."""

    participant: Name
    step: Name
    item: ItemName
    evidence: Words


class ItemSkipped(EngineEvent, suffix="item.skipped"):
    """A person has given the stuck compensation up; what it should have undone stays."""

    participant: Name
    step: Name
    item: ItemName
    reason: Words


class EngineCommand(Command):
    """Asks the door for something that is the engine's own business; known in any saga kind, as `<saga>.<suffix>`."""

    suffix: ClassVar[str] = ""

    participant: Name
    step: Name

    def __init_subclass__(cls, suffix: str = "", **settings: Any) -> None:
        super().__init_subclass__(**settings)
        cls.suffix = suffix

    @classmethod
    def type_in(cls, saga: str) -> str:
        """The wire type of this command in the saga kind `saga`."""
        return f"{saga}.{cls.suffix}"


class ItemCommand(EngineCommand):
    """Asks the door to free an item that stands still."""

    item: ItemName


class RetryItem(ItemCommand, suffix="item.retry"):
    """Asks the door to let a held or stuck item be tried again; its wire type is `<saga>.item.retry`."""

    reason: Text = ""


class StepPaused(EngineEvent, suffix="step.paused"):
    """A step fails for too large a share of its sagas; in this partition it starts no more until it is resumed.

    Said about the saga whose failure was one too many.
    """

    participant: Name
    step: Name
    cause: Text


class StepResumed(EngineEvent, suffix="step.resumed"):
    """The door passes on a person's wish that a paused step goes on in this partition."""

    participant: Name
    step: Name


class ResumeStep(EngineCommand, suffix="step.resume"):
    """Asks the door to let a paused step go on in this saga's partition; its wire type is `<saga>.step.resume`."""

    reason: Text = ""


class ResolveItem(ItemCommand, suffix="item.resolve"):
    """Asks the door to count a stuck compensation as done by hand; its wire type is `<saga>.item.resolve`."""

    evidence: Words = Field(description="What was done instead, and where it can be seen.")


class SkipItem(ItemCommand, suffix="item.skip"):
    """Asks the door to give a stuck compensation up; its wire type is `<saga>.item.skip`."""

    reason: Words = Field(description="Why what it should have undone may stay.")


class CommandRefused(EngineEvent, suffix="command.refused"):
    """The answer to a command that led to nothing; no step can hear it."""

    command_id: ItemName
    reason: Text


ENGINE_EVENTS: tuple[type[EngineEvent], ...] = (
    Settled,
    StepFailed,
    StepDelayed,
    CompensationStuck,
    ItemResumed,
    ItemResolved,
    ItemSkipped,
    StepPaused,
    StepResumed,
    CommandRefused,
)
ENGINE_COMMANDS: tuple[type[EngineCommand], ...] = (RetryItem, ResolveItem, SkipItem, ResumeStep)


def engine_messages(saga: str) -> dict[str, type[Message]]:
    """The engine's own messages in the saga kind `saga`, by wire type."""
    kinds: tuple[type[EngineEvent | EngineCommand], ...] = (*ENGINE_EVENTS, *ENGINE_COMMANDS)
    return {kind.type_in(saga): kind for kind in kinds}
