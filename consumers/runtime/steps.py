"""The marks `@on`, `@join` and `@undo`: they say what a function hears, and do nothing else at import.

A step is an async function that returns what it says. Its first message parameter is what it hears; further message
parameters are earlier facts of the same saga; a `Call` parameter gives the key and the time; every other parameter is
a port, handed in by its type.
"""

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from types import UnionType
from typing import Any, Protocol, TypeVar

from schemas.engine import CommandRefused, Policy
from schemas.message import Event, Message

StepFunction = Callable[..., Coroutine[Any, Any, Any]]
F = TypeVar("F", bound=StepFunction)

MARK = "__soma_mark__"


def in_seconds(duration: str) -> float:
    """The length of a duration such as "200ms", "30s", "5m", "2h" or "1d", in seconds; ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", duration)
    if match is None:
        raise ValueError(f"not a duration: {duration!r} (write 200ms, 30s, 5m, 2h or 1d)")
    return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]]


class Declined(Exception):
    """Raised by a port that answers, and says no: its breaker does not take it for a failure. Subclass it."""


class ReadOnly(Protocol):
    """A port that only looks: a step that is handed nothing else has no effect, and needs no undo."""


@dataclass(frozen=True)
class Retry:
    """How often and how patiently a step is tried: `attempts` in all, waiting from `first`, doubling, up to `most`."""

    attempts: int = 5
    first: str = "200ms"
    most: str = "30s"

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("a step is tried at least once")
        in_seconds(self.first), in_seconds(self.most)


@dataclass(frozen=True)
class Later:
    """Returned by a step that wants to be called again at `at`, with the same key. Survives the worker."""

    at: datetime


@dataclass(frozen=True)
class Call:
    """What a step may know about this call of it.

    `key` is the same on every attempt and in every life of the worker, and for the undo of the step as well.
    """

    key: str
    saga_id: str
    message_id: str
    tenant: str
    attempt: int
    now: datetime

    def refused(self, reason: str) -> CommandRefused:
        """Return this from a step that hears a command which leads to nothing."""
        return CommandRefused(saga_id=self.saga_id, command_id=self.message_id, reason=reason)

    def later(self, at: datetime) -> Later:
        """Return this from the step to be called again at `at` or, after an outage, as soon as possible after it."""
        return Later(at)


@dataclass(frozen=True)
class StepMark:
    """What `@on` or `@join` noted. `legs` has one entry per fact waited for, each a set of alternatives."""

    legs: tuple[tuple[type[Message], ...], ...]
    retry: Retry
    timeout_seconds: float
    policy: Policy
    pivot: bool
    deadline_seconds: float | None
    formerly: tuple[str, ...]

    @property
    def is_join(self) -> bool:
        """Whether the step waits for several facts."""
        return self.deadline_seconds is not None


@dataclass(frozen=True)
class UndoMark:
    """What `@undo` noted. `after` opts out of the derived order: wait only for these participants."""

    fact: type[Event]
    retry: Retry
    timeout_seconds: float
    after: tuple[str, ...] | None
    formerly: tuple[str, ...] = field(default=())


def on(
    *heard: type[Message] | UnionType,
    retry: Retry = Retry(),
    timeout: str = "30s",
    failure: Policy = "end",
    pivot: bool = False,
    formerly: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Call the function whenever one of the messages is heard.

    When the budget is spent, `failure` says what follows: "end" the saga, "hold" the step until it is retried by hand,
    or "ignore". `pivot` marks an effect that cannot be undone. `formerly` lists names the step had in running sagas.
    """
    alternatives = tuple(kind for one in heard for kind in _alternatives(one))
    mark = StepMark((alternatives,), retry, in_seconds(timeout), failure, pivot, None, formerly)
    return _marking(mark)


def join(
    *legs: type[Event] | UnionType,
    deadline: str,
    retry: Retry = Retry(),
    timeout: str = "30s",
    failure: Policy = "end",
    formerly: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Call the function once one fact of each leg is heard; its first parameters are the legs, in order.

    If they have not all come `deadline` after the first one, the step has failed.
    """
    mark = StepMark(
        tuple(_alternatives(leg) for leg in legs),
        retry,
        in_seconds(timeout),
        failure,
        False,
        in_seconds(deadline),
        formerly,
    )
    return _marking(mark)


def undo(
    fact: type[Event],
    *,
    retry: Retry = Retry(attempts=10, first="200ms", most="1m"),
    timeout: str = "30s",
    after: tuple[str, ...] | None = None,
    formerly: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Call the function to take back `fact`, or, with None for it, whatever the step may have done before it spoke."""
    return _marking(UndoMark(fact, retry, in_seconds(timeout), after, formerly))


def mark_of(function: StepFunction) -> StepMark | UndoMark:
    """What was noted about the function; TypeError if nothing was."""
    mark = getattr(function, MARK, None)
    if not isinstance(mark, StepMark | UndoMark):
        raise TypeError(f"{function.__module__}.{function.__qualname__} bears none of @on, @join, @undo")
    return mark


def _marking(mark: StepMark | UndoMark) -> Callable[[F], F]:
    def note(function: F) -> F:
        setattr(function, MARK, mark)
        return function

    return note


def _alternatives(kind: type[Message] | UnionType) -> tuple[type[Message], ...]:
    if isinstance(kind, UnionType):
        return tuple(kind.__args__)
    return (kind,)


@dataclass(frozen=True)
class Participant:
    """A consumer group that owns some steps; `door` marks the one that hears the saga's commands."""

    name: str
    steps: tuple[StepFunction, ...]
    door: bool = False


@dataclass(frozen=True)
class Flow:
    """One saga kind: who takes part in it, in the order of its story."""

    saga: str
    participants: tuple[Participant, ...]
