"""A participant on FastStream's broker: FastStream keeps its life, and no record goes through it."""

import asyncio
from typing import cast

import pytest
from faststream import FastStream
from faststream.kafka import KafkaBroker

from consumers.runtime.participant import ParticipantGroup, Role
from consumers.runtime.subscriber import ParticipantSubscriber, register
from schemas.topics import SagaTopics


class Group:
    """A participant's group without Kafka; joins when it is told to."""

    def __init__(self, name: str, is_door: bool = False, error: Exception | None = None) -> None:
        self.role = Role(name, SagaTopics.of("tale"), is_door, lambda *_: None, lambda _: None)  # type: ignore[arg-type, return-value]
        self.may_join, self.joining, self.error = asyncio.Event(), asyncio.Event(), error
        self.stops = 0

    async def start(self) -> None:
        self.joining.set()
        await self.may_join.wait()
        if self.error is not None:
            raise self.error

    async def stop(self) -> None:
        self.stops += 1


def broker_with(*groups: Group) -> tuple[KafkaBroker, list[ParticipantSubscriber]]:
    broker = KafkaBroker("127.0.0.1:1", consumer_only=True, apply_types=False, logger=None)
    return broker, [register(broker, cast("ParticipantGroup", group)) for group in groups]


async def test_all_groups_join_at_the_same_time() -> None:
    groups = [Group("tale.door", is_door=True), Group("tale.teller"), Group("tale.hearer")]
    broker, subscribers = broker_with(*groups)
    app = FastStream(broker, logger=None)
    await app.start()
    async with asyncio.timeout(5):
        await asyncio.gather(*(group.joining.wait() for group in groups))
        for group in groups:
            group.may_join.set()
        await asyncio.gather(*(subscriber.joined() for subscriber in subscribers))
    await app.stop()
    assert [group.stops for group in groups] == [1, 1, 1]


async def test_what_the_cluster_answers_is_raised_to_who_waits_for_the_group() -> None:
    broker, (subscriber,) = broker_with(group := Group("tale.door", error=ConnectionError("nobody there")))
    await broker.start()
    group.may_join.set()
    with pytest.raises(ConnectionError, match="nobody there"):
        await subscriber.joined()
    await broker.stop()
    assert group.stops == 1


async def test_a_group_that_is_still_joining_can_be_stopped_and_twice() -> None:
    broker, (subscriber,) = broker_with(group := Group("tale.door"))
    await broker.start()
    await group.joining.wait()
    await subscriber.stop()
    await broker.stop()
    assert group.stops == 1
    assert not subscriber.running


async def test_a_broker_that_was_never_started_stops_nothing() -> None:
    broker, _ = broker_with(group := Group("tale.door"))
    await broker.stop()
    assert group.stops == 0


async def test_documents_see_the_group_and_the_topics_it_hears() -> None:
    broker, _ = broker_with(Group("tale.door", is_door=True), Group("tale.teller"))
    document = FastStream(broker, logger=None).schema.to_specification().to_jsonable()
    heard = sorted(channel["address"] for channel in document["channels"].values())
    assert heard == ["tale.commands", "tale.events", "tale.events"]
    assert {subscriber.group_id for subscriber in broker.subscribers} == {"tale.door", "tale.teller"}  # type: ignore[attr-defined]
