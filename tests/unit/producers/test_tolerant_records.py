"""A header name that is not UTF-8 stops no consumer, and costs nobody else anything."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from producers.bounded_batches import BoundedRecords
from producers.bounded_consumer import read_within_bounds
from producers.tolerant_records import TolerantPartition

PLACE = TopicPartition("order.commands", 0)
ODD = "ce_\u1234"


@pytest.fixture(autouse=True)
def untouched_fetcher() -> Iterator[None]:
    before = fetcher.MemoryRecords, fetcher.PartitionRecords
    yield
    fetcher.MemoryRecords, fetcher.PartitionRecords = before


def batch(first: int, *names: str, compression: int = 0, producer_id: int = -1) -> bytes:
    """One record per header name; in what is said, the name `ODD` is no UTF-8."""
    builder = DefaultRecordBatchBuilder(2, compression, int(producer_id >= 0), producer_id, 0, 0, batch_size=1_000_000)
    for offset, name in enumerate(names):
        builder.append(offset, 1_000, b"k", f"{first + offset}".encode(), [(name, b"v")])
    said = bytearray(builder.build())
    said[0:8] = first.to_bytes(8, "big")
    return bytes(said)


def broken(said: bytes) -> bytes:
    """The same with the odd names' first byte turned into one that no UTF-8 has; the checksum is not looked at."""
    assert ODD.encode() in said
    return said.replace(ODD.encode(), b"ce_\xff\x88\xb4")


def read(
    fetched: bytes, offset: int = 0, aborted: Any = None, isolation: int = fetcher.READ_COMMITTED
) -> list[tuple[int, bytes, str]]:
    named = fetcher.MemoryRecords, fetcher.PartitionRecords
    assert named == (BoundedRecords, TolerantPartition)
    records = fetcher.PartitionRecords(
        PLACE, fetcher.MemoryRecords(fetched), aborted, offset, None, None, False, isolation
    )
    found = [(record.offset, record.value, record.headers[0][0]) for record in records]
    assert records.next_fetch_offset == found[-1][0] + 1
    return found


def test_a_header_name_that_is_not_utf8_is_spelt_out_and_what_stands_around_it_is_read() -> None:
    read_within_bounds()
    fetched = batch(5, "ce_type") + broken(batch(6, "ce_id", ODD, "ce_id", ODD)) + batch(10, "ce_type")
    assert read(fetched) == [
        (5, b"5", "ce_type"),
        (6, b"6", "ce_id"),
        (7, b"7", r"ce_\xff\x88\xb4"),
        (8, b"8", "ce_id"),
        (9, b"9", r"ce_\xff\x88\xb4"),
        (10, b"10", "ce_type"),
    ]


def test_reading_begins_where_it_was_asked_to_in_an_odd_batch_as_well() -> None:
    read_within_bounds()
    fetched = broken(batch(6, ODD, "ce_id", ODD)) + batch(9, "ce_type")
    assert [offset for offset, _, _ in read(fetched, offset=7)] == [7, 8, 9]


@pytest.mark.parametrize("asked", [None, 1, 2], ids=["all at once", "one", "two"])
def test_a_consumer_that_takes_a_few_at_a_time_misses_none(asked: int | None) -> None:
    read_within_bounds()
    fetched = batch(0, "a", "b") + broken(batch(2, "c", ODD, "d")) + batch(5, "e")
    records = fetcher.PartitionRecords(
        PLACE, fetcher.MemoryRecords(fetched), None, 0, None, None, False, fetcher.READ_COMMITTED
    )
    seen: list[int] = []
    while True:
        taken = []
        for record in records:
            taken.append(record.offset)
            if len(taken) == asked:
                break
        if not taken:
            break
        seen += taken
    assert seen == [0, 1, 2, 3, 4, 5]


def test_what_an_aborted_transaction_wrote_is_left_out_after_an_odd_name_too() -> None:
    read_within_bounds()
    fetched = batch(0, "a", producer_id=7) + broken(batch(1, ODD)) + batch(2, "b", producer_id=7) + batch(3, "c")
    assert [offset for offset, _, _ in read(fetched, aborted=[(7, 0)])] == [1, 3]


def test_a_batch_without_odd_names_is_never_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    read_within_bounds()
    refuse: Callable[..., None] = lambda *_: pytest.fail("read by the Python parser")  # noqa: E731
    monkeypatch.setattr("producers.tolerant_records._TolerantRecords.__init__", refuse)
    assert len(read(batch(0, "a", "b") + batch(2, "c"))) == 3


def test_what_is_broken_otherwise_is_still_an_error() -> None:
    read_within_bounds()
    fetched = bytearray(broken(batch(0, ODD, "a")))
    fetched[-2] ^= 0x7F
    with pytest.raises(CorruptRecordException):
        read(bytes(fetched))
