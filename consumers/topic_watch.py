"""A worker's look at the settings of its topics while it runs: a metric, and one line in the log for each change."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from consumers.topic_rules import Drift

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 60.0
LOOK_SECONDS_MAX = 20.0


def tell(drift: Iterable[Drift]) -> None:
    """Log each setting that differs: an error where records are lost, else a warning."""
    for one in drift:
        log.log(logging.ERROR if one.is_dangerous else logging.WARNING, "worker.topic.differs", extra=asdict(one))


class TopicWatch(Collector):
    """What `look` found last. A change of a topic stops no lane that runs; it is told in the log and as a metric."""

    def __init__(self, look: Callable[[], Awaitable[Sequence[Drift]]]) -> None:
        self._look = look
        self._known: tuple[Drift, ...] = ()

    def collect(self) -> Iterable[Metric]:
        """Called by the registry; a setting that is as it should be is not listed."""
        gauge = GaugeMetricFamily(
            "soma_topic_setting_drift",
            "1 for each setting of a topic that is not as it should be; `soma topics plan` tells why it matters.",
            labels=("topic", "setting", "dangerous"),
        )
        for one in self._known:
            gauge.add_metric((one.topic, one.setting, str(one.is_dangerous).lower()), 1)
        return (gauge,)

    def note(self, found: Iterable[Drift]) -> None:
        """Remember what differs now, and log what is new of it."""
        every = tuple(found)
        tell(one for one in every if one not in self._known)
        self._known = every

    async def watch(self) -> None:
        """Look now and then, until it is cancelled. What cannot be looked at changes nothing, and is logged once."""
        told = ""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            try:
                async with asyncio.timeout(LOOK_SECONDS_MAX):
                    self.note(await self._look())
                cause = ""
            except Exception as error:
                cause = repr(error)
            if cause and cause != told:
                log.info("worker.topics.unknown", extra={"cause": cause})
            told = cause
