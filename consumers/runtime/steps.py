"""The marks `@on`, `@join` and `@undo`: they say what a function hears, and do nothing else at import.

A step is an async function that returns what it says. Its first message parameter is what it hears; further message
parameters are earlier facts of the same saga; a `Call` parameter gives the key and the time; every other parameter is
a port, handed in by its type.

What is wrong with a mark is noted in it and reported by the checks, so that all mistakes of a flow show at once.

A step with an effect that cannot be undone is a pivot (`pivot=True`). Once a pivot may have begun, the saga can only go
forward:

- No failing end may follow. The checks refuse a refusal, an expiry or a cancel that can come after it.
- The engine derives which steps can still fail then: those after the pivot, and those beside it. They are forward-only:
  when their budget is spent they are held, never ended. `soma flow` shows them.
- A step after a pivot may have an effect without undo. It needs no mark and need not belong to the door.
- A cancel or a deadline belongs to the door. It recalls the event with which the door opens the way to the pivot, as
  `cleared: DeliveryCleared | None`, and refuses when it stands; or it is marked `until=DeliveryCleared`.
"""

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime
from types import UnionType
from typing import Any, Protocol, TypeVar, cast

from consumers.runtime.marks import MarkNotes, StepMark, UndoMark
from consumers.runtime.retry import Retry, in_seconds
from schemas.engine import CommandRefused, Policy
from schemas.message import Event, Message

__all__ = [
    "Call",
    "Declined",
    "Flow",
    "Later",
    "Participant",
    "ReadOnly",
    "Retry",
    "StepFunction",
    "StepMark",
    "UndoMark",
    "in_seconds",
    "join",
    "mark_of",
    "on",
    "undo",
]

StepFunction = Callable[..., Coroutine[Any, Any, Any]]
F = TypeVar("F", bound=StepFunction)

MARK = "__soma_mark__"
STEP_RETRY = Retry()
UNDO_RETRY = Retry(attempts=10, first="200ms", most="1m")


class Declined(Exception):
    """Raised by a port that answers, and says no: its breaker does not take it for a failure. Subclass it."""


class ReadOnly(Protocol):
    """A port that only looks: a step that is handed nothing else has no effect, and needs no undo."""


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


def on(
    *heard: type[Message] | UnionType,
    retry: Retry = STEP_RETRY,
    timeout: str = "30s",
    failure: Policy = "end",
    pivot: bool = False,
    until: type[Event] | UnionType | None = None,
    repeatable: bool = False,
    formerly: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Call the function whenever one of the messages is heard.

    When the budget is spent, `failure` says what follows: "end" the saga, "hold" the step until it is retried by hand,
    or "ignore". `pivot` marks an effect that cannot be undone. `formerly` lists names the step had in running sagas.
    `until` is for a step of the door: once the event stands, the engine says no failing end for this step, and refuses
    the command. `repeatable` lets several commands of one saga each lead to the step's event; it allows no loop.
    """
    if len(heard) == 1 and inspect.isfunction(heard[0]):
        return _without_parentheses("on", heard[0])
    notes = MarkNotes()
    mark = StepMark(
        legs=(tuple(kind for one in heard for kind in notes.alternatives(one)),),
        retry=notes.retry(retry),
        timeout_seconds=notes.seconds("timeout", timeout),
        policy=notes.policy(failure),
        pivot=pivot,
        deadline_seconds=None,
        formerly=notes.names("formerly", formerly),
        until=cast("tuple[type[Event], ...]", () if until is None else notes.alternatives(until)),
        repeatable=repeatable,
    )
    return _marking(replace(mark, flaws=notes.flaws("on", mark.legs)))


def join(
    *legs: type[Event] | UnionType,
    deadline: str | None = None,
    retry: Retry = STEP_RETRY,
    timeout: str = "30s",
    failure: Policy = "end",
    formerly: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Call the function once one event of each leg is heard; its first parameters are the legs, in order.

    If they have not all come `deadline` after the first one, the step has failed. A join without a deadline is refused
    by the checks.
    """
    if len(legs) == 1 and inspect.isfunction(legs[0]):
        return _without_parentheses("join", legs[0])
    notes = MarkNotes()
    if deadline is None:
        notes.found.append('joins without a deadline: write deadline="6h"')
    mark = StepMark(
        legs=tuple(notes.alternatives(leg) for leg in legs),
        retry=notes.retry(retry),
        timeout_seconds=notes.seconds("timeout", timeout),
        policy=notes.policy(failure),
        pivot=False,
        deadline_seconds=notes.seconds("deadline", "6h" if deadline is None else deadline),
        formerly=notes.names("formerly", formerly),
    )
    return _marking(replace(mark, flaws=notes.flaws("join", mark.legs)))


def undo(
    fact: type[Event],
    *,
    retry: Retry = UNDO_RETRY,
    timeout: str = "30s",
    after: tuple[str, ...] | None = None,
    formerly: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Call the function to take back `fact`, or, with None for it, whatever the step may have done before it spoke."""
    if inspect.isfunction(fact):
        return _without_parentheses("undo", fact)
    notes = MarkNotes()
    kinds = notes.alternatives(fact)
    if len(kinds) > 1:
        notes.found.append("undoes several events: write one @undo function for each")
    mark = UndoMark(
        fact=cast("type[Event]", kinds[0]) if len(kinds) == 1 else Event,
        retry=notes.retry(retry),
        timeout_seconds=notes.seconds("timeout", timeout),
        after=None if after is None else notes.names("after", after),
        formerly=notes.names("formerly", formerly),
    )
    return _marking(replace(mark, flaws=tuple(notes.found)))


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


def _without_parentheses(mark: str, function: Any) -> Callable[[F], F]:
    """Python passes the function itself to a mark that is written without parentheses: keep it, and note that."""
    flaw = f"is marked @{mark} without parentheses: write @{mark}(TheMessage)"
    seconds = in_seconds("6h") if mark == "join" else None
    noted: StepMark | UndoMark = StepMark((), Retry(), 30.0, "end", False, seconds, (), flaws=(flaw,))
    if mark == "undo":
        noted = UndoMark(Event, Retry(), 30.0, None, flaws=(flaw,))
    return cast("Callable[[F], F]", _marking(noted)(function))


@dataclass(frozen=True)
class Participant:
    """A consumer group that owns some steps; `door` marks the one that hears the saga's commands.

    `formerly` lists the names that the participant had, the first one first. Its group, topics, transactional ids and
    records keep the first name, so that running sagas go on; statuses and verbs show that name too.
    """

    name: str
    steps: tuple[StepFunction, ...]
    door: bool = False
    formerly: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flow:
    """One saga kind: who takes part in it, in the order of its story."""

    saga: str
    participants: tuple[Participant, ...]
