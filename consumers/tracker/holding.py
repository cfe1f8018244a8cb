"""A worker's look for transactions that hold its sagas' partitions: a metric, and one line in the log for each."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from consumers.runtime.transport import Clock
from producers.open_transactions import OpenTransaction

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 15.0
LOOK_SECONDS_MAX = 10.0


class HeldPartitions(Collector):
    """What `look` found last. `start` begins to look now and then, `stop` ends it."""

    def __init__(self, look: Callable[[], Awaitable[list[OpenTransaction]]], clock: Clock) -> None:
        self._look, self._clock = look, clock
        self._held: list[OpenTransaction] = []
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look; the first look is made at once."""
        self._looking = asyncio.create_task(self._go_on(), name="held-partitions")

    async def stop(self) -> None:
        """Look no more. May be called twice."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    def collect(self) -> Iterable[Metric]:
        """Called by the registry; a partition that nothing holds is not listed."""
        gauge = GaugeMetricFamily(
            "soma_open_transaction_seconds",
            "How long the oldest open transaction has hidden what stands behind it in this partition.",
            labels=("topic", "partition"),
        )
        oldest: dict[tuple[str, str], float] = {}
        for one in self._held:
            place = one.topic, str(one.partition)
            oldest[place] = min(one.since, oldest.get(place, one.since))
        for place, since in oldest.items():
            gauge.add_metric(place, max(0.0, self._clock() - since))
        return (gauge,)

    async def _go_on(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def look(self) -> None:
        """Look once; what cannot be looked at counts as not held. Raises nothing but cancellation."""
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                found = await self._look()
        except Exception as error:
            log.info("transactions.not_looked_at", extra={"error": repr(error)})
            found = []
        for one in found:
            if one not in self._held:
                log.warning(
                    "partition.held",
                    extra={
                        "topic": one.topic,
                        "partition": one.partition,
                        "transactional_id": one.transactional_id,
                        "producer_id": one.producer_id,
                        "start_offset": one.start_offset,
                        "since": one.since,
                        "until": one.until,
                        "remedy": one.remedy("BROKER"),
                    },
                )
        self._held = found
