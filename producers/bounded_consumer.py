"""The one Kafka consumer of this program: whatever anyone publishes, a poll of it takes a bounded amount of memory."""

from collections.abc import Mapping
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer import fetcher

from producers.bounded_batches import BoundedRecords, Poll, current_poll
from producers.brokers import Consumer
from producers.tolerant_records import TolerantPartition

POLL_RECORDS_MAX = 20_000


class BoundedConsumer(Consumer):
    """aiokafka's consumer, which no single broker stops, which unpacks within bounds, and which never jumps.

    It has no `auto_offset_reset`: a position that the log does not have raises `OffsetOutOfRangeError`. A caller that
    reads from a log's beginning asks where that is, and begins there.

    It reads records whose header names are not UTF-8. For a batch that is larger it gives one record whose value is a
    `SkippedBatch`.
    """

    def __init__(self, *topics: str, **options: Any) -> None:
        read_within_bounds()
        if "auto_offset_reset" in options:
            raise ValueError("a BoundedConsumer never jumps: seek to where it is to begin")
        fixed = {"max_poll_records": POLL_RECORDS_MAX, "auto_offset_reset": "none"}
        super().__init__(*topics, **fixed | options)

    def assign_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions, each from its offset on.

        Both in one step: for a partition without a position, aiokafka would look for a group's position at once.
        """
        self.assign(list(offsets))
        for partition, offset in offsets.items():
            self.seek(partition, offset)

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """As aiokafka's; what it unpacks is bounded over all partitions together."""
        token = current_poll.set(Poll())
        try:
            found: dict[TopicPartition, list[ConsumerRecord]] = await super().getmany(
                *partitions, timeout_ms=timeout_ms, max_records=max_records
            )
            return found
        finally:
            current_poll.reset(token)


def read_within_bounds() -> None:
    """Have aiokafka read with our classes, in the whole program; repeating it changes nothing.

    Its fetcher names the classes it reads with in its module only; there is no other way to set them.
    """
    fetcher.MemoryRecords, fetcher.PartitionRecords = BoundedRecords, TolerantPartition
