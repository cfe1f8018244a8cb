"""The trackers' figures: how many sagas are open and stalled, and how far the log is heard."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from consumers.runtime.participant import ParticipantGroup
from consumers.tracker.ledger import TrackerLedger


class SagaFigures(Collector):
    """What is looked up when somebody asks; counts the sagas of the partitions this worker tracks."""

    def __init__(self, groups: Callable[[], Sequence[ParticipantGroup]]) -> None:
        self._groups = groups

    def collect(self) -> Iterable[Metric]:
        """Called by the registry."""
        opened = GaugeMetricFamily("soma_sagas_open", "Sagas that have not ended and settled.", labels=("saga",))
        stalled = GaugeMetricFamily("soma_sagas_stalled", "Sagas owed a fact past its deadline.", labels=("saga",))
        watermark = GaugeMetricFamily(
            "soma_tracker_watermark_timestamp_seconds",
            "The newest event the tracker has heard, by the broker's clock.",
            labels=("saga", "partition"),
        )
        paused = GaugeMetricFamily(
            "soma_sagas_paused",
            "Sagas that wait at a paused step; `soma steps resume PARTICIPANT STEP` lets them go on.",
            labels=("saga", "participant", "step"),
        )
        for group in self._groups():
            memories = {partition: lane.memory for partition, lane in group.lanes.items()}
            counted = {
                partition: memory.count() for partition, memory in memories.items() if isinstance(memory, TrackerLedger)
            }
            saga = group.role.name.partition(".")[0]
            if counted:
                opened.add_metric((saga,), sum(one.open for one in counted.values()))
                stalled.add_metric((saga,), sum(one.stalled for one in counted.values()))
            waiting: Counter[tuple[str, str]] = Counter()
            for one in counted.values():
                waiting.update(one.paused)
            for (participant, step), count in waiting.items():
                paused.add_metric((saga, participant, step), count)
            for partition, one in counted.items():
                watermark.add_metric((saga, str(partition)), one.heard_at)
        return opened, stalled, paused, watermark
