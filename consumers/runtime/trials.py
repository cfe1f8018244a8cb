"""Letting suspects run again after the worker died: all at once after one death, one at a time after several in a row.

An item that kills its worker spends its budget by that, and only it: a step that merely runs long must not pay for
what its neighbours do.
"""

import asyncio
import contextlib

from consumers.runtime.memory import Memory

SUSPECT_SECONDS = 5.0
LOOK_EVERY_SECONDS = 0.005
FORGIVEN_AFTER_SECONDS = 10.0


class Trials:
    """The suspects of one lane's life. `deaths` is how many lives in a row have ended without a farewell.

    `one_at_a_time` is the whole worker's lock, `wake` the lane's.
    """

    def __init__(self, one_at_a_time: asyncio.Lock, wake: asyncio.Event) -> None:
        self._one_at_a_time, self._wake = one_at_a_time, wake
        self._memory: Memory | None = None
        self._task: asyncio.Task[None] | None = None
        self.deaths = 0

    def begin(self, memory: Memory, deaths: int) -> None:
        """A life begins after so many deaths in a row."""
        self._memory, self.deaths = memory, deaths

    def go_on(self, age_seconds: float) -> None:
        """Let suspects start as the rule has it; called in every turn of a lane that has lived so long."""
        memory = self._memory
        if memory is not None and memory.has_suspects():
            if self.deaths <= 1:
                memory.acquit(all_of_them=True)
                self._wake.set()
            elif self._task is None or self._task.done():
                self._task = asyncio.create_task(self._one_by_one(memory))
        elif self.deaths and age_seconds > FORGIVEN_AFTER_SECONDS:
            self.deaths = 0

    async def _one_by_one(self, memory: Memory) -> None:
        """One suspect at a time in the whole worker, the worst one first."""
        while memory.has_suspects():
            async with self._one_at_a_time:
                suspect = memory.acquit(all_of_them=False)
                self._wake.set()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SUSPECT_SECONDS):
                        while suspect is not None and memory.is_suspect(suspect):
                            await asyncio.sleep(LOOK_EVERY_SECONDS)
                if suspect is not None and memory.is_suspect(suspect):
                    memory.release(suspect)
                    self._wake.set()
                    # The next suspect may kill the worker; this one must be above suspicion by then.
                    while memory.is_touched():
                        await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def cancel(self) -> None:
        """The life ends."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
