"""The transactional producer on the real broker, by both versions of the protocol."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.errors import NotLeaderForPartitionError, ProducerFenced, UnknownTopicOrPartitionError
from aiokafka.protocol.transaction import EndTxnRequest

from deploy.local.kafka import EmbeddedKafka
from producers import transactions
from producers.errors import RecordRefused
from producers.records import Outgoing
from producers.transaction_protocol import BumpingEndTxnRequest
from producers.transactions import BATCH_BYTES_MAX, TransactionalProducer

EVENTS, STATE, STAMPED = "said.events", "said.state", "said.stamped"
Make = Callable[[], Awaitable[TransactionalProducer]]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.bootstrap_servers


@pytest.fixture(params=[1, 2])
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Which version the producer is told the brokers have; this one serves clients of either."""
    if request.param == 1:

        async def never(*_: object) -> bool:
            return False

        monkeypatch.setattr(transactions, "has_transactions_version_2", never)
    return int(request.param)


@pytest.fixture
async def make(kafka: str, version: int) -> AsyncIterator[Make]:
    """Makes producers of one id, each fencing the one before; the topics are new."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    there = await admin.list_topics()
    sizes = {"max.message.bytes": str(4 * BATCH_BYTES_MAX)}
    wanted = [NewTopic(topic, 2, 1, topic_configs=sizes) for topic in (EVENTS, STATE) if topic not in there]
    await admin.create_topics(wanted)
    every = [TopicPartition(topic, index) for topic in (EVENTS, STATE) for index in (0, 1)]
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(NotLeaderForPartitionError, UnknownTopicOrPartitionError):
                await admin.delete_records({partition: RecordsToDelete(-1) for partition in every})
                break
            await asyncio.sleep(0.02)
    await admin.close()
    made: list[TransactionalProducer] = []

    async def producer() -> TransactionalProducer:
        made.append(TransactionalProducer({"bootstrap_servers": kafka}, f"said.{version}"))
        await made[-1].start()
        return made[-1]

    yield producer
    for one in made:
        await one.close()


def event(text: bytes, partition: int = 0) -> Outgoing:
    return Outgoing(EVENTS, partition, b"saga", text, (("ce_type", b"said"),))


async def committed(kafka: str, topic: str = EVENTS, partition: int = 0) -> list[bytes]:
    """What a reader of committed records finds."""
    where, found = TopicPartition(topic, partition), []
    async with AIOKafkaConsumer(bootstrap_servers=kafka, isolation_level="read_committed") as consumer:
        consumer.assign([where])
        await consumer.seek_to_beginning(where)
        end = (await consumer.end_offsets([where]))[where]
        async with asyncio.timeout(20):
            while await consumer.position(where) < end:
                batches = await consumer.getmany(timeout_ms=100)
                found += [record.value or b"" for record in batches.get(where, ())]
    return found


async def settled(kafka: str, count: int) -> list[bytes]:
    """The committed events, once so many are there: a transaction is marked a moment after it is decided."""
    async with asyncio.timeout(20):
        while len(found := await committed(kafka)) < count:
            await asyncio.sleep(0.02)
    return found


async def test_what_is_written_is_there_once_in_order_and_in_every_partition(kafka: str, make: Make) -> None:
    producer = await make()
    numbers = [b"%d" % number for number in range(100)]
    for number in numbers:
        await producer.write([event(number), event(b"other", 1), Outgoing(STATE, 1, b"position", number)])
    assert await settled(kafka, 100) == numbers
    assert len(await committed(kafka, EVENTS, 1)) == 100
    assert (await committed(kafka, STATE, 1))[-1] == b"99"


async def test_where_a_transaction_stands_is_known_as_soon_as_it_is_committed(kafka: str, make: Make) -> None:
    """Topics whose times are the broker's, as those of events: there the places are what a reader finds."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    if STAMPED not in await admin.list_topics():
        configs = {"message.timestamp.type": "LogAppendTime"}
        await admin.create_topics([NewTopic(STAMPED, 1, 1, topic_configs=configs)])
    await admin.close()
    producer, where, placed = await make(), TopicPartition(STAMPED, 0), []
    for number in range(20):
        texts = [b"%d.%d" % (number, index) for index in range(number % 3 + 1)]
        said = [Outgoing(STAMPED, 0, b"saga", text) for text in texts]
        places = await producer.write([*said, event(b"by the client's time")], commit=number % 4 > 0)
        assert set(places) == {(STAMPED, 0)}
        if number % 4:
            place = places[STAMPED, 0]
            placed += [(place.offset + index, place.at_ms, text) for index, text in enumerate(texts)]
    large = [Outgoing(STAMPED, 0, b"saga", b"x" * (BATCH_BYTES_MAX - 1_000)) for _ in range(2)]
    assert await producer.write(large) == {}
    found: list[tuple[int, int, bytes | None]] = []
    async with AIOKafkaConsumer(bootstrap_servers=kafka, isolation_level="read_committed") as consumer:
        consumer.assign([where])
        consumer.seek(where, placed[0][0])
        async with asyncio.timeout(20):
            while len(found) < len(placed):
                batches = await consumer.getmany(timeout_ms=100)
                found += [(one.offset, one.timestamp, one.value) for one in batches.get(where, ())]
    assert found[: len(placed)] == placed


async def test_an_aborted_transaction_is_not_there_and_the_next_one_is(kafka: str, make: Make) -> None:
    producer = await make()
    await producer.write([event(b"never")], commit=False)
    await producer.write([event(b"said")])
    assert await settled(kafka, 1) == [b"said"]


async def test_more_than_a_batch_and_larger_than_a_batch_go_into_one_transaction(kafka: str, make: Make) -> None:
    producer = await make()
    texts = [b"%d" % number * 3_000 for number in range(100, 700)] + [b"x" * (BATCH_BYTES_MAX + 1), b"last"]
    await producer.write([event(text) for text in texts])
    assert await settled(kafka, len(texts)) == texts


async def test_a_record_that_the_topic_does_not_take_leaves_nothing_of_its_transaction(kafka: str, make: Make) -> None:
    producer = await make()
    with pytest.raises(RecordRefused, match="MESSAGE_TOO_LARGE") as refused:
        await producer.write([event(b"small", 1), event(b"x" * 5 * BATCH_BYTES_MAX)])
    assert (refused.value.topic, refused.value.partition) == (EVENTS, 0)
    await (await make()).write([event(b"said", 1)])
    async with asyncio.timeout(20):
        while not (found := await committed(kafka, EVENTS, 1)):
            await asyncio.sleep(0.02)
    assert found == [b"said"]


async def test_the_owner_before_is_fenced_and_what_it_left_open_is_settled(
    kafka: str, make: Make, version: int
) -> None:
    former = await make()
    await former.write([event(b"former")])
    # It freezes in the middle of a transaction.
    if version == 1:
        await former._add_partitions({(EVENTS, 0): []})
    await former._produce({(EVENTS, 0): former._batches([event(b"half")])[EVENTS, 0][0]})
    later = await make()
    await later.write([event(b"later")])
    with pytest.raises(ProducerFenced):
        await former._end(commit=True)
    with pytest.raises(ProducerFenced):
        await former.write([event(b"never")])
    assert await settled(kafka, 2) == [b"former", b"later"]


async def test_a_topic_that_is_not_there_is_an_error_that_names_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "COMMIT_SECONDS_MAX", 1.0)
    producer = await make()
    with pytest.raises(TimeoutError, match="nowhere 0"):
        await producer.write([Outgoing("nowhere", 0, b"k", b"v")])


async def test_a_batch_that_is_sent_twice_is_there_once(kafka: str, make: Make, version: int) -> None:
    """What a retry does whose first attempt had arrived."""
    producer = await make()
    for text in (b"first", b"second"):
        batches = {partition: waiting[0] for partition, waiting in producer._batches([event(text)]).items()}
        await producer._know({EVENTS})
        if version == 1:
            await producer._add_partitions({partition: [] for partition in batches})
        await producer._produce(dict(batches))
        await producer._produce(dict(batches))
        await producer._end(commit=True)
    assert await settled(kafka, 2) == [b"first", b"second"]


async def test_an_end_that_is_sent_twice_ends_its_transaction_and_no_later_one(
    kafka: str, make: Make, version: int
) -> None:
    """Why an end without an answer is repeated with version 2 and not with version 1."""
    producer = await make()
    await producer.write([event(b"first")])
    producer_id, former_epoch = producer._producer_id, producer._epoch - (version == 2)
    repeat: Any = BumpingEndTxnRequest if version == 2 else EndTxnRequest
    request = repeat(producer.transactional_id, producer_id, former_epoch, True)
    again = await producer._coordinate(request, transactions._only_code)
    assert version == 1 or (again.producer_id, again.producer_epoch) == (producer_id, producer._epoch)
    # The next transaction has begun when the late request arrives.
    batches = {partition: waiting[0] for partition, waiting in producer._batches([event(b"half")]).items()}
    if version == 1:
        await producer._add_partitions({partition: [] for partition in batches})
    await producer._produce(batches)
    if version == 1:
        await producer._coordinate(request, transactions._only_code)
        assert await settled(kafka, 2) == [b"first", b"half"], "it ends the transaction that is under way"
    else:
        with pytest.raises(ProducerFenced):
            await producer._coordinate(request, transactions._only_code)
        await producer._end(commit=False)
        await producer.write([event(b"second")])
        assert await settled(kafka, 2) == [b"first", b"second"]


async def test_the_version_is_what_the_cluster_has_agreed_on(make: Make, version: int) -> None:
    assert (await make())._is_version_2 == (version == 2)
