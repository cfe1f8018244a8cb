"""The batches of a fetch, each unpacked within a bound; one that is larger is skipped, and a record tells so.

The bound is no setting: all participants of a saga must skip the same offsets. It is eight times the largest record
that a topic of ours takes. What one poll unpacks has a bound too, for a fetch may bring a hundred small bombs: when it
is reached, the fetch ends early, and the next poll fetches the rest of it again.
"""

import logging
import struct
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBase, DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBase
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy

from producers.skipped_batches import Skipped, SkippedBatch
from producers.unpacking import NotUnpacked, TooLarge, unpacked

log = logging.getLogger(__name__)

BATCH_BYTES_MAX = 64 * 1024 * 1024
POLL_BYTES_MAX = BATCH_BYTES_MAX
# Of the format since Kafka 0.11; those before it have 0 and 1.
MAGIC = 2
CODEC_NAMES = ("none", "gzip", "snappy", "lz4", "zstd")

HEADER = DefaultRecordBase.HEADER_STRUCT
LENGTH_PLACE = _MemoryRecordsPy.LENGTH_OFFSET
LOG_OVERHEAD = _MemoryRecordsPy.LOG_OVERHEAD
MAGIC_PLACE = _MemoryRecordsPy.MAGIC_OFFSET
RECORDS_PLACE = HEADER.size - 4
# The codec stands in the last byte of the attributes.
CODEC_PLACE, CODECS = DefaultRecordBase.ATTRIBUTES_OFFSET + 1, DefaultRecordBase.CODEC_MASK
# Of the old formats, by magic: where the attributes stand, and where the key's length.
LEGACY_CODEC_PLACE = LegacyRecordBase.MAGIC_OFFSET + 1
LEGACY_KEY_PLACES = (LegacyRecordBase.KEY_OFFSET_V0, LegacyRecordBase.KEY_OFFSET_V1)

Parse = Callable[[bytearray], Any]

length_at = struct.Struct(">i").unpack_from
has_next, next_batch = MemoryRecords.has_next, MemoryRecords.next_batch


@dataclass
class Poll:
    """One poll of a consumer, and how much it has unpacked."""

    unpacked_bytes: int = 0


# Set by `BoundedConsumer` around each poll: aiokafka's records know no consumer.
current_poll: ContextVar[Poll] = ContextVar("current_poll")


class BoundedRecords(MemoryRecords):  # type: ignore[misc]  # aiokafka ships no types for it
    """What one fetch brought for a partition; `fetched` is all of it, `place` where it is from."""

    place: TopicPartition | None = None

    def __init__(self, fetched: bytes) -> None:
        super().__init__(fetched)
        self.fetched = fetched
        self._next_at = 0

    def has_next(self) -> bool:
        return has_next(self) and not is_poll_full()

    def next_batch(self) -> Any:
        fetched, begin = self.fetched, self._next_at
        end = self._next_at = begin + LOG_OVERHEAD + length_at(fetched, begin + LENGTH_PLACE)[0]
        is_plain = fetched[begin + MAGIC_PLACE] == MAGIC and not fetched[begin + CODEC_PLACE] & CODECS
        # A batch of our own costs no more than this look at its header.
        if is_plain and end - begin <= BATCH_BYTES_MAX:
            return next_batch(self)
        return bounded(next_batch(self), memoryview(fetched)[begin:end], DefaultRecordBatch, self.place)


def is_poll_full() -> bool:
    """Whether this poll has unpacked as much as one may; never, where a batch is read outside of a poll."""
    poll = current_poll.get(None)
    return poll is not None and poll.unpacked_bytes >= POLL_BYTES_MAX


def bounded(batch: Any, raw: memoryview, parse: Parse, place: TopicPartition | None) -> Any:
    """The batch itself where it is not compressed and within the bound; else one that unpacks as it is iterated."""
    is_legacy = raw[MAGIC_PLACE] < MAGIC
    codec = raw[LEGACY_CODEC_PLACE if is_legacy else CODEC_PLACE] & CODECS
    if codec == DefaultRecordBase.CODEC_NONE and len(raw) <= BATCH_BYTES_MAX:
        return batch
    name = CODEC_NAMES[codec] if codec < len(CODEC_NAMES) else str(codec)
    return (_LegacyBatch if is_legacy else _Batch)(batch, raw, name, parse, place)


class _StandIn(NamedTuple):
    """The record that stands for a batch, or for what is left of it; aiokafka makes a `ConsumerRecord` of it."""

    offset: int
    timestamp: int
    value: SkippedBatch
    headers: tuple[tuple[str, bytes], ...]
    timestamp_type: int = 0
    key: None = None
    checksum: None = None


class _Batch:
    """A batch as aiokafka has it, the checksum included, but for its records: those are unpacked here."""

    def __init__(self, batch: Any, raw: memoryview, codec: str, parse: Parse, place: TopicPartition | None) -> None:
        self._batch, self._raw, self._codec, self._parse, self._place = batch, raw, codec, parse, place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        wanted = self._first_offset()
        try:
            for record in self._records():
                wanted = record.offset + 1
                yield record
        except TooLarge as error:
            yield self._stand_in(wanted, str(error), is_too_large=True)
        except (NotUnpacked, CorruptRecordException) as error:
            yield self._stand_in(wanted, str(error), is_too_large=False)

    def _first_offset(self) -> int:
        return int(self._batch.base_offset)

    def _records(self) -> Iterator[Any]:
        """Parse the batch as if its publisher had not compressed it."""
        header = bytearray(self._raw[: HEADER.size])
        header[CODEC_PLACE] &= ~CODECS
        plain = self._unpacked(self._raw[HEADER.size :], bytes(header))
        struct.pack_into(">i", plain, LENGTH_PLACE, len(plain) - LOG_OVERHEAD)
        return iter(self._parse(plain))

    def _unpacked(self, packed: memoryview, start: bytes = b"") -> bytearray:
        if self._codec == "none":
            raise TooLarge(f"it is larger than {BATCH_BYTES_MAX} bytes")
        poll = current_poll.get(None) or Poll()
        try:
            found = unpacked(self._codec, packed, BATCH_BYTES_MAX, start)
        except NotUnpacked:
            # How far it came is not known; it cost as much as the largest one.
            poll.unpacked_bytes += BATCH_BYTES_MAX
            raise
        poll.unpacked_bytes += len(found)
        return found

    def _stand_in(self, wanted: int, why: str, is_too_large: bool) -> _StandIn:
        last = int(self._batch.next_offset) - 1
        skipped = Skipped(wanted, last, self._count(), self._codec, len(self._raw), is_too_large, why)
        topic, partition = self._place or (None, None)
        log.info("records.batch_skipped", extra={"topic": topic, "partition": partition} | _fields(skipped))
        value = SkippedBatch(skipped)
        return _StandIn(last, self._timestamp(), value, value.headers)

    def _count(self) -> int:
        return int(struct.unpack_from(">i", self._raw, RECORDS_PLACE)[0])

    def _timestamp(self) -> int:
        return int(self._batch.max_timestamp)


class _LegacyBatch(_Batch):
    """A message of the formats before Kafka 0.11; a compressed one wraps others, and has the offset of the last.

    Its size is found out first, and then aiokafka unpacks it: what it wraps has no header to be put before.
    """

    def _first_offset(self) -> int:
        return int(self._batch.next_offset) - 1

    def _records(self) -> Iterator[Any]:
        magic = self._raw[MAGIC_PLACE]
        if magic == 0 and self._codec == "lz4":
            raise NotUnpacked("the first message format has no lz4 that can be read (KAFKA-3160)")
        place = LEGACY_KEY_PLACES[magic]
        # The key, then the value, each behind its length; a key that is missing has -1.
        (key_size,) = struct.unpack_from(">i", self._raw, place)
        place += 4 + max(0, key_size)
        self._unpacked(self._raw[place + 4 :])
        return iter(self._batch)

    def _count(self) -> int:
        return -1

    def _timestamp(self) -> int:
        return int(struct.unpack_from(">q", self._raw, LEGACY_KEY_PLACES[0])[0]) if self._raw[MAGIC_PLACE] else 0


def _fields(skipped: Skipped) -> dict[str, Any]:
    return {name: getattr(skipped, name) for name in skipped.__struct_fields__}
