"""The engine's figures: one list of what there is, and how a worker fills it in.

Labels never carry ids. The registry is handed in; nothing here is global.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from consumers.runtime.breakers import Breaker
from consumers.runtime.finishing import Blocked, Broke, Outcome, Spoke
from consumers.runtime.memory import Work
from consumers.runtime.participant import ParticipantGroup
from consumers.runtime.runners import RunItem


class Figure(NamedTuple):
    """One metric: its name, its labels, and what it tells."""

    name: str
    labels: tuple[str, ...]
    help: str


ITEMS = Figure(
    "soma_items_total",
    ("participant", "step", "outcome"),
    "Attempts that came to an end: said (or had nothing to say), waits, blocked by an open breaker, failed.",
)
RUNNING = Figure("soma_items_running", ("participant",), "Attempts that run just now.")
DURATION = Figure("soma_step_duration_seconds", ("participant", "step"), "How long an attempt took.")
LANE_OPEN = Figure("soma_lane_open", ("participant", "partition"), "1 where the lane is open, 0 while it opens.")
LANE_OFFSET = Figure(
    "soma_lane_committed_offset",
    ("participant", "topic", "partition"),
    "Up to where the lane has heard the topic, as of its last transaction.",
)
POLLED = Figure("soma_participant_polled_age_seconds", ("participant",), "How long ago the participant last polled.")
BREAKER = Figure("soma_breaker_open", ("dependency",), "1 where calls to the dependency are kept away.")
CATALOGUE = (ITEMS, RUNNING, DURATION, LANE_OPEN, LANE_OFFSET, POLLED, BREAKER)

DURATION_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ItemFigures(Collector):
    """What is counted as it happens: in plain numbers, for that is done with every item."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._items: dict[tuple[str, str, str], int] = defaultdict(int)
        self._running: dict[str, int] = defaultdict(int)
        self._durations: dict[tuple[str, str], Durations] = defaultdict(Durations)
        registry.register(self)

    def counted(self, participant: str, run_item: RunItem) -> RunItem:
        """The same caller of steps, with every attempt counted; an attempt that is cancelled has no outcome."""
        items, running, durations = self._items, self._running, self._durations

        async def run(work: Work) -> Outcome:
            began_seconds = time.perf_counter()
            running[participant] += 1
            try:
                outcome = await run_item(work)
            finally:
                running[participant] -= 1
            step = work.owner.name
            durations[participant, step].note(time.perf_counter() - began_seconds)
            items[participant, step, word_for(outcome)] += 1
            return outcome

        return run

    def collect(self) -> Iterable[Metric]:
        """Called by the registry."""
        items = CounterMetricFamily(ITEMS.name, ITEMS.help, labels=ITEMS.labels)
        for labels, count in list(self._items.items()):
            items.add_metric(labels, count)
        running = _family(RUNNING)
        for participant, count in list(self._running.items()):
            running.add_metric((participant,), count)
        duration = HistogramMetricFamily(DURATION.name, DURATION.help, labels=DURATION.labels)
        for step, durations in list(self._durations.items()):
            duration.add_metric(step, durations.buckets(), durations.sum_seconds)
        return items, running, duration


class Durations:
    """How often something took how long."""

    def __init__(self) -> None:
        self._counts = [0] * (len(DURATION_BUCKETS_SECONDS) + 1)
        self.sum_seconds = 0.0

    def note(self, seconds: float) -> None:
        """It took so long."""
        self._counts[bisect_left(DURATION_BUCKETS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """How many took at most so long, by the bucket's label."""
        limits = [*map(floatToGoString, DURATION_BUCKETS_SECONDS), "+Inf"]
        return list(zip(limits, accumulate(self._counts), strict=True))


def word_for(outcome: Outcome) -> str:
    """The outcome as a label."""
    if isinstance(outcome, Spoke):
        return "said"
    if isinstance(outcome, Blocked):
        return "blocked"
    return "failed" if isinstance(outcome, Broke) else "waits"


class StandingFigures(Collector):
    """What is looked up when somebody asks. Both arguments may change between two questions."""

    def __init__(self, groups: Callable[[], Sequence[ParticipantGroup]], breakers: Mapping[str, Breaker]) -> None:
        self._groups, self._breakers = groups, breakers

    def collect(self) -> Iterable[Metric]:
        """Called by the registry."""
        lane_open, offsets, polled, broken = (_family(one) for one in (LANE_OPEN, LANE_OFFSET, POLLED, BREAKER))
        now_seconds = time.monotonic()
        for group in self._groups():
            name = group.role.name
            polled.add_metric((name,), now_seconds - group.polled_at)
            for partition, lane in group.lanes.items():
                lane_open.add_metric((name, str(partition)), lane.is_live)
                for topic, offset in lane.committed_offsets().items():
                    offsets.add_metric((name, topic, str(partition)), offset)
        for dependency, breaker in self._breakers.items():
            broken.add_metric((dependency,), breaker.is_open)
        return lane_open, offsets, polled, broken


def _family(figure: Figure) -> GaugeMetricFamily:
    return GaugeMetricFamily(figure.name, figure.help, labels=figure.labels)
