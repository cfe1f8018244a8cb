"""A batch is unpacked within the bound, or one record stands for it; on real bytes, read as aiokafka reads a fetch."""

import ast
import logging
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder

import producers
from producers import bounded_batches
from producers.bounded_batches import BATCH_BYTES_MAX, Poll, current_poll
from producers.bounded_consumer import BoundedConsumer, read_within_bounds
from producers.skipped_batches import Skipped, skipped_in
from tests.unit.producers.bombs import (
    WAYS,
    gzip,
    lz4_unsized,
    packed,
    plain,
    sealed,
    xerial,
    zstd_declaring,
    zstd_unsized,
)

PLACE = TopicPartition("order.commands", 0)
ZEROS = bytes(BATCH_BYTES_MAX)

each_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(autouse=True)
def bounded_fetcher() -> Iterator[None]:
    before = fetcher.MemoryRecords, fetcher.PartitionRecords
    read_within_bounds()
    yield
    fetcher.MemoryRecords, fetcher.PartitionRecords = before


def partition(fetched: bytes, offset: int = 0, aborted: Any = None) -> Any:
    """The records as the fetcher makes them of its answer."""
    records = fetcher.MemoryRecords(fetched)
    return fetcher.PartitionRecords(PLACE, records, aborted, offset, None, None, True, fetcher.READ_COMMITTED)


def told(record: ConsumerRecord) -> bytes | tuple[int, int] | None:
    """The record's value, or which offsets it stands for."""
    skipped = skipped_in(record.value)
    return record.value if skipped is None else (skipped.first_offset, skipped.last_offset)


def read(fetched: bytes, offset: int = 0, aborted: Any = None) -> list[tuple[int, bytes | tuple[int, int] | None]]:
    return [(record.offset, told(record)) for record in partition(fetched, offset, aborted)]


def bomb(first: int, way: str = "zstd without", producer_id: int = -1) -> bytes:
    """Three records, the second larger than the bound."""
    codec, _, compress = WAYS[way]
    return packed(plain(first, b"a", ZEROS, b"c", producer_id=producer_id), codec, compress)


@each_way
def test_a_batch_within_the_bound_is_read_as_if_it_were_not_compressed(way: str) -> None:
    codec, _, compress = WAYS[way]
    batch = plain(5, b"five", b"six" * 1_000, header="ce_id")
    compressed = packed(batch, codec, compress)
    assert compressed != batch
    assert [*partition(compressed)] == [*partition(batch)]


@each_way
def test_one_record_stands_for_a_bomb_and_what_is_around_it_is_read(way: str) -> None:
    records = partition(plain(5, b"five") + bomb(6, way) + plain(9, b"nine"))
    found = list(records)
    assert [(one.offset, told(one)) for one in found] == [(5, b"five"), (8, (6, 8)), (9, b"nine")]
    assert records.next_fetch_offset == 10
    stand_in, (_, codec, _) = found[1], WAYS[way]
    size = len(bomb(6, way))
    skipped = skipped_in(stand_in.value)
    assert skipped is not None and skipped.is_too_large
    assert skipped == Skipped(6, 8, 3, codec, size, True, skipped.why)
    assert str(skipped) in str(stand_in.value) and f"offsets 6 to 8, {size} bytes of codec {codec}" in str(skipped)
    assert (stand_in.key, stand_in.timestamp) == (None, 1_002)


def test_the_skip_is_logged_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        read(bomb(6))
    (line,) = [one.__dict__ for one in caplog.records if one.message == "records.batch_skipped"]
    assert [line[name] for name in ("topic", "partition", "first_offset", "last_offset", "codec")] == [
        *PLACE,
        6,
        8,
        "zstd",
    ]


def test_no_publisher_can_write_the_record_that_stands_for_a_batch() -> None:
    (stand_in,) = partition(bomb(0))
    (forged,) = partition(plain(0, bytes(stand_in.value), header=stand_in.headers[0][0]))
    assert forged.value == stand_in.value and skipped_in(forged.value) is None


def test_a_batch_that_is_not_compressed_is_skipped_above_the_same_bound() -> None:
    assert read(plain(0, b"a" * (BATCH_BYTES_MAX - 100)))[0][1] == b"a" * (BATCH_BYTES_MAX - 100)
    assert read(plain(0, ZEROS) + plain(1, b"one")) == [(0, (0, 0)), (1, b"one")]


def test_a_compressed_batch_that_only_claims_to_be_huge_is_skipped() -> None:
    lying = packed(plain(0, b"a", b"b"), 4, lambda data: zstd_declaring(data, 1 << 40))
    assert read(lying + plain(2, b"two")) == [(1, (0, 1)), (2, b"two")]


@pytest.mark.parametrize(
    ("codec", "compress", "why"),
    [
        (1, lambda data: gzip(data) + b"garbage", "it is no gzip"),
        (3, lambda data: b"\x10\xff" * 50, "it is no lz4"),
        (4, lambda data: zstd_unsized(data)[:-20], "Can't read"),
        (6, bytes, "no consumer knows the codec 6"),
        (2, lambda data: xerial(data)[:-3], "it is no snappy"),
    ],
    ids=["gzip and garbage", "no lz4", "zstd cut off", "unknown codec", "a block cut off"],
)
def test_a_batch_that_nothing_can_unpack_is_skipped_where_its_checksum_is_right(
    codec: int, compress: Any, why: str
) -> None:
    unreadable = packed(plain(0, b"a" * 500, b"b" * 500), codec, compress)
    found = list(partition(unreadable + plain(2, b"two")))
    skipped = skipped_in(found[0].value)
    assert skipped is not None and not skipped.is_too_large and why in skipped.why
    assert [one.offset for one in found] == [1, 2]


def test_what_can_be_read_of_a_batch_is_not_told_of_as_skipped() -> None:
    short = bytearray(packed(plain(0, b"a" * 500, b"b" * 500), 4, zstd_unsized))
    # It says to have three records and has two.
    struct.pack_into(">i", short, 23, 2)
    struct.pack_into(">i", short, 57, 3)
    assert read(sealed(short) + plain(3, b"three")) == [(0, b"a" * 500), (1, b"b" * 500), (2, (2, 2)), (3, b"three")]


def test_a_bomb_whose_checksum_is_wrong_is_an_error_and_fetched_again() -> None:
    damaged = bytearray(bomb(0))
    damaged[-1] ^= 1
    with pytest.raises(CorruptRecordException, match="CRC"):
        read(bytes(damaged))
    assert read(sealed(damaged)) == [(2, (0, 2))]


def test_a_bomb_of_an_aborted_transaction_is_not_even_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = bomb(0, producer_id=7) + plain(3, b"three")
    assert [offset for offset, _ in read(fetched)] == [2, 3]
    monkeypatch.setattr(bounded_batches, "unpacked", lambda *_: pytest.fail("it was unpacked"))
    assert read(fetched, aborted=[(7, 0)]) == [(3, b"three")]


def test_reading_may_begin_inside_of_a_batch() -> None:
    codec, _, compress = WAYS["lz4 without"]
    assert read(packed(plain(5, b"a", b"b", b"c"), codec, compress), offset=6) == [(6, b"b"), (7, b"c")]
    assert read(bomb(5), offset=6) == [(7, (5, 7))]


def odd_name(batch: bytes) -> bytes:
    """The same with one header name that is no UTF-8."""
    assert b"odd_name" in batch
    return sealed(batch.replace(b"odd_name", b"odd\xff\xfe\xff\xfe\xff", 1))


@each_way
def test_the_bound_holds_as_well_where_header_names_are_no_utf8(way: str) -> None:
    codec, _, compress = WAYS[way]
    odd = odd_name(plain(0, b"zero", header="odd_name"))
    good = packed(odd_name(plain(4, b"four", header="odd_name")), codec, compress)
    assert read(odd + bomb(1, way) + good) == [(0, b"zero"), (3, (1, 3)), (4, b"four")]


class InOnePoll:
    """What is read inside counts as one poll of a consumer."""

    def __enter__(self) -> Poll:
        poll = Poll()
        self.token = current_poll.set(poll)
        return poll

    def __exit__(self, *error: object) -> None:
        current_poll.reset(self.token)


@pytest.mark.parametrize("odd", [False, True], ids=["as usual", "with an odd header name"])
def test_a_poll_ends_early_when_it_has_unpacked_enough_and_the_next_one_goes_on_there(odd: bool) -> None:
    half = bytes(BATCH_BYTES_MAX // 2 + 1)
    batches = [odd_name(plain(0, b"zero", header="odd_name")) if odd else plain(0, b"zero")]
    batches += [packed(plain(first, half), 4, zstd_unsized) for first in range(1, 6)]
    position, polls = 0, []
    while position < 6:
        with InOnePoll():
            records = partition(b"".join(batches[position:]), position)
            polls.append([record.offset for record in records])
            position = records.next_fetch_offset
    assert polls == [[0, 1, 2], [3, 4], [5]]


def test_what_was_skipped_costs_a_poll_as_much_as_the_largest_batch() -> None:
    with InOnePoll() as poll:
        assert read(bomb(0) + bomb(3) + plain(6, b"six")) == [(2, (0, 2))]
        assert poll.unpacked_bytes == BATCH_BYTES_MAX
        # Another partition gets nothing in this poll, and is not moved on.
        other = partition(plain(0, b"zero"))
        assert (list(other), other.next_fetch_offset) == ([], 0)


async def test_each_poll_of_a_consumer_is_counted_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Poll] = []

    async def spend(*_: Any, **__: Any) -> dict[Any, Any]:
        seen.append(current_poll.get())
        seen[-1].unpacked_bytes += 1
        return {}

    monkeypatch.setattr("aiokafka.AIOKafkaConsumer.getmany", spend)
    consumer = BoundedConsumer(bootstrap_servers="127.0.0.1:1")
    await consumer.getmany()
    await consumer.getmany()
    await consumer.stop()
    assert [poll.unpacked_bytes for poll in seen] == [1, 1] and current_poll.get(None) is None


LEGACY = [(0, "gzip"), (0, "snappy"), (1, "gzip"), (1, "snappy"), (1, "lz4")]


def wrapped(magic: Any, codec: str, first: int, *values: bytes) -> bytes:
    """Messages of an old format in one compressed message, as aiokafka's builder writes them."""
    builder = LegacyRecordBatchBuilder(magic, {"gzip": 1, "snappy": 2, "lz4": 3}[codec], 1 << 30)
    # The offsets inside are counted from the first one since magic 1.
    for offset, value in enumerate(values, start=0 if magic else first):
        builder.append(offset, 1_000, b"k", value)
    made = bytearray(builder.build())
    # A broker gives the outer message the offset of the last one in it.
    made[0:8] = (first + len(values) - 1).to_bytes(8, "big")
    return bytes(made)


@pytest.mark.parametrize(("magic", "codec"), LEGACY)
def test_the_old_formats_have_the_same_bound(magic: int, codec: str) -> None:
    good = wrapped(magic, codec, 2, b"a" * 500, b"b" * 500)
    assert read(wrapped(magic, codec, 0, b"a", ZEROS) + good) == [(1, (1, 1)), (2, b"a" * 500), (3, b"b" * 500)]


def test_lz4_of_the_first_format_which_nothing_reads_is_skipped() -> None:
    inner = LegacyRecordBatchBuilder(0, 0, 1 << 30)
    inner.append(0, 1_000, b"k", b"a" * 500)
    value = lz4_unsized(bytes(inner.build()))
    outer = LegacyRecordBatchBuilder(0, 0, 1 << 30)
    outer.append(0, 1_000, None, value)
    made = outer.build()
    made[17] = 3
    struct.pack_into(">I", made, 12, zlib.crc32(made[16:]))
    assert read(bytes(made)) == [(0, (0, 0))]


def test_every_consumer_of_this_program_is_bounded() -> None:
    # The one class that rests on aiokafka's, and the one that bounds it.
    assert _naming("AIOKafkaConsumer") == {"producers/brokers.py"}
    assert _naming("Consumer") - {"producers/brokers.py"} == {"producers/bounded_consumer.py"}


def _naming(name: str) -> set[str]:
    root = Path(producers.__file__).parents[1]
    return {
        str(file.relative_to(root))
        for folder in ("producers", "consumers", "compensations", "deploy")
        for file in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Name | ast.Attribute | ast.alias) and _name_of(node) == name
    }


def _name_of(node: ast.Name | ast.Attribute | ast.alias) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else node.name
