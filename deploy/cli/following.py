"""Following one saga to its end, deciding for the person or with them when it asks."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import datetime

from deploy.cli.live import View
from deploy.cli.review import Decision
from deploy.cli.talking import ended
from producers.client import Client
from schemas.status import FINAL_STATES, STANDING_STATES, SagaStatus

SILENCE_SECONDS_MAX = 120.0
DELAYED_SILENCE_SECONDS_MAX = 900.0


class Silence(Exception):
    """Nothing has happened for too long, though the saga should be moving; `last` is what was known then."""

    def __init__(self, last: SagaStatus | None) -> None:
        self.last = last
        super().__init__("nothing has happened for minutes")


class Following:
    """Follows a saga. `asks` is awaited when the saga waits for a person, and given up if somebody else decides first.

    `decide` publishes what was decided.
    """

    def __init__(
        self,
        view: View,
        asks: Callable[[SagaStatus], Awaitable[Decision | None]],
        decide: Callable[[Decision], Awaitable[None]],
    ) -> None:
        self._view, self._asks, self._decide = view, asks, decide
        self._asked_until: datetime | None = None
        self._asking: asyncio.Task[Decision | None] | None = None

    async def to_the_end(self, client: Client, saga: str, saga_id: str) -> SagaStatus:
        """The last status: the saga has ended, or stands still. Raises `Silence`."""
        last: SagaStatus | None = None
        async with aclosing(client.watch_status(saga, saga_id)) as changes:
            change = asyncio.ensure_future(anext(changes))
            changed_at = time.monotonic()
            try:
                while True:
                    patience = _patience(last, changed_at)
                    tasks = {change, *self._tasks()}
                    await asyncio.wait(tasks, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                    if change.done():
                        last, changed_at = change.result(), time.monotonic()
                        if last.state in FINAL_STATES | STANDING_STATES:
                            await self._give_up_asking()
                            self._view.show(last)
                            return last
                        change = asyncio.ensure_future(anext(changes))
                        await self._look(last)
                    elif self._asking is not None and self._asking.done():
                        asked, self._asking = self._asking, None
                        decision = asked.result()
                        if decision is not None:
                            await self._decide(decision)
                        changed_at = time.monotonic()
                    elif _patience(last, changed_at) == 0:
                        raise Silence(last)
            finally:
                self._view.pause()
                await ended(change, *self._tasks())

    async def _look(self, status: SagaStatus) -> None:
        if status.state != "waiting":
            await self._give_up_asking()
            self._view.show(status)
        elif self._asked_until != status.deadline:
            self._asked_until = status.deadline
            self._view.show(status)
            self._view.pause()
            self._asking = asyncio.ensure_future(self._asks(status))
        elif self._asking is None:
            self._view.show(status)

    async def _give_up_asking(self) -> None:
        tasks, self._asking = self._tasks(), None
        await ended(*tasks)

    def _tasks(self) -> tuple[asyncio.Task[Decision | None], ...]:
        return () if self._asking is None else (self._asking,)


def _patience(last: SagaStatus | None, changed_at: float) -> float | None:
    """For how many more seconds nothing may happen; None while a person is awaited."""
    if last is not None and last.state == "waiting":
        return None
    # A step that is tried again says so once per cause; between its last attempts there may be minutes.
    is_delayed = last is not None and any(step.state == "delayed" for step in last.steps)
    patience = DELAYED_SILENCE_SECONDS_MAX if is_delayed else SILENCE_SECONDS_MAX
    return max(0.0, changed_at + patience - time.monotonic())
