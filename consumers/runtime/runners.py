"""Running a lane's items: one task takes them one after another, and another one takes over where an item waits.

So a step that never waits costs no task of its own, and one that does holds nobody up.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from consumers.runtime.finishing import Broke, Outcome
from consumers.runtime.memory import Work

log = logging.getLogger(__name__)

RunItem = Callable[[Work], Awaitable[Outcome]]


class Runners:
    """`finished` is called with every item's outcome, on the event loop; never for one that was cancelled."""

    def __init__(self, name: str, run_item: RunItem, finished: Callable[[Work, Outcome], None]) -> None:
        self._name, self._run_item, self._finished = name, run_item, finished
        self._waiting: deque[Work] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_relayed = False
        self._open: dict[int, Work] = {}

    def __len__(self) -> int:
        """How many items have been started and have not ended."""
        return len(self._open)

    def start(self, works: Iterable[Work]) -> None:
        """Run these as soon as the loop is free."""
        for work in works:
            self._open[id(work)] = work
            self._waiting.append(work)
        if self._waiting and not self._is_relayed:
            self._relay()

    def _relay(self) -> None:
        """Somebody must go on with what waits: whoever took the last item may be held up by it."""
        self._is_relayed = False
        if self._waiting:
            task = asyncio.create_task(self._run(), name=self._name)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        task = asyncio.current_task()
        while self._waiting and task is not None and not task.cancelling():
            work = self._waiting.popleft()
            if self._waiting and not self._is_relayed:
                self._is_relayed = True
                asyncio.get_running_loop().call_soon(self._relay)
            try:
                outcome = await self._run_item(work)
            except Exception as error:
                # A mistake of ours; the item must not run for ever in the books.
                log.exception("runners.could_not_run", extra={"lane": self._name, "item": work.item.id})
                outcome = Broke("CouldNotRun", repr(error)[:2_000], permanent=True)
            if self._open.pop(id(work), None) is not None:
                self._finished(work, outcome)

    async def ended(self, seconds: float) -> None:
        """Wait until all have ended, but no longer than so many seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self._open and (left := until - loop.time()) > 0:
            if self._tasks:
                await asyncio.wait(set(self._tasks), timeout=left)
            else:
                # The one that takes over from the last is about to.
                await asyncio.sleep(0)

    async def cancel(self) -> list[Work]:
        """Stop them all, and give those that had not ended. Nothing of them is heard of any more."""
        dropped = list(self._open.values())
        self._open.clear()
        self._waiting.clear()
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)
        return dropped
