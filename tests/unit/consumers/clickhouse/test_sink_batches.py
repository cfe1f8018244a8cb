"""Gathering and cutting: nothing lost, nothing reordered, never too large."""

from collections.abc import Sequence
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from consumers.clickhouse.batches import COLUMNS, Batch, Gathering, Limits, StoredRecord, size_of

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def record(offset: int, size: int = 10) -> StoredRecord:
    return StoredRecord(offset, 0, b"", b"x" * size, ())


def gathered(sizes: Sequence[int], limits: Limits) -> Gathering:
    gathering = Gathering(limits)
    for offset, size in enumerate(sizes):
        gathering.add(record(offset, size), now=0.0)
    return gathering


@given(st.lists(st.integers(0, 500), max_size=60), st.integers(1, 20), st.integers(1, 1_500))
def test_batches_hold_every_record_once_in_order_and_within_the_limits(
    sizes: list[int], rows: int, size_bytes: int
) -> None:
    gathering = gathered(sizes, Limits(rows, size_bytes, 1.0))
    offsets = []
    while batch := gathering.cut(now=0.0):
        assert len(batch) <= rows
        assert len(batch) == 1 or sum(map(size_of, batch)) <= size_bytes
        offsets += [one.offset for one in batch]
    assert offsets == list(range(len(sizes)))
    assert (gathering.size_bytes, gathering.oldest_since) == (0, None)


def test_records_are_due_when_they_are_many_large_or_old() -> None:
    assert not Gathering(Limits()).is_due(now=1e9)
    few = gathered([10, 10], Limits(rows=3, size_bytes=10_000, after_seconds=2.0))
    assert not few.is_due(now=1.9)
    assert few.is_due(now=2.0)
    assert gathered([10, 10, 10], Limits(3, 10_000, 2.0)).is_due(now=0.0)
    assert gathered([10_000], Limits(3, 10_000, 2.0)).is_due(now=0.0)


def test_the_token_names_the_place_in_kafka() -> None:
    batch = Batch("campaign.events", 3, [record(5), record(9)], NOW)
    assert batch.token == "campaign.events:3:5-9"


def test_columns_are_in_the_order_of_their_names_and_bytes_stay_bytes() -> None:
    said = StoredRecord(5, 7, None, b"\xff", (("a", b"\xfe"), (b"a", None)))
    columns = dict(zip(COLUMNS, Batch("t", 1, [said], NOW).columns("me"), strict=True))
    assert (columns["_key"], columns["value"]) == ([None], [b"\xff"])
    assert (columns["header_names"], columns["header_values"]) == ([[b"a", b"a"]], [[b"\xfe", b""]])
    assert (columns["_b0"], columns["_b1"], columns["_owner"], columns["_ingested_at"]) == ([5], [5], ["me"], [NOW])
