"""Awaiting a coroutine that most likely never waits: its time limit is set up only once it does."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


async def within(seconds: float, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What the coroutine returns; raises `TimeoutError` where it still waits for something after so many seconds."""
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        return end.value
    async with asyncio.timeout(seconds):
        return await _Rest(coroutine, awaited)


class _Rest:
    """The rest of a coroutine that has begun, and now waits for `awaited`."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], awaited: Any) -> None:
        self._coroutine, self._awaited = coroutine, awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        awaited = self._awaited
        try:
            while True:
                try:
                    answer = yield awaited
                except GeneratorExit:
                    self._coroutine.close()
                    raise
                except BaseException as error:
                    awaited = self._coroutine.throw(error)
                else:
                    awaited = self._coroutine.send(answer)
        except StopIteration as end:
            return end.value
