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
from consumers.runtime.finishing import Blocked, Broke, Outcome, Spoke, Unfit
from consumers.runtime.memory import Work
from consumers.runtime.participant import ParticipantGroup
from consumers.runtime.runners import RunItem
from consumers.runtime.transport import place_of


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
LANE_POSITION_LOST = Figure(
    "soma_lane_position_lost",
    ("participant", "partition"),
    "1 where no position of the lane fits its logs, and it stays closed until `soma topics apply --reset`.",
)
LANE_OFFSET = Figure(
    "soma_lane_committed_offset",
    ("participant", "topic", "partition"),
    "Up to where the lane has heard the topic, as of its last transaction.",
)
POLLED = Figure("soma_participant_polled_age_seconds", ("participant",), "How long ago the participant last polled.")
BREAKER = Figure("soma_breaker_open", ("dependency",), "1 where calls to the dependency are kept away.")
STEP_PAUSED = Figure(
    "soma_step_paused",
    ("participant", "step"),
    "1 where the step starts no more, in any lane, until `soma steps resume PARTICIPANT STEP`.",
)
LANE_BACKLOG = Figure(
    "soma_lane_backlog_bytes",
    ("participant", "partition"),
    "How much could start in the lane without further input, in encoded bytes.",
)
LANE_FULL = Figure(
    "soma_lane_full", ("participant", "partition"), "1 where the lane fetches no more until less waits to be started."
)
DEPENDENCY_RUNNING = Figure("soma_dependency_running", ("dependency",), "Attempts that may call the dependency now.")
ENGINE_FAULTS = Figure(
    "soma_engine_faults_total",
    ("participant", "call"),
    "Errors of the engine itself over one saga; each is that saga's dead letter or its failed step.",
)
PASSED_OVER = Figure(
    "soma_dependency_passed_over",
    ("dependency",),
    "Files or folders of the dependency that cannot be read and are left out; the log names them.",
)
BLOCKED = Figure(
    "soma_step_blocked_seconds_total",
    ("participant", "step"),
    "For how long a step has kept the event loop from everything else, counted in stretches of more than 0.2 s.",
)
CATALOGUE = (
    ITEMS,
    RUNNING,
    DURATION,
    BLOCKED,
    LANE_OPEN,
    LANE_POSITION_LOST,
    LANE_OFFSET,
    POLLED,
    BREAKER,
    STEP_PAUSED,
    LANE_BACKLOG,
    LANE_FULL,
    DEPENDENCY_RUNNING,
    ENGINE_FAULTS,
    PASSED_OVER,
)

DURATION_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ItemFigures(Collector):
    """What is counted as it happens: in plain numbers, for that is done with every item."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._items: dict[tuple[str, str, str], int] = defaultdict(int)
        self._running: dict[str, int] = defaultdict(int)
        self._durations: dict[tuple[str, str], Durations] = defaultdict(Durations)
        self._faults: dict[tuple[str, str], int] = defaultdict(int)
        self._blocked: dict[tuple[str, str], float] = defaultdict(float)
        registry.register(self)

    def count_fault(self, participant: str, call: str) -> None:
        """A call of the engine has raised over one saga."""
        self._faults[participant, call] += 1

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

    def blocked(self, work: Work, seconds: float) -> None:
        """Count what a step has kept the event loop for, without a pause."""
        self._blocked[work.owner.participant, work.owner.name] += seconds

    def collect(self) -> Iterable[Metric]:
        """Called by the registry."""
        blocked = CounterMetricFamily(BLOCKED.name, BLOCKED.help, labels=BLOCKED.labels)
        for step_labels, seconds in list(self._blocked.items()):
            blocked.add_metric(step_labels, seconds)
        items = CounterMetricFamily(ITEMS.name, ITEMS.help, labels=ITEMS.labels)
        for labels, count in list(self._items.items()):
            items.add_metric(labels, count)
        running = _family(RUNNING)
        for participant, count in list(self._running.items()):
            running.add_metric((participant,), count)
        duration = HistogramMetricFamily(DURATION.name, DURATION.help, labels=DURATION.labels)
        for step, durations in list(self._durations.items()):
            duration.add_metric(step, durations.buckets(), durations.sum_seconds)
        faults = CounterMetricFamily(ENGINE_FAULTS.name, ENGINE_FAULTS.help, labels=ENGINE_FAULTS.labels)
        for call, count in list(self._faults.items()):
            faults.add_metric(call, count)
        return items, running, duration, faults, blocked


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
    return "failed" if isinstance(outcome, Broke | Unfit) else "waits"


class StandingFigures(Collector):
    """What is looked up when somebody asks. All arguments may change between two questions.

    `running` has the attempts under way by dependency.
    """

    def __init__(
        self,
        groups: Callable[[], Sequence[ParticipantGroup]],
        breakers: Mapping[type, Breaker],
        running: Mapping[str, int],
    ) -> None:
        self._groups, self._breakers, self._running = groups, breakers, running

    def collect(self) -> Iterable[Metric]:
        """Called by the registry."""
        broken, running, polled = _family(BREAKER), _family(DEPENDENCY_RUNNING), _family(POLLED)
        passed_over = _family(PASSED_OVER)
        now_seconds = time.monotonic()
        groups = self._groups()
        for group in groups:
            polled.add_metric((group.role.name,), now_seconds - group.polled_at)
        opened: dict[str, bool] = defaultdict(bool)
        left_out: dict[str, int] = defaultdict(int)
        for breaker in self._breakers.values():
            # Ports of two saga kinds may have the same name.
            opened[breaker.dependency] |= breaker.is_open
            left_out[breaker.dependency] += breaker.passed_over()
        for dependency, is_open in opened.items():
            broken.add_metric((dependency,), is_open)
            running.add_metric((dependency,), self._running.get(dependency, 0))
            passed_over.add_metric((dependency,), left_out[dependency])
        return *_of_lanes(groups), polled, broken, running, passed_over


def _of_lanes(groups: Iterable[ParticipantGroup]) -> Iterable[Metric]:
    live, offsets, paused = _family(LANE_OPEN), _family(LANE_OFFSET), _family(STEP_PAUSED)
    backlog, full, lost = _family(LANE_BACKLOG), _family(LANE_FULL), _family(LANE_POSITION_LOST)
    paused_steps: set[tuple[str, str]] = set()
    for group in groups:
        name = group.role.name
        for partition, lane in group.lanes.items():
            place = (name, str(partition))
            live.add_metric(place, lane.is_live)
            lost.add_metric(place, bool(lane.logs.position_lost))
            backlog.add_metric(place, lane.memory.backlog_bytes())
            full.add_metric(place, lane.is_full)
            paused_steps |= {(name, step) for step in lane.memory.paused()}
            for key, offset in lane.committed_offsets().items():
                topic, read = place_of(key, partition)
                offsets.add_metric((name, topic, str(read)), offset)
    for labels in sorted(paused_steps):
        paused.add_metric(labels, 1)
    return live, lost, offsets, paused, backlog, full


def _family(figure: Figure) -> GaugeMetricFamily:
    return GaugeMetricFamily(figure.name, figure.help, labels=figure.labels)
