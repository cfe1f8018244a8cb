"""Records with a header name that is not UTF-8, which librdkafka can write and aiokafka's parser fails on.

A consumer would stand still at such a batch for ever, so anybody who may write to a topic could stop it. Here the batch
is read once more, by aiokafka's Python parser, from the record on at which its C parser gave up; a name that is not
UTF-8 has its odd bytes spelt out (`\\xff`). Whatever else is fetched never leaves the C parser.
"""

import logging
from collections.abc import Iterator
from typing import Any, SupportsIndex

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBase, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

from producers.bounded_batches import MAGIC, MAGIC_PLACE, bounded, is_poll_full

log = logging.getLogger(__name__)


class TolerantPartition(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka ships no types for it
    """The records of one fetch, one after the other; those of aborted transactions are left out."""

    _records: Any

    def __init__(self, place: TopicPartition, records: Any, *options: Any) -> None:
        super().__init__(place, records, *options)
        records.place = place

    def __iter__(self) -> Iterator[ConsumerRecord]:
        # Not through `__next__`, which is Python and costs every record more than this class does.
        records: Iterator[ConsumerRecord] = self._records_iterator
        return records

    def _unpack_records(self) -> Iterator[ConsumerRecord]:
        try:
            yield from super()._unpack_records()
        except UnicodeDecodeError:
            place = {"topic": self._tp.topic, "partition": self._tp.partition, "offset": self.next_fetch_offset}
            log.warning("records.odd_header_name", extra=place)
            fetched: bytes = self._records.fetched
            self._records = _TolerantRecords(fetched, self.next_fetch_offset, self._tp)
            yield from super()._unpack_records()


class _TolerantRecords:
    """The batches of a fetch from the one on that has this offset."""

    def __init__(self, fetched: bytes, offset: int, place: TopicPartition) -> None:
        self._batches, self._place = _MemoryRecordsPy(fetched), place
        while self._batches.has_next() and self._last_offset() < offset:
            self._batches.next_batch()

    def has_next(self) -> bool:
        return bool(self._batches.has_next()) and not is_poll_full()

    def next_batch(self) -> Any:
        raw = self._batches._next_slice
        batch = self._batches.next_batch()
        if raw[MAGIC_PLACE] >= MAGIC:
            batch = _TolerantBatch(raw)
        return bounded(batch, raw, _TolerantBatch, self._place)

    def _last_offset(self) -> int:
        named = DefaultRecordBase.HEADER_STRUCT.unpack_from(self._batches._next_slice)
        first, last_delta = int(named[0]), int(named[6])
        return first + last_delta


class _TolerantBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _TolerantBytes(self._buffer)


class _TolerantBytes(bytearray):
    """Bytes that can always be read as text: aiokafka decodes nothing but the names of headers."""

    def __getitem__(self, place: SupportsIndex | slice) -> Any:
        found = super().__getitem__(place)
        return _TolerantBytes(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")
