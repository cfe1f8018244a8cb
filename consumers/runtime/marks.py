"""PURE: what `@on`, `@join` and `@undo` note about a function, mistakes in their arguments included.

A mark raises nothing at import: what is wrong with it stands in its `flaws`, and the checks report all flaws together.
"""

from dataclasses import dataclass, field
from types import UnionType
from typing import Any, cast, get_args

from consumers.runtime.retry import Retry, in_seconds
from schemas.engine import EngineEvent, Policy
from schemas.message import Event, Message


@dataclass(frozen=True)
class StepMark:
    """What `@on` or `@join` noted. `legs` has one entry per event waited for, each a set of alternatives."""

    legs: tuple[tuple[type[Message], ...], ...]
    retry: Retry
    timeout_seconds: float
    policy: Policy
    pivot: bool
    deadline_seconds: float | None
    formerly: tuple[str, ...]
    until: tuple[type[Event], ...] = ()
    repeatable: bool = False
    flaws: tuple[str, ...] = ()

    @property
    def is_join(self) -> bool:
        """Whether the step waits for several facts."""
        return self.deadline_seconds is not None


@dataclass(frozen=True)
class UndoMark:
    """What `@undo` noted. `after` opts out of the derived order: wait only for these participants.

    `fact` is `Event` itself where the mark names no event.
    """

    fact: type[Event]
    retry: Retry
    timeout_seconds: float
    after: tuple[str, ...] | None
    formerly: tuple[str, ...] = field(default=())
    flaws: tuple[str, ...] = ()


class MarkNotes:
    """Takes the arguments of a mark as they are written, and collects what is wrong with them.

    `found` has one entry for each mistake, worded to follow the name of the marked function.
    """

    def __init__(self) -> None:
        self.found: list[str] = []

    def flaws(self, mark: str, legs: tuple[tuple[type[Message], ...], ...]) -> tuple[str, ...]:
        """What was found; a mark that hears nothing has a flaw of its own."""
        if not any(legs) and not self.found:
            self.found.append(f"is marked @{mark}() and hears nothing: name the message, @{mark}(TheMessage)")
        return tuple(self.found)

    def alternatives(self, kind: Any) -> tuple[type[Message], ...]:
        """The message classes among the alternatives of a union."""
        kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
        for one in kinds:
            if not (isinstance(one, type) and issubclass(one, Message)):
                self.found.append(f"is marked with {one!r}, which is no message class")
            elif issubclass(one, EngineEvent):
                self.found.append(f"is marked with {one.__name__}: no step hears the engine's own events")
            elif not one.wire_type:
                self.found.append(f"is marked with {one.__name__}, which has no wire type: declare it with type=")
        return tuple(one for one in kinds if isinstance(one, type) and issubclass(one, Message) and one.wire_type)

    def seconds(self, name: str, duration: Any) -> float:
        """The length of the duration; 30 s for a wrong one."""
        try:
            seconds = in_seconds(duration)
        except (ValueError, TypeError):
            seconds = 0.0
        if seconds <= 0:
            self.found.append(f"has {name}={duration!r}: write a duration above zero, as 200ms, 30s, 5m, 2h or 1d")
        return seconds or 30.0

    def policy(self, failure: Any) -> Policy:
        """The policy; "end" for a wrong one."""
        if failure not in get_args(Policy):
            self.found.append(f'has failure={failure!r}: write "end", "hold" or "ignore"')
            return "end"
        return cast("Policy", failure)

    def retry(self, retry: Any) -> Retry:
        """The retry; the default for a wrong one."""
        if not isinstance(retry, Retry):
            self.found.append(f"has retry={retry!r}: write Retry(attempts=5)")
            return Retry()
        return retry

    def names(self, name: str, written: Any) -> tuple[str, ...]:
        """The names; none for what is no tuple of names."""
        if not isinstance(written, tuple | list) or not all(isinstance(one, str) for one in written):
            self.found.append(f'has {name}={written!r}: write a tuple of names, as ("a_name",)')
            return ()
        return tuple(written)
