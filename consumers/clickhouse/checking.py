"""Compares what is stored with what was read, batch by batch and table by table, and fills what is missing.

A view that was dropped for a while, or a table that was made again, lacks batches though each insert succeeded. What
`messages` lacks is read from Kafka again; what another table lacks comes from `messages`. What neither has is a gap.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from aiokafka import TopicPartition

from .batches import Batch, KafkaRecord
from .gaps import EVERY_TARGET, MESSAGES, Gap, Lack, Span, StoredBatch, deleted_of, gap_of, holes_in, partial_in
from .metrics import SinkMetrics
from .resuming import Calling

log = logging.getLogger(__name__)

FILLED_ROWS_AT_ONCE = 500_000
# So many batches of one table are compared at once; where there are more, the next round goes on.
LACKS_AT_ONCE = 500


class Books(Protocol):
    """What checking needs of `Landing`."""

    def mend_schema(self) -> object: ...
    def batches_in(self, spans: Sequence[Span]) -> dict[TopicPartition, list[StoredBatch]]: ...
    def batch_at(self, partition: TopicPartition, log_id: str, first: int) -> StoredBatch: ...
    def lacking(self, spans: Sequence[Span]) -> list[Lack]: ...
    def oldest_known(self) -> datetime: ...
    def read_back(self, partition: TopicPartition, stored: StoredBatch) -> Batch: ...
    def insert(self, batch: Batch) -> None: ...
    def fill(self, target: str, span: Span) -> None: ...
    def note_gaps(self, gaps: Sequence[Gap]) -> None: ...


class Rereading(Protocol):
    """Reads a part of a log again, beside the consumer."""

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]: ...
    def records_between(
        self, partition: TopicPartition, first: int, last: int
    ) -> AsyncIterator[Sequence[KafkaRecord]]: ...


class Checker:
    """See the module. It fills what is not whole, and looks at it again in the next round."""

    def __init__(self, books: Books, kafka: Rereading, metrics: SinkMetrics) -> None:
        self.books, self.kafka, self.metrics = books, kafka, metrics

    async def check(self, spans: Sequence[Span], of_targets: Sequence[Span], call: Calling) -> set[TopicPartition]:
        """The partitions whose spans are whole. `spans` is compared with Kafka, `of_targets` with `messages`."""
        await call(self.books.mend_schema)
        stored: dict[TopicPartition, list[StoredBatch]] = await call(self.books.batches_in, spans)
        troubled = {span.partition for span in spans if await self.fill_messages(span, stored, call)}
        lacks: list[Lack] = await call(self.books.lacking, of_targets)
        for target in {lack.target for lack in lacks} | self.metrics.targets_behind:
            self.metrics.note_behind(target, sum(lack.target == target for lack in lacks))
        if lacks:
            troubled |= await self.fill_targets(lacks, call)
        if any(count >= LACKS_AT_ONCE for count in Counter(lack.target for lack in lacks).values()):
            return set()
        return {span.partition for span in spans} - troubled

    async def fill_messages(
        self, span: Span, stored: Mapping[TopicPartition, list[StoredBatch]], call: Calling
    ) -> bool:
        """Read again what no batch covers; whether there was anything."""
        batches = stored.get(span.partition, [])
        gaps = list(partial_in(span, batches))
        filled = 0
        for hole in holes_in(span, batches):
            begins = (await self.kafka.beginning_offsets([span.partition]))[span.partition]
            deleted = deleted_of(span, hole, begins)
            if deleted is not None:
                gaps.append(deleted)
            first, last = max(hole[0], begins), hole[1]
            if first <= last:
                filled += await self.read_again(span, first, last, call)
        await self.note(gaps, call)
        return filled > 0

    async def read_again(self, span: Span, first: int, last: int, call: Calling) -> int:
        """Store what Kafka has from `first` to `last`; how many records. Markers alone are none."""
        count = 0
        async for records in self.kafka.records_between(span.partition, first, last):
            now = datetime.now(UTC).replace(microsecond=0)
            batch = Batch(span.partition.topic, span.partition.partition, records, now, first, span.log_id)
            await call(self.books.insert, batch)
            first, count = batch.last + 1, count + len(records)
            self.filled(MESSAGES, span.partition, batch.first, batch.last, len(records))
        return count

    async def fill_targets(self, lacks: Sequence[Lack], call: Calling) -> set[TopicPartition]:
        """Fill each target with the batches that it lacks; returns the partitions to look at again."""
        horizon: datetime = await call(self.books.oldest_known)
        batches: dict[tuple[TopicPartition, str, int], StoredBatch] = {}
        for lack in lacks:
            place = (lack.partition, lack.log_id, lack.first)
            if place not in batches:
                batches[place] = await call(self.books.batch_at, *place)
        broken = [lack for lack in lacks if lack.found]
        await self.note([gap_of(one, batches[one[1:4]].last) for one in broken], call)
        missing = [lack for lack in lacks if not lack.found]
        for (partition, _, first), batch in batches.items():
            # Every table that has it ignores it; a token that is forgotten would store it twice.
            targets = {one.target for one in missing if one[1:4] == (partition, batch.log_id, first)}
            if targets and batch.ingested_at >= horizon:
                await call(self.books.insert, await call(self.books.read_back, partition, batch))
                for target in targets:
                    self.filled(target, partition, batch.first, batch.last, batch.rows)
        forgotten = [lack for lack in missing if batches[lack[1:4]].ingested_at < horizon]
        for target, span in contiguous(forgotten, batches):
            await call(self.books.fill, target, span)
            self.filled(target, span.partition, span.first, span.end - 1, None)
        return {lack.partition for lack in missing}

    def filled(self, target: str, partition: TopicPartition, first: int, last: int, rows: int | None) -> None:
        place = {"topic": partition.topic, "partition": partition.partition, "first": first, "last": last}
        log.warning("sink.target.filled", extra={"target": target, "rows": rows, **place})
        self.metrics.filled.labels(target).inc()

    async def note(self, gaps: Sequence[Gap], call: Calling) -> None:
        """Write the gaps into the ledger, the log and the figures."""
        if gaps:
            await call(self.books.note_gaps, gaps)
        for gap in gaps:
            tell(gap, self.metrics)


def tell(gap: Gap, metrics: SinkMetrics) -> None:
    """Say what is lost, once it stands in the ledger."""
    place = {"topic": gap.partition.topic, "partition": gap.partition.partition, "log_id": gap.log_id}
    offsets = {"first": gap.first, "last": gap.last}
    log.error("sink.gap", extra={"target": gap.target, "cause": gap.cause, "detail": gap.detail, **place, **offsets})
    metrics.gaps.labels(MESSAGES if gap.target == EVERY_TARGET else gap.target, gap.cause).inc()


def contiguous(
    lacks: Iterable[Lack], batches: Mapping[tuple[TopicPartition, str, int], StoredBatch]
) -> list[tuple[str, Span]]:
    """The lacks of each target as spans of batches that follow each other, of a bounded number of rows."""
    found: list[tuple[str, Span]] = []
    rows = 0
    for lack in sorted(lacks):
        batch = batches[lack[1:4]]
        if found and rows + lack.expected <= FILLED_ROWS_AT_ONCE:
            target, span = found[-1]
            if (target, span.partition, span.log_id, span.end) == lack[:4]:
                found[-1] = (target, span._replace(end=batch.last + 1))
                rows += lack.expected
                continue
        found.append((lack.target, Span(lack.partition, lack.log_id, lack.first, batch.last + 1)))
        rows = lack.expected
    return found
