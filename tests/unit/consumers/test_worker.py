"""What a worker is made of, before it connects to anything."""

import asyncio
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from consumers.runtime.journal import Fact, Item, Journal
from consumers.runtime.lane import Host
from consumers.runtime.memory import Work
from consumers.runtime.metrics import ItemFigures
from consumers.runtime.participant import ParticipantGroup, Role
from consumers.runtime.reader import Reader
from consumers.topic_rules import Drift
from consumers.topic_watch import TopicWatch
from consumers.topics import Plan, TopicsDiffer
from consumers.worker import Worker, join_unread, roles
from producers.errors import AccessDenied
from producers.settings import Settings
from tests.benchmarks.relay.application import sagas
from tests.benchmarks.relay.steps import Effects
from tests.unit.consumers.runtime.wire import until


def test_only_the_tracker_waits_until_everybody_can_read_what_it_tells_of(tmp_path: Path) -> None:
    (kind,) = sagas()
    found = roles(kind, Settings(home=tmp_path), Host("life", time.time), {}, ItemFigures(CollectorRegistry()))
    assert [role.name for role in found if not role.told_early] == ["relay.tracker"]
    assert len(found) == 5


class Group:
    """A group of which a test says whether its lanes are open, and whether they have read their backlog."""

    poll_error = None

    def __init__(self) -> None:
        self.open = self.ready = False
        self.lanes: dict[int, object] = {}
        self.asked = 0

    def is_open(self) -> bool:
        self.asked += 1
        return self.open

    def is_ready(self) -> bool:
        self.asked += 1
        return self.ready


async def test_a_worker_waits_for_a_backlog_as_long_as_it_takes_and_for_a_lane_to_open_only_so_long(
    tmp_path: Path,
) -> None:
    worker, group = Worker(Settings(home=tmp_path), sagas()), Group()
    worker.groups = [cast("ParticipantGroup", group)]
    assert not await worker.is_ready(0.05)
    group.open = True
    waiting = asyncio.create_task(worker.is_ready(0.05))
    await until(lambda: group.asked > 20)
    assert not waiting.done()
    group.ready = True
    assert await waiting


async def test_what_blocks_the_event_loop_is_counted_by_the_workers_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("consumers.runtime.promptly.monotonic", lambda: now)

    async def blocks(**arguments: object) -> None:
        nonlocal now
        now += 3

    (kind,) = sagas()
    registry = CollectorRegistry()
    found = roles(kind, Settings(home=tmp_path), Host("life", time.time), {}, ItemFigures(registry))
    opening = next(step for step in kind.graph.steps.values() if step.opens)
    (role,) = (role for role in found if role.name == opening.participant)
    command = Fact(opening.legs[0][0], "m", "", b'{"saga_id": "r-1"}', 0.0)
    item = Item(f"{opening.name}/m", opening.name, command, command=True)
    await role.run_item(Work(Journal("r-1"), item, replace(opening, function=blocks)))
    labels = {"participant": opening.participant, "step": opening.name}
    assert registry.get_sample_value("soma_step_blocked_seconds_total", labels) == 3


async def test_a_worker_watches_its_loop_for_as_long_as_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_topics(*_: object) -> None:
        return

    monkeypatch.setattr("consumers.worker.require", no_topics)
    monkeypatch.setattr("consumers.worker.apply", no_topics)
    worker = Worker(Settings(home=tmp_path), sagas())
    before = asyncio.all_tasks()
    async with worker._lifespan():
        await asyncio.sleep(0)
        assert "loop watch" in {task.get_name() for task in asyncio.all_tasks() - before}
        names = {metric.name for metric in worker.registry.collect()}
        assert "soma_worker_loop_blocked_seconds" in names
    assert not asyncio.all_tasks() - before


@dataclass
class Member:
    """A group's member that counts how often it joined again."""

    role: Role
    joined: list[str] = field(default_factory=list)

    def join_again(self) -> None:
        self.joined.append(self.role.name)


def made_roles(home: Path) -> list[Role]:
    (kind,) = sagas()
    return roles(kind, Settings(home=home), Host("life", time.time), {}, ItemFigures(CollectorRegistry()))


def test_only_the_groups_with_a_partition_that_nothing_reads_join_again(tmp_path: Path) -> None:
    members = [Member(role) for role in made_roles(tmp_path)]
    unread = {members[1].role.name: (TopicPartition("relay.events", 4),), members[2].role.name: ()}
    join_unread(unread, cast("list[ParticipantGroup]", members))
    assert [member.joined for member in members] == [[], [members[1].role.name], [], [], []]


def test_what_a_participant_must_read_is_what_its_member_subscribes_to(tmp_path: Path) -> None:
    (kind,) = sagas()
    assert kind.inputs() == {role.name: list(role.inputs) for role in made_roles(tmp_path)}


def test_a_workers_lanes_know_the_breakers_of_its_ports(tmp_path: Path) -> None:
    (kind,) = sagas()
    worker = Worker(Settings(home=tmp_path), (kind,))
    research = kind.graph.steps["research"]
    assert worker.host.room is worker.bulkheads
    assert worker.bulkheads.has_room(research)
    worker.breakers[Effects].is_open = True
    assert worker.bulkheads.down(research) is not None


def drift(setting: str, is_dangerous: bool, topic: str = "relay.events") -> Drift:
    return Drift(topic, setting, "found", "wanted", "the danger", is_dangerous, value="wanted")


def differing(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [vars(record) for record in caplog.records if record.msg == "worker.topic.differs"]


async def test_a_worker_starts_on_what_is_not_dangerous_and_on_what_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = [drift("segment.ms", False), drift("cleanup.policy", True, "other.events")]

    async def planned(*_: object) -> Plan:
        return Plan((), tuple(found))

    monkeypatch.setattr("consumers.worker.plan", planned)
    worker = Worker(Settings(home=tmp_path), sagas())
    await worker._look_at_topics()
    await worker._look_at_topics()
    (line,) = differing(caplog)
    assert (line["topic"], line["setting"], line["danger"]) == ("relay.events", "segment.ms", "the danger")
    found.append(drift("cleanup.policy", True))
    with pytest.raises(TopicsDiffer) as refused:
        await worker._look_at_topics()
    told = "relay.events: cleanup.policy is found, not wanted: DANGER: the danger; `soma topics apply` sets it"
    assert str(refused.value) == told


async def test_a_change_under_a_running_worker_is_told_once_and_stands_in_a_metric_until_it_is_mended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = 0
    answers: list[list[Drift]] = [[drift("segment.ms", False)], [drift("cleanup.policy", True)]]

    async def look() -> list[Drift]:
        nonlocal looks
        looks += 1
        if looks in (2, 3):
            raise ConnectionError("no broker answers")
        return answers[0] if looks < 5 else answers[1] if looks < 7 else []

    monkeypatch.setattr("consumers.topic_watch.LOOK_EVERY_SECONDS", 0.0)
    watch = TopicWatch(look)
    watching = asyncio.create_task(watch.watch())
    metrics: set[tuple[str, str]] = set()
    caplog.set_level("INFO", "consumers.topic_watch")
    while looks < 9:
        (gauge,) = watch.collect()
        metrics |= {(sample.labels["setting"], sample.labels["dangerous"]) for sample in gauge.samples}
        await asyncio.sleep(0)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert [(line["setting"], line["levelname"]) for line in differing(caplog)] == [
        ("segment.ms", "WARNING"),
        ("cleanup.policy", "ERROR"),
    ]
    unknown = [record for record in caplog.records if record.msg == "worker.topics.unknown"]
    assert len(unknown) == 1, "the same cause is told once"
    assert metrics == {("segment.ms", "false"), ("cleanup.policy", "true")}
    assert not next(iter(watch.collect())).samples


async def test_a_worker_that_may_not_look_at_topics_says_so_and_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def denied(*_: object) -> Plan:
        raise AccessDenied("Kafka at k:1", "denies User:me DESCRIBE_CONFIGS on topic relay.events", "allow it")

    monkeypatch.setattr("consumers.worker.plan", denied)
    await Worker(Settings(home=tmp_path), sagas())._look_at_topics()
    (line,) = [record for record in caplog.records if record.msg == "worker.topics.unknown"]
    assert "DESCRIBE_CONFIGS" in line.__dict__["cause"]


@dataclass
class Polls:
    """What has polled so many seconds ago."""

    seconds: float

    def is_polling(self, within_seconds: float) -> bool:
        return self.seconds < within_seconds


@pytest.mark.parametrize(
    ("groups", "readers", "is_polling"), [((1, 2), (3,), True), ((1, 31), (3,), False), ((1, 2), (31,), False)]
)
async def test_a_worker_polls_as_long_as_each_of_its_groups_and_readers_does(
    groups: tuple[float, ...], readers: tuple[float, ...], is_polling: bool, tmp_path: Path
) -> None:
    worker = Worker(Settings(home=tmp_path), sagas())
    worker.groups = [cast("ParticipantGroup", Polls(seconds)) for seconds in groups]
    worker._readers = [cast("Reader", Polls(seconds)) for seconds in readers]
    assert worker.is_polling() is is_polling
