"""A breaker around every port: after a row of failures it is not called for a while, then one probe at a time.

pybreaker counts and keeps the state; the time is ours, so that it can be simulated. An item that meets an open breaker
waits, and spends nothing of its budget. `Bulkheads` asks `admits` before an item starts, so that a step is not called
again and again only to be refused. A step that is called all the same is refused by `calling`.
"""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pybreaker

from consumers.runtime.finishing import Blocked
from consumers.runtime.steps import Declined
from consumers.runtime.transport import Clock
from producers.errors import DependencyDown

FAILURES_IN_A_ROW = 5
OPEN_SECONDS = 5.0
ERROR_CHARACTERS_MAX = 200


class Breaker:
    """One dependency's breaker. Not shared between workers: each finds out for itself.

    `is_open`: calls are kept away just now. `passed_over` asks the dependency's adapter how much it leaves out because
    it cannot be read.
    """

    def __init__(self, dependency: str, clock: Clock, passed_over: Callable[[], int] = lambda: 0) -> None:
        self.dependency, self.passed_over, self._clock = dependency, passed_over, clock
        self.is_open = False
        self._retry_at = 0.0
        self._opened_by = ""
        self._probing = False
        self._entered_at = float("-inf")
        # Its own reopening by wall clock never comes about: `calling` decides when a probe is due.
        self._state = pybreaker.CircuitBreaker(
            FAILURES_IN_A_ROW, reset_timeout=10**9, exclude=[Declined], name=dependency
        )

    def admits(self) -> bool:
        """Whether an item may start that is going to call: always while closed, then one at a time as a probe."""
        if not self.is_open:
            return True
        now = self._clock()
        # An item that was admitted may call another port first, or not call this one at all.
        return now >= self._retry_at and not self._probing and now >= self._entered_at + OPEN_SECONDS

    def enter(self) -> None:
        """An item that may call starts: once a probe is due, it is the probe."""
        if self.is_open and (now := self._clock()) >= self._retry_at:
            self._entered_at = now

    def all_left(self) -> None:
        """No item that may call is under way: another one may be the probe."""
        self._entered_at = float("-inf")

    def blocked(self) -> Blocked:
        """What an item waits for while the breaker is open, and when the next probe may be made."""
        down = DependencyDown(self.dependency, self._retry_at, self._opened_by)
        return Blocked(str(down), down.retry_at)

    async def calling(self, function: Callable[..., Awaitable[Any]], *args: Any, **named: Any) -> Any:
        """Call the port's method, or raise `DependencyDown` at once while the breaker is open."""
        is_probe = self.is_open
        if is_probe:
            if self._probing or self._clock() < self._retry_at:
                raise DependencyDown(self.dependency, max(self._retry_at, self._clock() + 0.1), self._opened_by)
            self._probing = True
            self._state.half_open()
        try:
            result = await function(*args, **named)
        except asyncio.CancelledError:
            # So a step's timeout reaches the port it waits for.
            self._note(TimeoutError(f"{self.dependency} did not answer"))
            raise
        except Exception as error:
            self._note(error)
            raise
        finally:
            if is_probe:
                self._probing, self._entered_at = False, float("-inf")
        self._note(None)
        return result

    def _note(self, error: Exception | None) -> None:
        def outcome() -> None:
            if error is not None:
                raise error

        if self._state.current_state == pybreaker.STATE_OPEN:
            return
        try:
            self._state.call(outcome)
        except pybreaker.CircuitBreakerError:
            self._retry_at = self._clock() + OPEN_SECONDS
            self._opened_by = self._opened_by or _in_words(error)
        except Exception:
            return
        else:
            self._opened_by = ""
        finally:
            self.is_open = self._state.current_state != pybreaker.STATE_CLOSED


def _in_words(error: Exception | None) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS_MAX]
    except Exception:
        return type(error).__name__


class GuardedPort:
    """A port whose async methods go through its breaker; anything else is passed on as it is."""

    def __init__(self, port: object, breaker: Breaker) -> None:
        self._port, self._breaker = port, breaker

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return functools.partial(self._breaker.calling, found)


def guarded(
    ports: dict[type, object], clock: Clock, known: Mapping[type, Breaker] | None = None
) -> tuple[dict[type, object], dict[type, Breaker]]:
    """Every port behind a breaker of its own, and the breakers by port; a port that has a `known` one keeps it."""
    breakers = {
        kind: (known or {}).get(kind) or Breaker(kind.__name__, clock, getattr(port, "passed_over", lambda: 0))
        for kind, port in ports.items()
    }
    return {kind: GuardedPort(port, breakers[kind]) for kind, port in ports.items()}, breakers
