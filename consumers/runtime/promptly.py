"""Awaiting a coroutine that most likely never waits: its time limit is set up only once it does."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

from consumers.runtime.lease import ALWAYS, Lease


async def within(seconds: float, coroutine: Coroutine[Any, Any, Any], lease: Lease = ALWAYS) -> Any:
    """What the coroutine returns; raises `TimeoutError` where it still waits for something after so many seconds.

    Each time it goes on after an await, the lease is checked first: without it, `NotOwned` is raised there.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        return end.value
    async with asyncio.timeout(seconds):
        return await _Rest(coroutine, awaited, lease)


class _Rest:
    """The rest of a coroutine that has begun, and now waits for `awaited`."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], awaited: Any, lease: Lease) -> None:
        self._coroutine, self._awaited, self._lease = coroutine, awaited, lease

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
                    awaited = self._coroutine.throw(error)
                else:
                    awaited = self._coroutine.send(answer)
        except StopIteration as end:
            return end.value
