"""A small client for other programs: publish a command, hear its answer, follow the status of sagas."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import msgspec
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, TopicAuthorizationFailedError

from producers.answers import Answer, Published, answer_in, fact_in, record_from, status_in
from producers.bounded_consumer import BoundedConsumer
from producers.brokers import AdminClient
from producers.cluster import connection
from producers.diagnosis import kafka_failure, log_in
from producers.errors import ConnectionFailed, TimedOut, TopicMissing, Unreadable
from producers.headers import COMMAND_BYTES_MAX, body_of, headers_for, read, traceparent_of
from producers.records import Headers, Record, partition_of
from producers.settings import Settings
from schemas.status import SagaStatus
from schemas.topics import SagaTopics

REACHABLE_WITHIN_SECONDS = 8.0
SILENCE_SECONDS_MAX = 10.0
POLL_MILLISECONDS = 200
FIRST_PIECE_RECORDS, PIECE_GROWTH = 2_000, 4


class Client:
    """Speaks and listens as any other program may; belongs to no consumer group and leaves nothing behind.

    Use it as an async context manager. Everything raises `ConnectionFailed`, which says what is wrong and what to do,
    where Kafka cannot be used or lacks the topics, and `TimedOut` where it answers too late. Reading creates no topic.
    """

    def __init__(self, settings: Settings, source: str = "soma.client") -> None:
        self._settings, self.source = settings, source
        self._connection = connection(settings)
        self._producer: AIOKafkaProducer | None = None
        self._admin: AdminClient | None = None
        self._counts: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        # The admin client would only say that it could not bootstrap.
        await log_in(self._settings)
        self._admin = AdminClient(**self._connection)
        try:
            async with asyncio.timeout(REACHABLE_WITHIN_SECONDS):
                await self._admin.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self._admin.close()
            raise await self._failure(error) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._producer is not None:
            try:
                async with asyncio.timeout(3.0):
                    await self._producer.stop()
            except (KafkaError, OSError, TimeoutError):
                # What was acknowledged is there; what was not has been reported where it was sent.
                pass
        if self._admin is not None:
            await self._admin.close()

    async def publish(
        self, saga: str, wire_type: str, saga_id: str, body: Mapping[str, Any], message_id: str | None = None
    ) -> Published:
        """Say a command, once, and return where it stands.

        With the `message_id` of an earlier try the command counts once. Raises `Unreadable` for what no consumer would
        take: a key or an id that is too long, a body above 256 kB.
        """
        topics = SagaTopics.of(saga)
        key, identity, now = saga_id.encode(errors="replace"), message_id or str(uuid.uuid4()), time.time()
        value = msgspec.json.encode(body)
        headers = headers_for(
            wire_type=wire_type,
            message_id=identity,
            source=self.source,
            saga_id=saga_id,
            at=now,
            tenant=self._settings.tenant,
            traceparent=traceparent_of(saga_id, identity),
        )
        body_of(read(Record(topics.commands, 0, 0, now, key, value, headers), ""))
        if len(value) > COMMAND_BYTES_MAX:
            raise Unreadable(f"a command has at most {COMMAND_BYTES_MAX} bytes, this one {len(value)}")
        partition = partition_of(key, await self._lanes(topics.commands))
        starts = dict.fromkeys((topics.events, topics.dead), 0)
        if message_id is None:
            starts = await self._ends({TopicPartition(topic, partition) for topic in starts})
        offset = await self.append(topics.commands, partition, key, value, headers)
        return Published(saga, saga_id, identity, topics.commands, partition, offset, starts, self.source)

    async def answer_to(self, published: Published) -> Answer:
        """Wait until the command is answered; for ever, unless the caller sets a timeout."""
        starts = {TopicPartition(topic, published.partition): at for topic, at in published.answers_from.items()}
        async with self._reader(starts) as reader:
            async for record in _live(reader):
                answer = answer_in(record, published)
                if answer is not None:
                    return answer
        raise AssertionError("a live reader never ends")

    async def statuses(self, saga: str, saga_id: str | None = None) -> dict[str, SagaStatus]:
        """The newest status of every saga of this kind, or of one, by saga id; what changed last stands last."""
        async with self._reader(await self._partitions(SagaTopics.of(saga).status, saga_id)) as reader:
            return await self._newest(reader, saga_id)

    async def status_of(self, saga: str, saga_id: str, patience_seconds: float = 0.0) -> SagaStatus | None:
        """The newest status of this saga; None only after all that the topic held at the call was read without it.

        `patience_seconds` is how long to wait after that for a first status that is on its way.
        """
        async with self._reader(await self._partitions(SagaTopics.of(saga).status, saga_id)) as reader:
            found = (await self._newest(reader, saga_id)).get(saga_id)
            if found is not None:
                return found
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_seconds):
                    async for record in _live(reader):
                        if (found := status_in(record, saga_id)) is not None:
                            return found
        return None

    async def watch_status(self, saga: str, saga_id: str | None = None) -> AsyncGenerator[SagaStatus, None]:
        """The newest status of every saga of this kind, or of one, and then each change as it is said; never ends.

        Who leaves it early closes it (`contextlib.aclosing`), for it holds a connection.
        """
        async with self._reader(await self._partitions(SagaTopics.of(saga).status, saga_id)) as reader:
            for status in (await self._newest(reader, saga_id)).values():
                yield status
            async for record in _live(reader):
                changed = status_in(record, saga_id)
                if changed is not None:
                    yield changed

    async def facts(self, saga: str, saga_id: str, since: Published | None = None) -> list[tuple[str, dict[str, Any]]]:
        """Every event said about one saga so far, as (wire type, body).

        Reads the saga's partition from its beginning or, where nothing can have been said before, `since` a command.
        """
        found: list[tuple[str, dict[str, Any]]] = []
        topic = SagaTopics.of(saga).events
        starts = await self._partitions(topic, saga_id)
        if since is not None:
            starts = dict.fromkeys(starts, since.answers_from[topic])
        async with self._reader(starts) as reader:
            async for record in self._until_now(reader):
                fact = fact_in(record, saga_id)
                if fact is not None:
                    found.append((fact[0].type, fact[1]))
        return found

    async def records(self, topic: str, saga_id: str | None = None) -> AsyncIterator[Record]:
        """Every committed record of the topic up to now, or of the partition in which this saga's stand."""
        async with self._reader(await self._partitions(topic, saga_id)) as reader:
            async for record in self._until_now(reader):
                yield record

    async def partition_counts(self, topics: Iterable[str]) -> dict[str, int]:
        """How many partitions each of the topics has; those that the cluster does not have are left out."""
        found: dict[str, int] = {}
        for topic in topics:
            with contextlib.suppress(TopicMissing):
                found[topic] = await self._count(topic)
        return found

    async def records_in(self, topics: Iterable[str], partition: int) -> AsyncIterator[Record]:
        """Every committed record of this partition of the topics up to now; those of one topic in order."""
        async with self._reader({TopicPartition(topic, partition): 0 for topic in topics}) as reader:
            async for record in self._until_now(reader):
                yield record

    async def record_at(self, topic: str, partition: int, offset: int) -> Record | None:
        """The record at this place, or None where the topic no longer keeps it."""
        await self._count(topic)
        async with self._reader({TopicPartition(topic, partition): offset}) as reader:
            async for record in self._until_now(reader):
                return record if record.offset == offset else None
        return None

    @asynccontextmanager
    async def following(self, *topics: str) -> AsyncIterator[AsyncIterator[Record]]:
        """Every record that is committed to these topics from now on; it never ends by itself."""
        partitions = [partition for topic in topics for partition in await self._partitions(topic)]
        async with self._reader(dict.fromkeys(partitions, 0)) as reader:
            for partition, end in (await reader.end_offsets(partitions)).items():
                reader.seek(partition, end)
            yield _live(reader)

    async def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> int:
        """Write one record as it is given, and return its offset."""
        try:
            sent = await (await self._started()).send_and_wait(topic, value, key, partition, headers=list(headers))
        except (KafkaError, OSError) as error:
            raise await self._failure(error, f"WRITE on topic {topic}") from error
        return int(sent.offset)

    async def partition_for(self, topic: str, saga_id: str) -> int:
        """The partition of the topic in which this saga's records belong."""
        return partition_of(saga_id.encode(errors="replace"), await self._lanes(topic))

    async def _newest(self, reader: BoundedConsumer, saga_id: str | None) -> dict[str, SagaStatus]:
        ends = await reader.end_offsets(list(reader.assignment()))
        if saga_id is not None:
            return await self._latest(reader, saga_id, ends)
        found: dict[str, SagaStatus] = {}
        async for record in self._up_to(reader, ends):
            status = status_in(record, None)
            if status is not None:
                found[status.saga_id] = status
        return dict(sorted(found.items(), key=lambda one: one[1].updated_at))

    async def _latest(
        self, reader: BoundedConsumer, saga_id: str, ends: Mapping[TopicPartition, int]
    ) -> dict[str, SagaStatus]:
        """The newest status of one saga, looked for from the end of its partition: only what stands behind it is read.

        Returns nothing only after all of the partition was read. The reader stands at the end then.
        """
        found: dict[str, SagaStatus] = {}
        for partition, begin in (await reader.beginning_offsets(list(ends))).items():
            for start, end in pieces_backwards(begin, ends[partition]):
                reader.seek(partition, start)
                async for record in self._up_to(reader, {partition: end}):
                    if (status := status_in(record, saga_id)) is not None:
                        found[saga_id] = status
                if found:
                    break
            reader.seek(partition, ends[partition])
        return found

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            # An idempotent producer that gives up early cannot know whether its record is there.
            producer = AIOKafkaProducer(**self._connection, enable_idempotence=True, request_timeout_ms=120_000)
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _count(self, topic: str) -> int:
        if topic not in self._counts:
            assert self._admin is not None
            try:
                async with asyncio.timeout(SILENCE_SECONDS_MAX):
                    every = await self._admin.describe_topics(list({topic, *SagaTopics.of(topic.partition(".")[0])}))
            except (KafkaError, OSError, TimeoutError) as error:
                raise await self._failure(error) from error
            self._counts |= {one["topic"]: len(one["partitions"]) for one in every if one["partitions"]}
            described = next(one for one in every if one["topic"] == topic)
            if described["error_code"] == TopicAuthorizationFailedError.errno:
                denied = TopicAuthorizationFailedError(topic)
                raise await self._failure(denied, f"DESCRIBE on topic {topic}")
            if not described["partitions"]:
                where = f"Kafka at {self._settings.bootstrap_servers}"
                raise TopicMissing(where, f"has no topic {topic}", "`soma topics apply` creates it")
        return self._counts[topic]

    async def _lanes(self, topic: str) -> int:
        """In how many partitions sagas stand: a topic of theirs with more has added ones, which are only forwarded."""
        count = await self._count(topic)
        topics = SagaTopics.of(topic.partition(".")[0])
        return min([count, *(self._counts[one] for one in topics if one in self._counts)])

    async def _partitions(self, topic: str, saga_id: str | None = None) -> dict[TopicPartition, int]:
        count = await self._count(topic)
        chosen = range(count) if saga_id is None else (await self.partition_for(topic, saga_id),)
        return {TopicPartition(topic, partition): 0 for partition in chosen}

    async def _ends(self, partitions: set[TopicPartition]) -> dict[str, int]:
        for partition in partitions:
            await self._count(partition.topic)
        async with self._reader(dict.fromkeys(partitions, 0)) as reader:
            return {partition.topic: end for partition, end in (await reader.end_offsets(list(partitions))).items()}

    @asynccontextmanager
    async def _reader(self, starts: Mapping[TopicPartition, int]) -> AsyncIterator[BoundedConsumer]:
        """A reader of committed records, from these offsets on; what retention has removed is passed over."""
        needs = f"READ on topic {', '.join(sorted({partition.topic for partition in starts}))}"
        reader = BoundedConsumer(**self._connection, isolation_level="read_committed", enable_auto_commit=False)
        try:
            async with asyncio.timeout(REACHABLE_WITHIN_SECONDS):
                await reader.start()
                begins = await reader.beginning_offsets(list(starts))
                reader.assign_at({partition: max(begins[partition], start) for partition, start in starts.items()})
        except (KafkaError, OSError, TimeoutError) as error:
            await reader.stop()
            raise await self._failure(error, needs) from error
        try:
            yield reader
        except KafkaError as error:
            raise await self._failure(error, needs) from error
        finally:
            await reader.stop()

    async def _until_now(self, reader: BoundedConsumer) -> AsyncIterator[Record]:
        """Every record up to the end as it is at the beginning of the call."""
        async for record in self._up_to(reader, await reader.end_offsets(list(reader.assignment()))):
            yield record

    async def _up_to(self, reader: BoundedConsumer, ends: Mapping[TopicPartition, int]) -> AsyncIterator[Record]:
        """Every record up to these offsets, and perhaps some behind them."""
        heard_at = time.monotonic()
        while behind := [partition for partition, end in ends.items() if await reader.position(partition) < end]:
            for batch in (await _fetched(reader, *behind)).values():
                heard_at = time.monotonic()
                for record in batch:
                    yield record_from(record)
            if time.monotonic() - heard_at > SILENCE_SECONDS_MAX:
                what = ", ".join(f"{one.topic}/{one.partition}" for one in behind)
                raise await self._failure(TimeoutError(), f"records of {what}")

    async def _failure(self, error: BaseException, needs: str = "") -> ConnectionFailed | TimedOut:
        return await kafka_failure(self._settings, error, needs)


def pieces_backwards(begin: int, end: int, size: int = FIRST_PIECE_RECORDS) -> Iterator[tuple[int, int]]:
    """The offsets from `begin` to `end` in pieces, the last piece first, each larger than the one before. PURE."""
    while end > begin:
        start = max(begin, end - size)
        yield start, end
        end, size = start, size * PIECE_GROWTH


async def _live(reader: BoundedConsumer) -> AsyncIterator[Record]:
    while True:
        for batch in (await _fetched(reader)).values():
            for record in batch:
                yield record_from(record)


async def _fetched(reader: BoundedConsumer, *partitions: TopicPartition) -> dict[TopicPartition, list[ConsumerRecord]]:
    """What has arrived; what retention removes meanwhile is passed over, as it is where a reader begins.

    Raises `OffsetOutOfRangeError` where a log ends before what was read of it: it is another log by now.
    """
    try:
        return await reader.getmany(*partitions, timeout_ms=POLL_MILLISECONDS)
    except OffsetOutOfRangeError as error:
        positions: dict[TopicPartition, int] = error.args[0]
        for partition, begin in (await reader.beginning_offsets(list(positions))).items():
            if begin < positions[partition]:
                raise
            reader.seek(partition, begin)
        return {}
