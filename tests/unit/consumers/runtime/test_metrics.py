"""The engine's figures."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from consumers.runtime.breakers import FAILURES_IN_A_ROW, Breaker
from consumers.runtime.finishing import Blocked, Broke, Outcome, Spoke, Waits
from consumers.runtime.memory import Work
from consumers.runtime.metrics import CATALOGUE, ItemFigures, StandingFigures


def work(step: str) -> Work:
    return cast("Work", SimpleNamespace(owner=SimpleNamespace(name=step)))


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Spoke(None), "said"),
        (Waits(1.0), "waits"),
        (Blocked("the blog is down", 1.0), "blocked"),
        (Broke("OSError", "no"), "failed"),
    ],
)
async def test_an_attempt_is_counted_by_its_outcome(outcome: Outcome, word: str) -> None:
    registry = CollectorRegistry()

    async def run_item(_: Work) -> Outcome:
        assert registry.get_sample_value("soma_items_running", {"participant": "tale.door"}) == 1
        return outcome

    counted = ItemFigures(registry).counted("tale.door", run_item)
    assert await counted(work("tell_tale")) is outcome
    labels = {"participant": "tale.door", "step": "tell_tale"}
    assert registry.get_sample_value("soma_items_total", labels | {"outcome": word}) == 1
    assert registry.get_sample_value("soma_step_duration_seconds_count", labels) == 1
    assert registry.get_sample_value("soma_items_running", {"participant": "tale.door"}) == 0


async def test_a_cancelled_attempt_no_longer_runs_and_has_no_outcome() -> None:
    registry = CollectorRegistry()

    async def run_item(_: Work) -> Outcome:
        await asyncio.sleep(3600)
        return Spoke(None)

    running = asyncio.create_task(_await(ItemFigures(registry).counted("tale.door", run_item)(work("tell_tale"))))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert registry.get_sample_value("soma_items_running", {"participant": "tale.door"}) == 0
    assert not [
        sample for metric in registry.collect() for sample in metric.samples if sample.name == "soma_items_total"
    ]


async def _await(outcome: Any) -> Any:
    return await outcome


async def test_lanes_and_breakers_are_told_as_they_stand() -> None:
    lane = standing_lane()
    group = SimpleNamespace(role=SimpleNamespace(name="tale.door"), lanes={3: lane}, polled_at=time.monotonic() - 5)
    breaker, calm = Breaker("Blog", time.time), Breaker("Blog", time.time)
    registry = CollectorRegistry()
    # Two saga kinds may have a port of this name each.
    breakers = {type("Blog", (), {}): breaker, type("Blog", (), {}): calm}
    registry.register(StandingFigures(lambda: [cast("Any", group)], breakers, {}))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("soma_lane_open", participant="tale.door", partition="3") == 1
    assert value("soma_lane_committed_offset", participant="tale.door", topic="tale.events", partition="3") == 7
    assert value("soma_participant_polled_age_seconds", participant="tale.door") == pytest.approx(5, abs=2)
    assert value("soma_breaker_open", dependency="Blog") == 0
    for _ in range(FAILURES_IN_A_ROW):
        with pytest.raises(OSError, match="down"):
            await breaker.calling(_fail)
    assert value("soma_lane_position_lost", participant="tale.door", partition="3") == 0
    lane.is_live, lane.logs.position_lost = False, "has no position"
    assert value("soma_lane_position_lost", participant="tale.door", partition="3") == 1
    assert value("soma_breaker_open", dependency="Blog") == 1
    assert value("soma_lane_open", participant="tale.door", partition="3") == 0


def test_a_paused_step_is_told_once_and_a_full_lane_with_what_it_holds() -> None:
    paused, other = standing_lane(), standing_lane()
    paused.memory.causes["tell_tale"] = "10 of its last 10 sagas failed here"
    other.memory.causes["tell_tale"] = "the same in another partition"
    paused.is_full, paused.memory.bytes = True, 70_000_000
    group = SimpleNamespace(role=SimpleNamespace(name="tale.door"), lanes={0: paused, 1: other}, polled_at=0.0)
    registry = CollectorRegistry()
    running = {"Blog": 3}
    registry.register(
        StandingFigures(lambda: [cast("Any", group)], {type("Blog", (), {}): Breaker("Blog", time.time)}, running),
    )
    value = registry.get_sample_value
    step = {"participant": "tale.door", "step": "tell_tale"}
    lane = {"participant": "tale.door", "partition": "0"}
    assert value("soma_step_paused", step) == 1
    assert value("soma_lane_full", lane) == 1
    assert value("soma_lane_backlog_bytes", lane) == 70_000_000
    assert value("soma_lane_full", lane | {"partition": "1"}) == 0
    assert value("soma_dependency_running", {"dependency": "Blog"}) == 3
    paused.memory.causes.clear()
    assert value("soma_step_paused", step) == 1
    other.memory.causes.clear()
    running["Blog"] = 0
    assert value("soma_step_paused", step) is None
    assert value("soma_dependency_running", {"dependency": "Blog"}) == 0


def test_all_that_a_worker_tells_is_in_the_list() -> None:
    lane = standing_lane()
    group = SimpleNamespace(role=SimpleNamespace(name="tale.door"), lanes={0: lane}, polled_at=0.0)
    registry = CollectorRegistry()
    ItemFigures(registry)
    registry.register(StandingFigures(lambda: [cast("Any", group)], {}, {}))
    told = {metric.name.removesuffix("_total") for metric in registry.collect()}
    assert told == {figure.name.removesuffix("_total") for figure in CATALOGUE}


class Memory:
    """As much of a lane's memory as is told of."""

    def __init__(self) -> None:
        self.causes: dict[str, str] = {}
        self.bytes = 0

    def paused(self) -> dict[str, str]:
        return self.causes

    def backlog_bytes(self) -> int:
        return self.bytes


def standing_lane() -> SimpleNamespace:
    """An open lane that has heard seven events."""
    heard = {"tale.events": 7}
    logs = SimpleNamespace(position_lost="")
    return SimpleNamespace(is_live=True, is_full=False, committed_offsets=lambda: heard, memory=Memory(), logs=logs)


async def _fail() -> None:
    raise OSError("down")


def test_the_list_names_every_metric_once_with_its_unit_and_without_ids() -> None:
    names = [figure.name for figure in CATALOGUE]
    assert len(set(names)) == len(names)
    assert all(figure.name.startswith("soma_") and figure.help for figure in CATALOGUE)
    assert not {"saga_id", "id", "item", "key"} & {label for figure in CATALOGUE for label in figure.labels}


def test_a_fault_of_the_engine_is_counted_by_participant_and_call() -> None:
    registry = CollectorRegistry()
    figures = ItemFigures(registry)
    figures.count_fault("tale.door", "hear")
    figures.count_fault("tale.door", "hear")
    labels = {"participant": "tale.door", "call": "hear"}
    assert registry.get_sample_value("soma_engine_faults_total", labels) == 2
