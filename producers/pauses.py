"""The pauses between attempts: short at first, growing, and never the same for two clients at once."""

import asyncio
import random

GROWTH = 1.6


class Pauses:
    """Pauses of one series of attempts, from `first_seconds` up to `most_seconds`."""

    def __init__(self, first_seconds: float, most_seconds: float) -> None:
        self._next_seconds, self._most_seconds = first_seconds, most_seconds

    async def wait(self) -> None:
        """Sleep for half to all of the pause that is due."""
        pause_seconds, self._next_seconds = self._next_seconds, min(self._most_seconds, self._next_seconds * GROWTH)
        await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.0))
