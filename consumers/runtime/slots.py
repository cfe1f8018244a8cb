"""Few at once, and none of them for long: a limit that what hangs does not use up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slots:
    """So many at once. A slot is given back after `moment_seconds`, though what took it goes on.

    What goes on without a slot hangs, most likely at a broker that does not answer, and others will hang there as well:
    the more there are, the shorter is the moment of the next one. So n that hang cost the others a wait of
    `moment_seconds` / `at_once` * (1 + 1/2 + ... + 1/n), not n times the time that each hangs.
    """

    def __init__(self, at_once: int, moment_seconds: float) -> None:
        self._free, self._moment_seconds = asyncio.Semaphore(at_once), moment_seconds
        self.overdue = 0

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for a slot, and hold it for a moment at most."""
        await self._free.acquire()
        is_held = True

        def give_back() -> None:
            nonlocal is_held
            is_held = False
            self.overdue += 1
            self._free.release()

        timer = asyncio.get_running_loop().call_later(self._moment_seconds / (1 + self.overdue), give_back)
        try:
            yield
        finally:
            timer.cancel()
            if is_held:
                self._free.release()
            else:
                self.overdue -= 1
