"""The kinds of message: commands ask, events tell, ends close, compensating events take back."""

import builtins
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from .bounds import Moment, Name, Text

PARTICIPANTS_MAX = 200

EndState = Literal["completed", "rejected", "expired", "cancelled", "compensated"]


class Message(BaseModel):
    """Something said about one saga; its wire type is given when the class is declared: `class X(Event, type="a.b")`.

    Fields may be added as long as they are optional; a changed meaning is a new type. Each has a range (`bounds`).
    Unknown fields of a newer speaker are ignored.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", str_strip_whitespace=True, allow_inf_nan=False)

    wire_type: ClassVar[str] = ""
    saga_id: str = Field(min_length=1, max_length=200)

    def __init_subclass__(cls, type: str = "", **settings: Any) -> None:
        super().__init_subclass__(**settings)
        cls.wire_type = type

    @classmethod
    def saga(cls) -> str:
        """The kind of saga this message belongs to: the first word of its type."""
        return cls.wire_type.partition(".")[0]


class Command(Message):
    """Asks for something; has exactly one consumer, the saga's door, which answers with an event or a refusal.

    A publisher who misspells a field wants to hear of it, so a command's unknown fields are an error.
    """

    model_config = ConfigDict(extra="forbid")


class Event(Message):
    """A fact; heard by every participant of its saga.

    `answers` names the `Question` that this fact settles, if any.
    """

    answers: ClassVar["type[Question] | None"] = None

    def __init_subclass__(
        cls, type: str = "", answers: "builtins.type[Question] | None" = None, **settings: Any
    ) -> None:
        super().__init_subclass__(type=type, **settings)
        cls.answers = answers


class Opening(Event):
    """The first fact of a saga; the door's. It fixes who must settle, so that a deployment cannot change it."""

    participants: tuple[Name, ...] = Field(default=(), max_length=PARTICIPANTS_MAX)
    graph: Name = Field(default="", description="Hash of the flow this saga was opened under.")


class Question(Event):
    """The saga now waits for somebody's command; the status says so until an event that `answers` it."""

    waiting_for: ClassVar[str] = ""
    deadline: Moment

    def __init_subclass__(cls, type: str = "", waiting_for: str = "", **settings: Any) -> None:
        super().__init_subclass__(type=type, **settings)
        cls.waiting_for = waiting_for


class Completion(Event):
    """The good end. If it stands first in the log, nothing is undone."""


class FailingEnd(Event):
    """An end after which everything is undone, if it stands first in the log. `ends_as` names the final state."""

    ends_as: ClassVar[EndState] = "compensated"

    def __init_subclass__(cls, type: str = "", ends_as: EndState = "compensated", **settings: Any) -> None:
        super().__init_subclass__(type=type, **settings)
        cls.ends_as = ends_as


class Refusal(FailingEnd):
    """A business no. It ends the saga, and what was done before is undone."""

    reason: Text


class CompensatingEvent(Event):
    """Takes back an earlier fact. `undoes` is that fact's class."""

    undoes: ClassVar[type[Event]]

    def __init_subclass__(cls, type: str = "", undoes: "builtins.type[Event] | None" = None, **settings: Any) -> None:
        super().__init_subclass__(type=type, **settings)
        if undoes is not None:
            cls.undoes = undoes
