"""What an operator does to the topics of running lanes: one lane stays closed and says why, until it is reset."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from consumers import topics
from consumers.app import sagas
from consumers.resets import lane_reset
from consumers.runtime import lane as lanes
from consumers.runtime import participant as participants
from consumers.runtime.lane import Lane
from consumers.runtime.resetting import BeginFrom
from consumers.topics import wanted_topics
from consumers.worker import Worker
from deploy.cli.coverage import check_positions
from deploy.cli.resetting import topics_reset
from deploy.local.kafka import EmbeddedKafka
from producers.client import Client
from producers.groups import standing_of
from producers.records import partition_of
from producers.settings import Settings

# Each group needs many seconds to join again after its topics were made again; unit tests hold the same rules.
pytestmark = pytest.mark.long

ANALYTICS, EVENTS = "campaign.analytics", "campaign.events"
DOOR, COMMANDS = "campaign.review", "campaign.commands"
BRIEF: dict[str, Any] = {
    "name": "n",
    "goal": "g",
    "audience": {"description": "d", "recipients": []},
    "channels": ["blog"],
    "review": "required",
}
COMMAND = f"soma topics apply --reset {ANALYTICS} --partition 1 --from beginning|now"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def settings(kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(participants, "LOOK_AT_LOGS_EVERY_SECONDS", 0.1)
    monkeypatch.setattr(participants, "OFFSETS_SHOWN_EVERY_SECONDS", 0.1)
    monkeypatch.setattr(lanes, "FIRST_LOOK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(lanes, "LOOK_AGAIN_SECONDS_MAX", 0.1)
    monkeypatch.setattr(participants, "METADATA_AGE_MS", 300)
    found = Settings(home=tmp_path, kafka_bootstrap_servers=kafka, partitions=2)
    delete(kafka, [topic.name for topic in wanted_topics(sagas(), found)])
    return found


def delete(kafka: str, names: list[str]) -> None:
    """Delete these topics, as far as they are there; returns when they are gone."""
    admin = AdminClient({"bootstrap.servers": kafka})
    there = [name for name in names if name in admin.list_topics(timeout=20).topics]
    for deleted in admin.delete_topics(there).values() if there else ():
        deleted.result(20)
    while any(name in admin.list_topics(timeout=20).topics for name in there):
        time.sleep(0.02)


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    carried = Worker(settings, sagas(), [ANALYTICS], member="w")
    await carried.start()
    # The group may still learn that its topics were made again.
    await until(
        lambda: set(lanes_of(carried)) == {0, 1} and all(one.is_ready for one in lanes_of(carried).values()), 60
    )
    yield carried
    await carried.stop()


def lanes_of(worker: Worker) -> dict[int, Lane]:
    return worker.groups[0].lanes


def has_read(worker: Worker, partition: int, end: int) -> bool:
    """Whether the lane, as the group has it now, is ready and has committed that it has read so far."""
    lane = lanes_of(worker).get(partition)
    return lane is not None and lane.is_ready and lane.committed_offsets().get(EVENTS) == end


async def until(condition: Callable[[], object], seconds: float = 40.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def says(kafka: str, partition: int, count: int) -> int:
    """Publish events of a saga that no participant knows; returns where the partition ends then.

    In a thread: where the worker's loop stands still for longer than a session, the group gives its partitions away.
    """
    return await asyncio.to_thread(_says, kafka, partition, count)


def _says(kafka: str, partition: int, count: int) -> int:
    producer = Producer({"bootstrap.servers": kafka})
    for number in range(count):
        headers: dict[str, str | bytes | None] = {"ce_type": b"campaign.email.sent", "ce_id": f"{number}".encode()}
        producer.produce(EVENTS, b'{"saga_id": "nobody"}', b"nobody", partition, headers=headers)
    assert producer.flush(20) == 0
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "looks"})
    end = consumer.get_watermark_offsets(TopicPartition(EVENTS, partition))[1]
    consumer.close()
    return int(end)


def delete_records(kafka: str, partition: int, before: int) -> None:
    """Delete the events of the partition that stand before this offset."""
    # Without a name it would be gone before the answer comes.
    admin = AdminClient({"bootstrap.servers": kafka})
    deleted = admin.delete_records([TopicPartition(EVENTS, partition, before)])
    assert all(one.result(20) for one in deleted.values())


def add_partitions(kafka: str) -> None:
    """Make four partitions of the two of commands and events."""
    admin = AdminClient({"bootstrap.servers": kafka})
    for added in admin.create_partitions([NewPartitions(COMMANDS, 4), NewPartitions(EVENTS, 4)]).values():
        added.result(20)


def publish(kafka: str, partition: int, saga_id: str) -> None:
    """Publish a start command as another client's partitioner might place it."""
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(
        COMMANDS, json.dumps(BRIEF).encode(), saga_id.encode(), partition, headers={"ce_type": b"campaign.start"}
    )
    assert producer.flush(20) == 0


def make_again(settings: Settings, partitions: int) -> None:
    """Delete the events topic, and make another one of its name."""
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    (wanted,) = (one for one in wanted_topics(sagas(), settings) if one.name == EVENTS)
    delete(settings.bootstrap_servers, [EVENTS])
    while admin.create_topics([NewTopic(EVENTS, partitions, 1, config=wanted.configuration)])[EVENTS].exception(20):
        pass


def reset(
    settings: Settings, begin_from: BeginFrom, capsys: pytest.CaptureFixture[str], partition: int = 1
) -> dict[str, Any]:
    """Reset a partition by the verb; returns what it said of the events."""
    capsys.readouterr()
    assert topics_reset(settings, ANALYTICS, partition, begin_from, yes=True, as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["reset"] is True
    return dict(said["inputs"][0])


async def test_records_that_are_deleted_before_a_lane_has_read_them_close_that_lane_only(
    kafka: str, settings: Settings, worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    lane, other = lanes_of(worker)[1], lanes_of(worker)[0]
    lane.transport.pause([EVENTS])
    before = lane.read_up_to()[EVENTS]
    end = await says(kafka, 1, 5)
    await asyncio.to_thread(delete_records, kafka, 1, end - 1)
    lane.transport.resume([EVENTS])

    await until(lambda: lane.logs.position_lost)
    assert f"has position {before} in {EVENTS}, which begins at {end - 1}" in lane.logs.position_lost
    assert COMMAND in lane.logs.position_lost
    # The worker, its other lane, and what is asked of it go on.
    assert other.is_live and await worker.is_ready(5)
    end_of_other = await says(kafka, 0, 3)
    await until(lambda: other.committed_offsets()[EVENTS] == end_of_other)
    check = await asyncio.to_thread(check_positions, settings, sagas())
    while check.ok:
        await asyncio.sleep(0.05)
        check = await asyncio.to_thread(check_positions, settings, sagas())
    assert f"{ANALYTICS}.1 has position {before}" in check.detail and COMMAND in (check.remedy or "")
    standing = await standing_of(settings, ANALYTICS, EVENTS, 1)
    assert f"{ANALYTICS}.1 has position {before}" in standing.lost

    one = await asyncio.to_thread(reset, settings, "beginning", capsys)
    assert (one["deleted"], one["skipped"], one["begins_at"]) == (end - 1 - before, 0, end - 1)
    await until(lambda: has_read(worker, 1, end))
    while (await standing_of(settings, ANALYTICS, EVENTS, 1)).lost:
        await asyncio.sleep(0.05)


async def test_a_reset_moves_a_lane_that_runs_and_is_idle(
    kafka: str, settings: Settings, worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    lane = lanes_of(worker)[1]
    lane.transport.pause([EVENTS])
    end = await says(kafka, 1, 4)
    one = await asyncio.to_thread(reset, settings, "now", capsys)
    assert (one["skipped"], one["begins_at"]) == (4, end)
    await until(lambda: has_read(worker, 1, end))


async def test_a_topic_that_is_made_again_closes_its_lanes_until_they_are_reset(
    kafka: str, settings: Settings, worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    for partition in range(2):
        await says(kafka, partition, 2)
    await asyncio.to_thread(make_again, settings, 2)
    # The new log is longer than the position: only the topic's id tells.
    ends = {partition: await says(kafka, partition, 40) for partition in range(2)}

    def lost() -> list[str]:
        return [lane.logs.position_lost for lane in lanes_of(worker).values()]

    await until(lambda: len(lost()) == 2 and all("made again" in cause for cause in lost()))
    assert await worker.is_ready(5)
    await asyncio.to_thread(reset, settings, "beginning", capsys)
    await until(lambda: has_read(worker, 1, ends[1]))
    await until(lambda: len(lost()) == 2 and any(lost()))
    await asyncio.to_thread(reset, settings, "now", capsys, 0)
    await until(lambda: has_read(worker, 0, ends[0]))


async def test_two_first_starts_at_once_overwrite_no_position(
    kafka: str, settings: Settings, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = await says(kafka, 0, 2)
    await until(lambda: has_read(worker, 0, end))
    looks = topics._ends

    async def before_the_first_start(*arguments: Any) -> dict[TopicPartition, int]:
        # As another worker found it, which writes what follows from it only now.
        return dict.fromkeys(await looks(*arguments), 0)

    monkeypatch.setattr(topics, "_ends", before_the_first_start)
    (kind,) = sagas()
    await topics._give_positions(settings, kind, None)
    async with lane_reset(settings, kind, ANALYTICS, 0) as written:
        assert (await written.plan("beginning")).inputs[0].position == end


async def test_a_partition_that_its_topic_no_longer_has_is_given_back(settings: Settings, worker: Worker) -> None:
    assert set(lanes_of(worker)) == {0, 1}
    await asyncio.to_thread(make_again, settings, 1)
    await until(lambda: set(lanes_of(worker)) == {0})


async def test_what_other_clients_put_into_partitions_that_were_added_is_forwarded_once(
    kafka: str, settings: Settings
) -> None:
    door = Worker(settings, sagas(), [DOOR], member="door")
    await door.start()
    try:
        assert await door.is_ready(60)
        await asyncio.to_thread(add_partitions, kafka)
        saga_id = next(f"s-{number}" for number in range(99) if partition_of(f"s-{number}".encode(), 2) == 0)
        await asyncio.to_thread(publish, kafka, 3, saga_id)
        await says(kafka, 2, 1)
        async with asyncio.timeout(40), Client(settings) as client:
            while not (facts := await client.facts("campaign", saga_id)):
                await asyncio.sleep(0.05)
            assert [kind for kind, _ in facts] == ["campaign.opened"]
            while not [one async for one in client.records(EVENTS, "nobody")]:
                await asyncio.sleep(0.05)
            (event,) = [one async for one in client.records(EVENTS, "nobody") if one.key == b"nobody"]
            assert dict(event.headers)["ce_forwardedfrom"] == f"{EVENTS}/2".encode()
            # What this program publishes stands in the saga's own lane.
            second = await client.publish("campaign", "campaign.start", saga_id, BRIEF)
            assert second.partition == 0
            assert (await client.answer_to(second)).type == "campaign.command.refused"
    finally:
        await door.stop()
    again = Worker(settings, sagas(), [DOOR], member="door")
    await again.start()
    try:
        assert await again.is_ready(60)
        async with Client(settings) as client:
            types = [kind for kind, _ in await client.facts("campaign", saga_id)]
            assert types.count("campaign.opened") == 1 and types.count("campaign.command.refused") == 1
    finally:
        await again.stop()
