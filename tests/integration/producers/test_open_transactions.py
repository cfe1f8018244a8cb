"""Another client's open transaction on a real broker: it is named everywhere, and ended by one command."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from consumers.tracker.holding import HeldPartitions
from deploy.cli.topics import topics_abort
from deploy.local.checks import check_transactions
from deploy.local.kafka import EmbeddedKafka
from producers import open_transactions
from producers.groups import standing_of
from producers.open_transactions import look_for_open_transactions
from producers.settings import Settings

COMMANDS, EVENTS = "order.commands", "order.events"
TIMEOUT_SECONDS = 600


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        for created in admin.create_topics([NewTopic(COMMANDS, 2, 1), NewTopic(EVENTS, 2, 1)]).values():
            created.result(20)
        yield broker.bootstrap_servers


@pytest.fixture
def settings(kafka: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(open_transactions, "LONG_SECONDS", 0.0)
    return Settings(kafka_bootstrap_servers=kafka)


@pytest.fixture
def other(kafka: str) -> Iterator[Producer]:
    """Another client that has begun a transaction and written one record to the commands, partition 1."""
    producer = Producer(
        {
            "bootstrap.servers": kafka,
            "transactional.id": "other.client",
            "transaction.timeout.ms": TIMEOUT_SECONDS * 1_000,
            "log_level": 0,
        }
    )
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(COMMANDS, b"{}", b"saga", 1)
    assert producer.flush(20) == 0
    yield producer
    # It may be fenced by now.
    with contextlib.suppress(KafkaException):
        producer.abort_transaction(20)


async def is_read(kafka: str) -> bool:
    """Whether a reader of committed records gets to the end of the partition."""
    place = TopicPartition(COMMANDS, 1)
    ends = []
    for level in ("read_committed", "read_uncommitted"):
        async with AIOKafkaConsumer(bootstrap_servers=kafka, isolation_level=level) as consumer:
            ends.append((await consumer.end_offsets([place]))[place])
    return bool(ends[0] == ends[1])


async def test_an_open_transaction_is_named_with_its_owner_its_place_and_its_times(
    settings: Settings, other: Producer
) -> None:
    (found,) = await look_for_open_transactions(settings)
    assert (found.transactional_id, found.topic, found.partition) == ("other.client", COMMANDS, 1)
    assert found.until is not None
    assert round(found.until - found.since) == TIMEOUT_SECONDS and abs(time.time() - found.since) < 60
    assert "other.client" in found.words and f"{COMMANDS} 1" in found.words
    assert await look_for_open_transactions(settings, {EVENTS}) == []
    assert await look_for_open_transactions(settings, {COMMANDS}, 0) == []
    assert await look_for_open_transactions(settings, {COMMANDS}, 1, long_seconds=300) == []


async def test_a_stalled_saga_tells_of_the_transaction_on_its_commands(settings: Settings, other: Producer) -> None:
    standing = await standing_of(settings, "order.door", EVENTS, 1)
    assert "other.client" in standing.held_by and "soma topics abort other.client" in standing.held_by
    assert (await standing_of(settings, "order.door", EVENTS, 0)).held_by == ""


async def test_the_metric_counts_while_the_partition_is_held(settings: Settings, other: Producer) -> None:
    held = HeldPartitions(lambda: look_for_open_transactions(settings), lambda: time.time() + 100)
    await held.look()
    (gauge,) = held.collect()
    assert [sample.labels for sample in gauge.samples] == [{"topic": COMMANDS, "partition": "1"}]
    assert gauge.samples[0].value >= 100
    other.abort_transaction(20)
    # The broker answers an abort before its marker stands in the partition.
    async with asyncio.timeout(20):
        while next(iter(held.collect())).samples:
            await held.look()


def test_doctor_names_it_and_the_command_that_it_prints_ends_it(
    settings: Settings, other: Producer, capsys: pytest.CaptureFixture[str]
) -> None:
    check = check_transactions(settings)
    assert not check.ok and "other.client" in check.detail
    assert check.remedy is not None and "`soma topics abort other.client`" in check.remedy
    assert not asyncio.run(is_read(settings.bootstrap_servers))
    assert topics_abort(settings, "other.client", as_json=True) == 0
    assert asyncio.run(is_read(settings.bootstrap_servers))
    with pytest.raises(KafkaException):
        other.commit_transaction(20)
    assert check_transactions(settings).ok
    assert topics_abort(settings, "other.client", as_json=False) == 2
    assert topics_abort(settings, "no.such.client", as_json=False) == 2
    assert "no.such.client has no open transaction" in capsys.readouterr().err
