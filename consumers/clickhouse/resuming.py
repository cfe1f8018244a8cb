"""Where to go on in a partition: after the last batch the table holds, once that batch is whole in every view.

One INSERT is atomic in `messages` only; a store killed at the wrong moment has the batch there and not yet in the
views that follow. So the last batch is sent once more, under its own token: the tables that have it ignore it, the
others take it. It is read back from `messages`, not from Kafka: there it may have been compacted or deleted since, and
a smaller batch under the same token would leave the views short for ever.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from aiokafka import TopicPartition

from .batches import Batch
from .errors import LogTooShort, RecordsGone
from .landing import StoredBatch

log = logging.getLogger(__name__)

ASK_AGAIN_AFTER_SECONDS = 0.1


class Store(Protocol):
    """What resuming needs of `Landing`."""

    def claim(self, partitions: Sequence[TopicPartition]) -> None: ...
    def running_inserts(self, partitions: Iterable[TopicPartition]) -> int: ...
    def last_batches(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, StoredBatch]: ...
    def read_back(self, partition: TopicPartition, stored: StoredBatch) -> Batch: ...
    def insert(self, batch: Batch) -> None: ...


class Log(Protocol):
    """What resuming needs of the Kafka consumer."""

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]: ...
    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]: ...


Calling = Callable[..., Awaitable[object]]


async def resume(
    store: Store, kafka: Log, partitions: Sequence[TopicPartition], call: Calling, replayed: Callable[[Batch], None]
) -> dict[TopicPartition, int]:
    """Take the partitions over and make them whole; the offset to go on at, for each.

    The order matters: claim, so that nobody begins an insert any more; wait for those that had begun; only then look.
    `call` runs a blocking function of the store elsewhere and repeats it while the store is away.

    Raises:
        RecordsGone: Kafka has deleted records that are not stored.
        LogTooShort: Kafka's log ends before the stored position.
    """
    await call(store.claim, partitions)
    # Nothing tells us when somebody else's insert has ended; so ask.
    while await call(store.running_inserts, partitions):  # noqa: ASYNC110
        await asyncio.sleep(ASK_AGAIN_AFTER_SECONDS)
    found = await call(store.last_batches, partitions)
    assert isinstance(found, dict)
    last: dict[TopicPartition, StoredBatch] = found
    begins, ends = await kafka.beginning_offsets(partitions), await kafka.end_offsets(partitions)
    positions = {
        partition: next_offset(partition, last.get(partition), begins[partition], ends[partition])
        for partition in partitions
    }
    for partition, stored in last.items():
        if not stored.known:
            log.info("sink.replay.skipped", extra={"partition": str(partition), "last": stored.last})
            continue
        batch = await call(store.read_back, partition, stored)
        assert isinstance(batch, Batch)
        await call(store.insert, batch)
        replayed(batch)
    return positions


def next_offset(partition: TopicPartition, stored: StoredBatch | None, begins: int, ends: int) -> int:
    """The offset after the stored ones; a partition never seen begins where Kafka's log begins."""
    name = f"{partition.topic}:{partition.partition}"
    if stored is None:
        return begins
    wanted = stored.last + 1
    if wanted < begins:
        raise RecordsGone(
            f"{name} is stored up to offset {stored.last}, but Kafka keeps it from {begins} on:"
            f" {begins - wanted} offsets were deleted before the sink read them. Restore the topic, or let the sink"
            " fill another database from what Kafka still keeps."
        )
    if wanted > ends:
        raise LogTooShort(
            f"{name} is stored up to offset {stored.last}, but Kafka's log ends at {ends}: the topic was made anew."
            " Point CLICKHOUSE_URL or the database at an empty one."
        )
    return wanted
