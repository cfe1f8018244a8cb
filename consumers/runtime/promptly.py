"""Awaiting a coroutine that most likely never waits: its time limit is set up only once it does.

Between two waits a coroutine keeps the event loop from everything else. Each such stretch is measured.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from time import monotonic
from typing import Any

from consumers.runtime.lease import ALWAYS, Lease

BLOCKING_SECONDS = 0.2

Blocked = Callable[[Any, float], None]


async def within(
    seconds: float,
    coroutine: Coroutine[Any, Any, Any],
    lease: Lease = ALWAYS,
    blocked: Blocked = lambda about, seconds: None,
    about: object = None,
) -> Any:
    """What the coroutine returns; raises `TimeoutError` where it still waits for something after so many seconds.

    Each time it goes on after an await, the lease is checked first: without it, `NotOwned` is raised there.
    `blocked` is called with `about` and the length of every stretch that kept the event loop for more than 0.2 s.
    """
    began = monotonic()
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        return end.value
    finally:
        # Done for every item, so without a function of its own: see `_Rest._resumed` for the others.
        if (lasted := monotonic() - began) > BLOCKING_SECONDS:
            blocked(about, lasted)
    async with asyncio.timeout(seconds):
        return await _Rest(coroutine, awaited, lease, blocked, about)


class _Rest:
    """The rest of a coroutine that has begun, and now waits for `awaited`."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], awaited: Any, lease: Lease, blocked: Blocked, about: object
    ) -> None:
        self._coroutine, self._awaited, self._lease = coroutine, awaited, lease
        self._blocked, self._about = blocked, about

    def __await__(self) -> Generator[Any, Any, Any]:
        awaited = self._awaited
        try:
            while True:
                try:
                    answer = yield awaited
                    self._lease.check()
                except GeneratorExit:
                    self._coroutine.close()
                    raise
                except BaseException as error:
                    awaited = self._resumed(self._coroutine.throw, error)
                else:
                    awaited = self._resumed(self._coroutine.send, answer)
        except StopIteration as end:
            return end.value

    def _resumed(self, resume: Callable[[Any], Any], value: Any) -> Any:
        """Let the coroutine run up to its next wait; returns what it waits for."""
        began = monotonic()
        try:
            return resume(value)
        finally:
            if (lasted := monotonic() - began) > BLOCKING_SECONDS:
                self._blocked(self._about, lasted)
