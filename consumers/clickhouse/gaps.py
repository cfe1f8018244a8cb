"""Where a partition's log stands against what is stored of it. PURE: decides, asks nothing.

A log is one life of one partition: the topic's id, and `~n` behind it once the log has lost its end n times. Offsets of
one log mean nothing in another one. Nothing is skipped silently: each jump is a `Gap`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from aiokafka import TopicPartition

EVERY_TARGET = "*"
MESSAGES = "messages"

DELETED = "deleted_before_read"
MADE_ANEW = "topic_made_again"
LOST_ITS_END = "log_lost_its_end"
PARTIAL = "rows_missing_in_batch"
EXCESS = "rows_counted_twice"
TABLE_LOST = "table_made_again"


class Gap(NamedTuple):
    """What a target lacks and nothing fills. `last` None: where it ends is not known."""

    partition: TopicPartition
    log_id: str
    target: str
    first: int
    last: int | None
    cause: str
    detail: str


class Bookmark(NamedTuple):
    """Up to where a log is stored whole, from `began_at` on; `of_these_targets` likewise, in the tables as they are.

    `in_these_messages` is False where `messages` was dropped and made again since.
    """

    log_id: str
    checked_up_to: int
    of_these_targets: int
    said_at: datetime
    began_at: int = 0
    in_these_messages: bool = True


class StoredBatch(NamedTuple):
    """A batch as `messages` has it. `known` says whether its token is still remembered by every table.

    `rows` of `sent` are there; `sent` is 0 where the batch was stored by a sink that did not count.
    """

    first: int
    last: int
    ingested_at: datetime
    known: bool
    log_id: str = ""
    rows: int = 0
    sent: int = 0


class Span(NamedTuple):
    """The offsets of one log from `first` to before `end`."""

    partition: TopicPartition
    log_id: str
    first: int
    end: int


class Lack(NamedTuple):
    """A batch that one target has not as it should: `expected` rows or counted records, `found` of them."""

    target: str
    partition: TopicPartition
    log_id: str
    first: int
    expected: int
    found: int


class Start(NamedTuple):
    """Where to go on in a partition, and what had to be skipped."""

    log_id: str
    checked_up_to: int
    next_offset: int
    gaps: tuple[Gap, ...] = ()


def topic_id_of(log_id: str) -> str:
    """The topic's id in a log's."""
    return log_id.partition("~")[0]


def life_of(log_id: str) -> int:
    """How often the log had lost its end before."""
    return int(log_id.partition("~")[2] or 0)


def start_of(
    partition: TopicPartition,
    bookmarks: Sequence[Bookmark],
    stored: Mapping[str, StoredBatch],
    topic_id: str,
    begins: int,
    ends: int,
) -> Start:
    """Where to go on: after what is stored of this log, or where another log begins.

    `stored` has the last batch of each log from its bookmark on; the log "" is one whose topic had no known id.
    """
    mine = [mark for mark in bookmarks if topic_id in ("", topic_id_of(mark.log_id)) or not mark.log_id]
    if not mine and bookmarks:
        newest = max(bookmarks, key=lambda mark: mark.said_at)
        return made_anew(partition, newest, stored.get(newest.log_id), topic_id, begins)
    gaps: tuple[Gap, ...] = ()
    if mine:
        mark = max(mine, key=lambda one: (bool(one.log_id), life_of(one.log_id), one.said_at))
        log_id, checked = mark.log_id, mark.checked_up_to
        if not mark.in_these_messages and mark.began_at < checked:
            detail = f"the table {MESSAGES} was dropped and made again; an empty database is filled from Kafka"
            gaps = (Gap(partition, log_id, MESSAGES, mark.began_at, checked - 1, TABLE_LOST, detail),)
    else:
        log_id = topic_id if topic_id in stored or "" not in stored else ""
        checked = stored[log_id].last + 1 if log_id in stored else begins
    wanted = max(checked, stored[log_id].last + 1) if log_id in stored else checked
    if wanted < begins:
        # The comparison finds the hole, and says what it was.
        return Start(log_id, checked, begins, gaps)
    if wanted > ends:
        detail = f"stored up to {wanted - 1}, but Kafka's log ends at {ends}: its offsets from there on are used again"
        gap = Gap(partition, log_id, EVERY_TARGET, ends, wanted - 1, LOST_ITS_END, detail)
        return Start(f"{topic_id or topic_id_of(log_id)}~{life_of(log_id) + 1}", ends, ends, (*gaps, gap))
    return Start(log_id, checked, wanted, gaps)


def made_anew(partition: TopicPartition, mark: Bookmark, last: StoredBatch | None, topic_id: str, begins: int) -> Start:
    """The topic was deleted and made again: whatever the old one held after the stored part is gone."""
    wanted = max(mark.checked_up_to, last.last + 1) if last is not None else mark.checked_up_to
    detail = f"topic id {topic_id_of(mark.log_id)} is now {topic_id}; what the old topic held from {wanted} on is gone"
    gap = Gap(partition, mark.log_id, EVERY_TARGET, wanted, None, MADE_ANEW, detail)
    return Start(topic_id, begins, begins, (gap,))


def is_beyond(start: Start) -> bool:
    """Whether the log seems to end before what is stored; a new leader may say so for a moment."""
    return any(gap.cause == LOST_ITS_END for gap in start.gaps)


def holes_in(span: Span, batches: Iterable[StoredBatch]) -> Iterator[tuple[int, int]]:
    """The offsets of the span that no batch covers, as first and last; batches in any order."""
    expected = span.first
    for batch in sorted(batches, key=lambda one: one.first):
        if batch.first > expected:
            yield expected, batch.first - 1
        expected = max(expected, batch.last + 1)
    if expected < span.end:
        yield expected, span.end - 1


def partial_in(span: Span, batches: Iterable[StoredBatch]) -> Iterator[Gap]:
    """The batches of which `messages` holds fewer rows than were sent, or more."""
    for batch in batches:
        if batch.sent and batch.rows != batch.sent:
            cause = PARTIAL if batch.rows < batch.sent else EXCESS
            detail = f"{batch.rows} rows of {batch.sent}"
            yield Gap(span.partition, span.log_id, MESSAGES, batch.first, batch.last, cause, detail)


def deleted_of(span: Span, hole: tuple[int, int], begins: int) -> Gap | None:
    """The part of a hole that Kafka no longer keeps."""
    first, last = hole
    if begins <= first:
        return None
    detail = f"not in {MESSAGES}, and Kafka keeps it from {begins} on"
    return Gap(span.partition, span.log_id, EVERY_TARGET, first, min(last, begins - 1), DELETED, detail)


def gap_of(lack: Lack, last: int | None) -> Gap:
    """A batch of a derived table that is there in part, or more than once: no fill can mend it."""
    cause = PARTIAL if lack.found < lack.expected else EXCESS
    detail = f"{lack.found} counted, {lack.expected} expected"
    return Gap(lack.partition, lack.log_id, lack.target, lack.first, last, cause, detail)
