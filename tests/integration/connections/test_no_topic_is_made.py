"""Reading creates no topic, also on a broker that creates whatever is asked about."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import UnknownTopicOrPartitionError
from confluent_kafka.admin import AdminClient

from consumers.topics import TopicsDiffer, apply, plan
from producers.client import Client
from producers.cluster import connection
from producers.errors import TopicMissing
from producers.settings import Settings
from tests.benchmarks.relay.application import sagas
from tests.integration.connections.secured_kafka import SecuredKafka

Topics = Callable[[], set[str]]


@pytest.fixture
def settings(secured: SecuredKafka, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, kafka_bootstrap_servers=secured.address("open"))


@pytest.fixture
def topics(secured: SecuredKafka) -> Topics:
    admin = AdminClient({"bootstrap.servers": secured.address("open")})
    return lambda: set(admin.list_topics(timeout=10).topics)


async def test_no_reader_creates_what_it_asks_for(settings: Settings, topics: Topics) -> None:
    before = topics()
    async with Client(settings) as client:
        for look in (
            client.statuses("weather"),
            client.status_of("weather", "one"),
            client.facts("weather", "one"),
            client.record_at("weather.events", 0, 0),
            client.publish("weather", "weather.start", "one", {}),
        ):
            with pytest.raises(TopicMissing, match=r"has no topic weather\.\w+; `soma topics apply` creates it"):
                await look
    consumer = AIOKafkaConsumer(**connection(settings), request_timeout_ms=1_000)
    await consumer.start()
    try:
        with pytest.raises(UnknownTopicOrPartitionError):
            await consumer._client._wait_on_metadata("weather.dead")
    finally:
        await consumer.stop()
    assert topics() == before


async def test_a_topic_that_another_program_had_made_gives_its_count_to_none(
    settings: Settings, topics: Topics, secured: SecuredKafka
) -> None:
    assert len((await plan(settings, sagas())).missing) > 4
    admin = AdminClient({"bootstrap.servers": secured.address("open")})
    # librdkafka asks as most clients do; the broker makes the topic some time after its answer.
    async with asyncio.timeout(30):
        while "relay.status" not in topics():
            admin.list_topics("relay.status", timeout=10)
            await asyncio.sleep(0.1)
    found = await plan(settings, sagas())
    counted = [one for one in found.drift if one.setting == "partitions"]
    assert [(one.topic, one.found) for one in counted] == [("relay.status", "1")]
    before = topics()
    with pytest.raises(TopicsDiffer, match=r"not 4 \(SOMA_PARTITIONS\)"):
        await apply(settings, sagas())
    assert topics() == before
    settings = settings.model_copy(update={"partitions": 1})
    assert "partitions" not in {one.setting for one in (await plan(settings, sagas())).drift}
    await apply(settings, sagas())
    counts = {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=10).topics.items()}
    assert {count for name, count in counts.items() if name.startswith("relay.")} == {1}
