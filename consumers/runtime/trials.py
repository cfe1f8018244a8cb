"""Lets suspects start again after a crash: all at once after one; after several in a row half of the worst first."""

import asyncio
import contextlib
from dataclasses import dataclass

from consumers.runtime.memory import Memory
from consumers.runtime.timers import Mark

SUSPECT_SECONDS = 5.0
LOOK_EVERY_SECONDS = 0.005
FORGIVEN_AFTER_SECONDS = 10.0


@dataclass
class Transactions:
    """How many transactions the lane has begun and committed so far."""

    begun: int = 0
    committed: int = 0


class Trials:
    """The suspects of one lane's life. `deaths` is how many lives in a row have crashed.

    `one_at_a_time` is the whole worker's lock, so that a crash has its cause in one lane; `wake` and `transactions` are
    the lane's.
    """

    def __init__(self, one_at_a_time: asyncio.Lock, wake: asyncio.Event, transactions: Transactions) -> None:
        self._one_at_a_time, self._wake, self._transactions = one_at_a_time, wake, transactions
        self._memory: Memory | None = None
        self._task: asyncio.Task[None] | None = None
        self.deaths = 0

    def begin(self, memory: Memory, deaths: int) -> None:
        """A life begins after so many crashes in a row."""
        self._memory, self.deaths = memory, deaths

    def go_on(self, age_seconds: float) -> None:
        """Let suspects start as the rule has it; called in every turn of a lane that has lived so long."""
        memory = self._memory
        if memory is not None and memory.has_suspects():
            if self.deaths <= 1:
                memory.try_suspects(all_of_them=True, in_turn=False)
                self._wake.set()
            elif self._task is None or self._task.done():
                self._task = asyncio.create_task(self._in_turn(memory))
        elif self.deaths and age_seconds > FORGIVEN_AFTER_SECONDS:
            self.deaths = 0

    async def _in_turn(self, memory: Memory) -> None:
        async with self._one_at_a_time:
            await self._try(memory, all_of_them=False)
        while memory.has_suspects():
            async with self._one_at_a_time:
                await self._try(memory, all_of_them=True)

    async def _try(self, memory: Memory, all_of_them: bool) -> None:
        tried = memory.try_suspects(all_of_them, in_turn=True)
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SUSPECT_SECONDS):
                while any(memory.is_suspect(mark) for mark in tried):
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
        await self._release(memory, [mark for mark in tried if memory.is_suspect(mark)])

    async def _release(self, memory: Memory, marks: list[Mark]) -> None:
        """Clear those that still run: they have not crashed the worker. The next ones may, so commit that first."""
        if marks:
            for mark in marks:
                memory.release(mark)
            self._wake.set()
            next_one = self._transactions.begun + 1
            while self._transactions.committed < next_one:
                await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def cancel(self) -> None:
        """The life ends."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
