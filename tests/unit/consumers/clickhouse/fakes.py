"""A Kafka consumer and a store that live in memory and can be made to misbehave."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from clickhouse_connect.driver.exceptions import OperationalError

from consumers.clickhouse.assignment import Assignment
from consumers.clickhouse.batches import Batch, KafkaRecord, StoredRecord
from consumers.clickhouse.gaps import Bookmark, Gap, Lack, Span, StoredBatch

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
        wanted = set(self.positions) - self.paused
        for partition in wanted:
            # As aiokafka does: an error is raised before anything is taken, so that nothing is lost with it.
            if self.positions[partition] < self.begins[partition]:
                raise OffsetOutOfRangeError({partition: self.positions[partition]})
        for partition in wanted:
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

    async def position(self, partition: TopicPartition) -> int:
        return self.positions[partition]

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {one: self.begins[one] for one in partitions}

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {one: self.log[one][-1].offset + 1 if self.log[one] else self.begins[one] for one in partitions}


class FakeCluster:
    """Reads `source`'s log again, and knows ids; `lacking` are partitions that no sink reads."""

    def __init__(self, source: FakeSource) -> None:
        self.source = source
        self.ids: dict[str, str] = {"campaign.events": ""}
        self.lacking: tuple[TopicPartition, ...] = ()
        self.gone: set[TopicPartition] = set()
        self.joined_again = 0
        self.read_again: list[tuple[int, int, int]] = []

    async def topic_ids(self) -> Mapping[str, str]:
        return dict(self.ids)

    async def vanished(self, partitions: Iterable[TopicPartition]) -> set[TopicPartition]:
        return self.gone & set(partitions)

    async def unread(self) -> Sequence[TopicPartition]:
        return self.lacking

    def join_again(self) -> None:
        self.joined_again += 1

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return await self.source.beginning_offsets(partitions)

    async def records_between(
        self, partition: TopicPartition, first: int, last: int
    ) -> AsyncIterator[Sequence[KafkaRecord]]:
        self.read_again.append((partition.partition, first, last))
        found = [one for one in self.source.log[partition] if first <= one.offset <= last]
        if found:
            yield found


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
        self.marks: dict[TopicPartition, list[Bookmark]] = {}
        self.gaps: list[Gap] = []
        self.swallows = 0
        self.lacks: list[Lack] = []
        self.filled: list[tuple[str, Span]] = []
        self.mended = 0

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

    def bookmarks(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, list[Bookmark]]:
        self.answer("bookmarks")
        return {one: list(self.marks[one]) for one in partitions if one in self.marks}

    def note_bookmarks(self, checked: Mapping[TopicPartition, tuple[str, int]]) -> None:
        self.answer("note_bookmarks")
        for partition, (log_id, offset) in checked.items():
            before = [one for one in self.marks.get(partition, []) if one.log_id != log_id]
            self.marks[partition] = [*before, Bookmark(log_id, offset, offset, datetime.now(UTC))]

    def note_gaps(self, gaps: Sequence[Gap]) -> None:
        self.gaps += gaps

    def mend_schema(self) -> None:
        self.mended += 1

    def batches_in(self, spans: Sequence[Span]) -> dict[TopicPartition, list[StoredBatch]]:
        return {
            span.partition: [one for one in self.stored_batches(span.partition) if span.first <= one.first < span.end]
            for span in spans
        }

    def batch_at(self, partition: TopicPartition, log_id: str, first: int) -> StoredBatch:
        return next(one for one in self.stored_batches(partition) if (one.log_id, one.first) == (log_id, first))

    def stored_batches(self, partition: TopicPartition) -> list[StoredBatch]:
        mine = [one for one in self.batches.values() if (one.topic, one.partition) == partition]
        found = [
            StoredBatch(one.first, one.last, one.ingested_at, True, one.log_id, len(one.records), len(one.records))
            for one in mine
        ]
        return found or ([self.last[partition]] if partition in self.last else [])

    def lacking(self, spans: Sequence[Span]) -> list[Lack]:
        lacks, self.lacks = self.lacks, []
        return lacks

    def oldest_known(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def fill(self, target: str, span: Span) -> None:
        self.filled.append((target, span))

    def last_batches(self, since: Mapping[TopicPartition, int]) -> dict[TopicPartition, dict[str, StoredBatch]]:
        self.answer("last")
        found = {one: {self.last[one].log_id: self.last[one]} for one in since if one in self.last}
        for one in since:
            for batch in self.stored_batches(one):
                found.setdefault(one, {})[batch.log_id] = batch
        return found

    def read_back(self, partition: TopicPartition, stored: StoredBatch) -> Batch:
        self.answer("read_back")
        count = stored.last - stored.first + 1
        there = records(stored.first, count)
        return Batch(partition.topic, partition.partition, there, stored.ingested_at, stored.first, stored.log_id)

    def insert(self, batch: Batch) -> None:
        self.gate.wait(10)
        self.sent.append(batch.token)
        self.answer("insert")
        if self.swallows:
            self.swallows -= 1
            return
        self.batches.setdefault(batch.token, batch)
        if self.loses_answers:
            self.loses_answers -= 1
            raise OperationalError("connection reset")

    def offsets(self, partition: TopicPartition) -> list[int]:
        mine = [one for one in self.batches.values() if one.partition == partition.partition]
        return [record.offset for one in mine for record in one.records]


def stored(first: int, last: int, known: bool = True) -> StoredBatch:
    return StoredBatch(first, last, datetime(2026, 11, 24, tzinfo=UTC), known)
