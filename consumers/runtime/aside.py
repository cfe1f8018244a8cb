"""One piece of work beside a loop, which the loop looks after: a transaction that is under way, a question to Kafka."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Aside:
    """At most one at a time; `wake` is set when it has ended."""

    def __init__(self, name: str, wake: asyncio.Event) -> None:
        self._name, self._wake = name, wake
        self._task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is under way, or has ended and was not yet looked after."""
        return self._task is not None

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin this; only where nothing is under way."""
        self._task = asyncio.create_task(work, name=self._name)
        self._task.add_done_callback(lambda _: self._wake.set())

    def look_after(self) -> None:
        """Make room for the next one if this one has ended; raises its error, if it had one."""
        if self._task is not None and self._task.done():
            task, self._task = self._task, None
            task.result()

    async def ended(self) -> None:
        """Wait until it has ended; raises its error, if it had one."""
        task, self._task = self._task, None
        if task is not None:
            await task

    async def cancel(self) -> None:
        """Stop it; raises nothing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
