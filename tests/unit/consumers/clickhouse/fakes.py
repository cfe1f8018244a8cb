"""A Kafka consumer and a store that live in memory and can be made to misbehave."""

import asyncio
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from aiokafka import TopicPartition
from clickhouse_connect.driver.exceptions import OperationalError

from consumers.clickhouse.assignment import Assignment
from consumers.clickhouse.batches import Batch, KafkaRecord, StoredRecord
from consumers.clickhouse.landing import StoredBatch

FIRST = TopicPartition("campaign.events", 0)
SECOND = TopicPartition("campaign.events", 1)


def records(first: int, count: int, size: int = 10) -> list[StoredRecord]:
    return [StoredRecord(offset, 0, b"k", b"x" * size, ()) for offset in range(first, first + count)]


class FakeSource:
    """Gives what is in `log`, from the position on, unless paused."""

    def __init__(self, log: dict[TopicPartition, list[StoredRecord]]) -> None:
        self.log = log
        self.begins = dict.fromkeys(log, 0)
        self.positions: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()
        self.committed: dict[TopicPartition, int] = {}
        self.listener: Assignment | None = None
        self.stopped = False

    def subscribe(self, topics: Sequence[str], *, listener: Assignment) -> None:
        self.listener = listener

    async def start(self) -> None:
        await self.assign(*self.log)

    async def assign(self, *partitions: TopicPartition) -> None:
        assert self.listener is not None
        await self.listener.on_partitions_revoked(list(self.positions))
        self.positions, self.paused = dict.fromkeys(partitions, 0), set()
        await self.listener.on_partitions_assigned(partitions)

    async def stop(self) -> None:
        self.stopped = True

    async def getmany(self, *, timeout_ms: int, max_records: int) -> Mapping[TopicPartition, Sequence[KafkaRecord]]:
        await asyncio.sleep(0.001)
        found = {}
        for partition in set(self.positions) - self.paused:
            rest = [one for one in self.log[partition] if one.offset >= self.positions[partition]][:max_records]
            if rest:
                found[partition] = rest
                self.positions[partition] = rest[-1].offset + 1
        return found

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused.difference_update(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.committed |= offsets

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {one: self.begins[one] for one in partitions}

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {one: self.log[one][-1].offset + 1 if self.log[one] else self.begins[one] for one in partitions}


class FakeStore:
    """Keeps batches by token, as deduplication does. Away while `is_away`; an insert waits while `gate` is closed."""

    def __init__(self) -> None:
        self.batches: dict[str, Batch] = {}
        self.sent: list[str] = []
        self.asked: list[str] = []
        self.is_away = False
        self.loses_answers = 0
        self.orphans = 0
        self.gate = threading.Event()
        self.gate.set()
        self.last: dict[TopicPartition, StoredBatch] = {}

    def answer(self, asked: str) -> None:
        self.asked.append(asked)
        if self.is_away:
            raise OperationalError("connection refused")

    def claim(self, partitions: Sequence[TopicPartition]) -> None:
        self.answer("claim")

    def running_inserts(self, partitions: Iterable[TopicPartition]) -> int:
        self.answer("running")
        self.orphans = max(0, self.orphans - 1)
        return self.orphans

    def last_batches(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, StoredBatch]:
        self.answer("last")
        return {one: self.last[one] for one in partitions if one in self.last}

    def read_back(self, partition: TopicPartition, stored: StoredBatch) -> Batch:
        self.answer("read_back")
        count = stored.last - stored.first + 1
        return Batch(partition.topic, partition.partition, records(stored.first, count), stored.ingested_at)

    def insert(self, batch: Batch) -> None:
        self.gate.wait(10)
        self.sent.append(batch.token)
        self.answer("insert")
        self.batches.setdefault(batch.token, batch)
        if self.loses_answers:
            self.loses_answers -= 1
            raise OperationalError("connection reset")

    def offsets(self, partition: TopicPartition) -> list[int]:
        mine = [one for one in self.batches.values() if one.partition == partition.partition]
        return [record.offset for one in mine for record in one.records]


def stored(first: int, last: int, known: bool = True) -> StoredBatch:
    return StoredBatch(first, last, datetime(2026, 11, 24, tzinfo=UTC), known)
