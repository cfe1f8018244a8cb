"""Work beside other work, which ends with it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class UnlessDoneWithin:
    """A context that starts something beside what is done in it, once that takes longer; it ends with the context."""

    def __init__(self, seconds: float, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._seconds, self._start = seconds, start
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._start())

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


async def together(asks: list[Any]) -> list[Any]:
    """The results of all. The first error is raised at once, and the others are cancelled."""
    if len(asks) == 1:
        return [await asks[0]]
    tasks = [asyncio.ensure_future(ask) for ask in asks]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
