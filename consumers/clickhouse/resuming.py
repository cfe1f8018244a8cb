"""Where to go on in a partition: after what is stored of its log, once the last batch is whole in every view.

One INSERT is atomic in `messages` only; a store killed at the wrong moment has the batch there and not yet in the
views that follow. So the last batch is sent once more, under its own token: the tables that have it ignore it, the
others take it. It is read back from `messages`, not from Kafka: there it may have been compacted or deleted since, and
a smaller batch under the same token would leave the views short for ever.

A topic whose log is not what it was is never stepped over silently: what is lost is written into `ledger_gaps`, and the
partition goes on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from aiokafka import TopicPartition

from .batches import Batch
from .gaps import Bookmark, Gap, Start, StoredBatch, is_beyond, start_of, topic_id_of

log = logging.getLogger(__name__)

ASK_AGAIN_AFTER_SECONDS = 0.1


class Store(Protocol):
    """What resuming needs of `Landing`."""

    def claim(self, partitions: Sequence[TopicPartition]) -> None: ...
    def running_inserts(self, partitions: Iterable[TopicPartition]) -> int: ...
    def bookmarks(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, list[Bookmark]]: ...
    def last_batches(self, since: Mapping[TopicPartition, int]) -> dict[TopicPartition, dict[str, StoredBatch]]: ...
    def read_back(self, partition: TopicPartition, stored: StoredBatch) -> Batch: ...
    def insert(self, batch: Batch) -> None: ...
    def note_gaps(self, gaps: Sequence[Gap]) -> None: ...
    def note_bookmarks(self, checked: Mapping[TopicPartition, tuple[str, int]]) -> None: ...


class Log(Protocol):
    """What resuming needs of the Kafka consumer."""

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]: ...
    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]: ...


Calling = Callable[..., Awaitable[Any]]


async def resume(
    store: Store,
    kafka: Log,
    topic_ids: Mapping[str, str],
    partitions: Sequence[TopicPartition],
    call: Calling,
    replayed: Callable[[Batch], None],
    believe_after_seconds: float,
) -> dict[TopicPartition, tuple[Start, int]]:
    """Take the partitions over and make them whole; for each where to go on, and up to where its views were compared.

    The order matters: claim, so that no other sink begins an insert any more; wait for those that had begun; only then
    look. `call` runs a blocking function of the store elsewhere and repeats it while the store is away. A log that ends
    before what is stored is believed only after so many seconds: a new leader may lag for a moment.
    """
    await call(store.claim, partitions)
    # The store does not tell when another sink's insert has ended; so ask.
    while await call(store.running_inserts, partitions):  # noqa: ASYNC110
        await asyncio.sleep(ASK_AGAIN_AFTER_SECONDS)
    marks: dict[TopicPartition, list[Bookmark]] = await call(store.bookmarks, partitions)
    since = {one: looked_at_from(marks.get(one, ()), topic_ids.get(one.topic, "")) for one in partitions}
    last: dict[TopicPartition, dict[str, StoredBatch]] = await call(store.last_batches, since)

    async def starts() -> dict[TopicPartition, Start]:
        begins, ends = await kafka.beginning_offsets(partitions), await kafka.end_offsets(partitions)
        return {
            one: start_of(
                one, marks.get(one, []), last.get(one, {}), topic_ids.get(one.topic, ""), begins[one], ends[one]
            )
            for one in partitions
        }

    found = await starts()
    deadline = asyncio.get_running_loop().time() + believe_after_seconds
    while any(map(is_beyond, found.values())) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(ASK_AGAIN_AFTER_SECONDS)
        found = await starts()
    await replay(store, marks, last, found, call, replayed)
    await call(store.note_gaps, [gap for start in found.values() for gap in start.gaps])
    await call(store.note_bookmarks, {one: (start.log_id, start.checked_up_to) for one, start in found.items()})
    return {one: (start, compared_up_to(marks.get(one, ()), start)) for one, start in found.items()}


async def replay(
    store: Store,
    marks: Mapping[TopicPartition, Sequence[Bookmark]],
    last: Mapping[TopicPartition, Mapping[str, StoredBatch]],
    found: Mapping[TopicPartition, Start],
    call: Calling,
    replayed: Callable[[Batch], None],
) -> None:
    """Send the last batch of each log that goes on again, unless it is known to be whole."""
    for partition, start in found.items():
        stored = last.get(partition, {}).get(start.log_id)
        whole_up_to = max(
            (mark.checked_up_to for mark in marks.get(partition, ()) if mark.log_id == start.log_id), default=0
        )
        if stored is None or stored.last < whole_up_to:
            continue
        if not stored.known:
            log.info("sink.replay.skipped", extra={"partition": str(partition), "last": stored.last})
            continue
        batch = await call(store.read_back, partition, stored)
        await call(store.insert, batch)
        replayed(batch)


def looked_at_from(marks: Sequence[Bookmark], topic_id: str) -> int:
    """From which offset on the table is searched for the last batch: what is before is known to be whole."""
    mine = [mark.checked_up_to for mark in marks if topic_id in ("", topic_id_of(mark.log_id)) or not mark.log_id]
    return min(mine, default=0)


def compared_up_to(marks: Sequence[Bookmark], start: Start) -> int:
    """Up to where the tables were compared as they are now; where one was made again, up to where the ledger begins."""
    return next((mark.of_these_targets for mark in marks if mark.log_id == start.log_id), start.checked_up_to)
