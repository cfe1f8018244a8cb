"""How late the worker's event loop runs its timers: what blocks it without being a step's own stretch shows here.

A step's own stretches are measured where it is called. Work in a task that a step has made, and work of the engine
itself, is not; both delay every timer of the loop.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from consumers.runtime.promptly import BLOCKING_SECONDS

log = logging.getLogger(__name__)

TICK_SECONDS = 0.1


class LoopWatch(Collector):
    """Counts for how long the loop was blocked, in stretches of more than 0.2 s."""

    def __init__(self) -> None:
        self._blocked_seconds = 0.0

    async def watch(
        self,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look ten times a second whether the loop is late; never ends by itself."""
        while True:
            began = clock()
            await sleep(TICK_SECONDS)
            late_seconds = clock() - began - TICK_SECONDS
            if late_seconds > BLOCKING_SECONDS:
                self._blocked_seconds += late_seconds
                log.warning("worker.loop_blocked", extra={"seconds": round(late_seconds, 3)})

    def collect(self) -> Iterable[Metric]:
        """Called by the registry."""
        blocked = CounterMetricFamily(
            "soma_worker_loop_blocked_seconds",
            "For how long the event loop ran nothing else, counted in stretches of more than 0.2 s.",
        )
        blocked.add_metric((), self._blocked_seconds)
        return (blocked,)
