"""Where a partition goes on, and what is missing of it: nothing is skipped without a gap."""

from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from consumers.clickhouse.checking import FILLED_ROWS_AT_ONCE, contiguous
from consumers.clickhouse.gaps import (
    DELETED,
    EVERY_TARGET,
    EXCESS,
    LOST_ITS_END,
    MADE_ANEW,
    PARTIAL,
    TABLE_LOST,
    Bookmark,
    Gap,
    Lack,
    Span,
    Start,
    StoredBatch,
    deleted_of,
    holes_in,
    partial_in,
    start_of,
)

PLACE = TopicPartition("campaign.status", 1)
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def mark(log_id: str, checked: int, after_seconds: int = 0) -> Bookmark:
    return Bookmark(log_id, checked, checked, NOW + timedelta(seconds=after_seconds))


def batch(first: int, last: int, rows: int = 0, sent: int = 0, log_id: str = "A") -> StoredBatch:
    return StoredBatch(first, last, NOW, True, log_id, rows, sent)


def test_a_partition_never_seen_begins_where_its_log_begins() -> None:
    assert start_of(PLACE, [], {}, "A", 7, 90) == Start("A", 7, 7)


def test_it_goes_on_after_the_last_stored_batch_and_compares_from_the_bookmark_on() -> None:
    assert start_of(PLACE, [mark("A", 10)], {"A": batch(15, 20)}, "A", 0, 90) == Start("A", 10, 21)
    assert start_of(PLACE, [mark("A", 10)], {}, "A", 0, 90) == Start("A", 10, 10)


def test_a_bookmark_is_enough_where_old_rows_were_dropped() -> None:
    assert start_of(PLACE, [mark("A", 500)], {}, "A", 3, 500).next_offset == 500


def test_rows_of_a_sink_that_knew_no_ids_are_gone_on_with() -> None:
    old = {"": batch(0, 9, log_id="")}
    assert start_of(PLACE, [], old, "A", 0, 30) == Start("", 10, 10)
    assert start_of(PLACE, [mark("", 10)], {"": batch(10, 19, log_id="")}, "A", 0, 30) == Start("", 10, 20)


def test_what_was_deleted_before_it_was_read_is_jumped_over_and_left_to_the_comparison() -> None:
    start = start_of(PLACE, [mark("A", 10)], {"A": batch(15, 20)}, "A", 40, 90)
    assert start == Start("A", 10, 40)
    (hole,) = holes_in(Span(PLACE, "A", 10, 40), [batch(10, 14), batch(15, 20)])
    gap = deleted_of(Span(PLACE, "A", 10, 40), hole, 40)
    assert gap is not None
    assert gap[:6] == (PLACE, "A", EVERY_TARGET, 21, 39, DELETED)


def test_a_log_that_lost_its_end_becomes_another_log_and_says_what_it_lost() -> None:
    start = start_of(PLACE, [mark("A", 50)], {"A": batch(50, 59)}, "A", 0, 30)
    assert (start.log_id, start.checked_up_to, start.next_offset) == ("A~1", 30, 30)
    assert start.gaps[0][:6] == (PLACE, "A", EVERY_TARGET, 30, 59, LOST_ITS_END)
    again = start_of(PLACE, [mark("A", 50, 9), mark("A~1", 40)], {"A~1": batch(40, 44, log_id="A~1")}, "A", 0, 30)
    assert (again.log_id, again.gaps[0].first, again.gaps[0].last) == ("A~2", 30, 44)


def test_a_topic_made_again_is_read_from_its_beginning_and_the_old_one_is_reported() -> None:
    marks = [mark("A", 50), mark("Z", 3, -9)]
    start = start_of(PLACE, marks, {"A": batch(50, 59)}, "B", 2, 900)
    assert (start.log_id, start.checked_up_to, start.next_offset) == ("B", 2, 2)
    assert start.gaps[0][:6] == (PLACE, "A", EVERY_TARGET, 60, None, MADE_ANEW)
    assert start_of(PLACE, [*marks, mark("B", 5, -99)], {}, "B", 2, 900) == Start("B", 5, 5)


def test_rows_that_went_with_their_table_are_a_gap() -> None:
    lost = mark("A", 50)._replace(began_at=7, in_these_messages=False)
    start = start_of(PLACE, [lost], {}, "A", 0, 90)
    assert (start.checked_up_to, start.next_offset) == (50, 50)
    assert [gap[:6] for gap in start.gaps] == [(PLACE, "A", "messages", 7, 49, TABLE_LOST)]
    assert start_of(PLACE, [lost._replace(began_at=50)], {}, "A", 0, 90).gaps == ()


def test_without_topic_ids_the_newest_log_is_gone_on_with() -> None:
    assert start_of(PLACE, [mark("A", 5), mark("B", 7, 1)], {}, "", 0, 90) == Start("B", 7, 7)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), max_size=20), st.integers(0, 4), st.randoms())
def test_holes_and_batches_together_are_the_whole_span(
    pieces: list[tuple[int, int]], tail: int, chance: object
) -> None:
    batches: list[StoredBatch] = []
    holes: list[int] = []
    offset = 100
    for gap, size in pieces:
        if gap:
            holes += range(offset, offset + gap)
        batches.append(batch(offset + gap, offset + gap + size - 1))
        offset += gap + size
    holes += range(offset, offset + tail)
    chance.shuffle(batches)  # type: ignore[attr-defined]
    found = [
        one for first, last in holes_in(Span(PLACE, "A", 100, offset + tail), batches) for one in range(first, last + 1)
    ]
    assert found == holes


@pytest.mark.parametrize(("rows", "cause"), [(9, PARTIAL), (20, EXCESS)])
def test_a_batch_that_is_there_in_part_or_twice_is_a_gap(rows: int, cause: str) -> None:
    span = Span(PLACE, "A", 0, 10)
    (gap,) = partial_in(span, [batch(0, 9, rows, 10)])
    assert gap[:6] == (PLACE, "A", "messages", 0, 9, cause)
    assert not list(partial_in(span, [batch(0, 9, 10, 10), batch(10, 19, 7, 0)]))


def test_nothing_is_deleted_of_a_hole_that_the_log_still_has() -> None:
    span = Span(PLACE, "A", 0, 10)
    assert deleted_of(span, (3, 5), 3) is None
    gap = deleted_of(span, (3, 5), 5)
    assert isinstance(gap, Gap)
    assert (gap.first, gap.last) == (3, 4)


def test_batches_that_follow_each_other_are_filled_together_and_others_are_not() -> None:
    batches = {(PLACE, "A", first): batch(first, first + 9) for first in (0, 10, 30, 40)}
    lacks = [
        Lack("t", PLACE, "A", first, rows, 0) for first, rows in ((0, 1), (10, 1), (30, FILLED_ROWS_AT_ONCE), (40, 1))
    ]
    spans = [(span.first, span.end) for _, span in contiguous(lacks, batches)]
    assert spans == [(0, 20), (30, 40), (40, 50)]
