"""The sink's loop against a Kafka and a store that misbehave on command."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from consumers.clickhouse.batches import Limits
from consumers.clickhouse.errors import PartitionTaken
from consumers.clickhouse.gaps import Bookmark, Lack, Span
from consumers.clickhouse.metrics import SinkMetrics
from consumers.clickhouse.sink import Options, Sink
from tests.unit.consumers.clickhouse.fakes import FIRST, SECOND, FakeCluster, FakeSource, FakeStore, records, stored

pytestmark = pytest.mark.asyncio
NOW = datetime(2026, 11, 28, tzinfo=UTC)
LIMITS = Limits(rows=10, size_bytes=100_000, after_seconds=0.01)


class World:
    """A sink with its surroundings."""

    def __init__(self, log: dict[TopicPartition, list[object]], options: Options | None = None) -> None:
        self.source = FakeSource(log)  # type: ignore[arg-type]
        self.store = FakeStore()
        self.registry = CollectorRegistry()
        self.ready = 0
        chosen = options or Options(limits=LIMITS, retry_after_seconds_most=0.01, stop_within_seconds=1.0)
        metrics = SinkMetrics(self.registry)
        self.cluster = FakeCluster(self.source)
        self.sink = Sink(self.source, self.cluster, self.store, ["campaign.events"], metrics, chosen, self.say_ready)

    def say_ready(self) -> None:
        self.ready += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.sink.run())
        yield
        await self.sink.stop()
        await asyncio.wait_for(task, 15)

    async def until(self, is_so: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not is_so():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.002)

    def has(self, partition: TopicPartition, count: int) -> bool:
        return self.store.offsets(partition) == list(range(count))

    def sample(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def world(first: int = 25, second: int = 7, options: Options | None = None) -> World:
    return World({FIRST: [*records(0, first)], SECOND: [*records(0, second)]}, options)


async def test_every_record_of_every_partition_is_sent_in_batches_and_committed_on_stop() -> None:
    here = world()
    async with here.running():
        await here.until(lambda: here.has(FIRST, 25) and here.has(SECOND, 7))
        assert here.ready == 1
    assert here.source.committed == {FIRST: 25, SECOND: 7}
    assert here.source.stopped
    assert "campaign.events:0:0-9" in here.store.batches
    assert here.sample("soma_sink_rows_total", table="messages", result="stored") == 32


async def test_while_the_store_is_away_nothing_is_lost_and_memory_stays_bounded() -> None:
    options = Options(limits=LIMITS, held_bytes_most=10_000, retry_after_seconds_most=0.01)
    here = World({FIRST: [], SECOND: []}, options)
    here.source.getmany = slowly(here.source)  # type: ignore[method-assign, assignment]
    async with here.running():
        await here.until(lambda: here.ready)
        here.store.is_away = True
        here.source.log |= {FIRST: records(0, 500, size=100), SECOND: records(0, 500, size=100)}
        await here.until(lambda: here.source.paused == {FIRST, SECOND} and len(here.store.sent) > 10)
        held = sum(feed.held_bytes for feed in here.sink.assignment.feeds.values())
        assert held < 20_000
        assert len(set(here.store.sent)) == 2
        assert (here.sample("soma_sink_buffer_rows") or 0) > 0
        here.store.is_away = False
        await here.until(lambda: here.has(FIRST, 500) and here.has(SECOND, 500))


def slowly(source: FakeSource) -> Callable[..., object]:
    """Ten records a turn, as a real consumer gives only what it has fetched."""
    whole = source.getmany

    async def getmany(*, timeout_ms: int, max_records: int) -> object:
        return await whole(timeout_ms=timeout_ms, max_records=10)

    return getmany


async def test_a_lost_answer_repeats_the_same_batch_under_the_same_token() -> None:
    here = world(first=5, second=0)
    here.store.loses_answers = 3
    async with here.running():
        await here.until(lambda: len(here.store.sent) == 4)
    assert here.store.sent == ["campaign.events:0:0-4"] * 4
    assert here.sample("soma_sink_rows_total", table="messages", result="retried") == 15


async def test_the_last_batch_is_replayed_and_reading_goes_on_after_it() -> None:
    here = world(first=30, second=9)
    here.store.last = {FIRST: stored(10, 19), SECOND: stored(0, 3, known=False)}
    async with here.running():
        await here.until(lambda: here.store.offsets(FIRST)[-1:] == [29] and here.store.offsets(SECOND)[-1:] == [8])
    assert here.store.sent[0] == "campaign.events:0:10-19"
    assert here.store.offsets(FIRST) == list(range(10, 30))
    assert here.store.offsets(SECOND) == list(range(4, 9))


async def test_the_partition_is_claimed_and_others_inserts_awaited_before_its_position_is_read() -> None:
    here = world()
    here.store.orphans = 3
    async with here.running():
        await here.until(lambda: here.ready)
    assert here.store.asked[:6] == ["claim", "running", "running", "running", "bookmarks", "last"]


async def test_a_revoked_partition_is_let_go_of_only_when_its_insert_has_ended() -> None:
    here = world(second=0)
    here.store.gate.clear()
    async with here.running():
        await here.until(lambda: here.sink.assignment.feeds and here.sink.assignment.feeds[FIRST].in_flight)
        revoking = asyncio.create_task(here.source.assign(SECOND))
        await asyncio.sleep(0.02)
        assert not revoking.done()
        here.store.gate.set()
        await revoking
        assert here.store.sent == ["campaign.events:0:0-9"]
        await here.until(lambda: here.ready == 2)
    assert here.store.sent == ["campaign.events:0:0-9"]


async def test_a_revoked_partition_is_not_retried_while_the_store_is_away() -> None:
    here = world()
    async with here.running():
        await here.until(lambda: here.has(FIRST, 25) and here.has(SECOND, 7))
        here.store.is_away = True
        here.source.log[FIRST] += records(25, 5)
        await here.until(lambda: "campaign.events:0:25-29" in here.store.sent)
        await asyncio.wait_for(here.source.assign(SECOND), 5)
        here.store.is_away = False
        await here.until(lambda: here.ready == 2)
        assert not any(token.startswith("campaign.events:0:25") for token in here.store.batches)


async def test_it_opens_when_the_store_comes_back() -> None:
    here = world()
    here.store.is_away = True
    async with here.running():
        await here.until(lambda: len(here.store.asked) > 5)
        assert not here.ready
        here.store.is_away = False
        await here.until(lambda: here.has(FIRST, 25))


async def test_what_is_gathered_when_it_is_stopped_is_stored_first() -> None:
    here = world(options=Options(limits=Limits(rows=10, after_seconds=3_600)))
    async with here.running():
        await here.until(lambda: here.has(FIRST, 20))
    assert here.has(FIRST, 25)
    assert here.has(SECOND, 7)


async def test_it_stops_in_time_though_the_store_is_away() -> None:
    here = world()
    async with here.running():
        await here.until(lambda: here.ready)
        here.store.is_away = True
        here.source.log[FIRST] += records(25, 5)
    assert not here.source.committed.get(FIRST, 0) > 25


async def test_a_refusal_that_repeating_does_not_help_ends_the_sink() -> None:
    here = world()

    def refuse(_: object) -> None:
        raise PartitionTaken("campaign.events:0 belongs to another sink now")

    here.store.insert = refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(PartitionTaken):
        await asyncio.wait_for(here.sink.run(), 10)
    assert here.source.stopped


def checking(**more: object) -> Options:
    """Rounds without a pause between them."""
    return Options(LIMITS, retry_after_seconds_most=0.01, stop_within_seconds=1.0, check_every_seconds=0.0, **more)  # type: ignore[arg-type]


async def test_an_insert_that_succeeded_and_stored_nothing_is_found_and_read_again_from_kafka() -> None:
    here = world(first=25, second=0, options=checking())
    here.store.swallows = 2
    async with here.running():
        await here.until(lambda: sorted(here.store.offsets(FIRST)) == list(range(25)))
        await here.until(lambda: here.store.marks[FIRST][0].checked_up_to == 25)
    assert here.cluster.read_again
    assert here.store.gaps == []
    assert here.sample("soma_sink_filled_batches_total", target="messages")


async def test_what_vanished_and_kafka_deleted_since_is_a_gap_with_its_offsets() -> None:
    here = world(first=25, second=0, options=checking())
    here.store.swallows = 1
    here.source.begins[FIRST] = 4
    here.source.log[FIRST] = here.source.log[FIRST][4:]
    here.store.marks[FIRST] = [Bookmark("", 0, 0, NOW)]
    async with here.running():
        await here.until(lambda: here.store.marks[FIRST][0].checked_up_to == 25)
    assert [(gap.first, gap.last, gap.cause) for gap in here.store.gaps] == [(0, 3, "deleted_before_read")]
    assert sorted(here.store.offsets(FIRST)) == list(range(4, 25))
    assert here.sample("soma_sink_gaps_total", target="messages", cause="deleted_before_read") == 1


async def test_deletion_ahead_of_a_running_sink_is_a_gap_of_one_partition_and_stops_no_other() -> None:
    here = world(first=10, second=7, options=checking())
    async with here.running():
        await here.until(lambda: here.has(FIRST, 10) and here.has(SECOND, 7))
        here.source.begins[FIRST] = 40
        here.source.log[FIRST] = records(40, 5)
        here.source.log[SECOND] += records(7, 3)
        await here.until(lambda: here.store.offsets(FIRST)[-1:] == [44] and here.has(SECOND, 10))
        await here.until(lambda: here.store.gaps)
        await here.until(lambda: here.store.marks[FIRST][0].checked_up_to == 45)
    assert [gap[:6] for gap in here.store.gaps] == [(FIRST, "", "*", 10, 39, "deleted_before_read")]


async def test_a_topic_made_again_under_a_running_sink_is_read_from_its_beginning() -> None:
    here = world(first=10, second=0, options=checking())
    here.cluster.ids["campaign.events"] = "A"
    async with here.running():
        await here.until(lambda: here.has(FIRST, 10))
        here.source.log[FIRST] = records(0, 3)
        here.cluster.ids["campaign.events"] = "B"
        await here.until(lambda: here.store.offsets(FIRST) == [*range(10), *range(3)])
    assert [token for token in here.store.batches if token.startswith("campaign.events:0")] == [
        "campaign.events:0:0-9@A",
        "campaign.events:0:0-2@B",
    ]
    gaps = [gap for gap in here.store.gaps if gap.partition == FIRST]
    assert [(gap.log_id, gap.first, gap.last, gap.cause) for gap in gaps] == [("A", 10, None, "topic_made_again")]


async def test_a_log_that_seems_to_end_too_early_is_believed_only_after_a_while() -> None:
    here = world(first=10, second=0, options=checking(believe_after_seconds=5.0))
    here.store.marks[FIRST] = [Bookmark("", 20, 20, NOW)]
    async with here.running():
        await here.until(lambda: "last" in here.store.asked)
        here.source.log[FIRST] += records(10, 15)
        await here.until(lambda: here.store.offsets(FIRST) == list(range(20, 25)))
    assert here.store.gaps == []


async def test_a_log_that_lost_its_end_goes_on_as_another_log() -> None:
    here = world(first=10, second=0, options=checking(believe_after_seconds=0.0))
    here.store.marks[FIRST] = [Bookmark("", 20, 20, NOW)]
    async with here.running():
        await here.until(lambda: here.ready)
        here.source.log[FIRST] += records(10, 3)
        await here.until(lambda: here.store.offsets(FIRST) == [10, 11, 12])
    assert [gap[1:6] for gap in here.store.gaps] == [("", "*", 10, 19, "log_lost_its_end")]
    assert "campaign.events:0:10-12@~1" in here.store.batches


async def test_a_table_that_lacks_a_batch_is_filled_by_its_token_or_from_messages_where_that_is_forgotten() -> None:
    here = world(first=10, second=0, options=checking())
    async with here.running():
        await here.until(lambda: here.has(FIRST, 10))
        here.store.lacks = [Lack("dead_rows", FIRST, "", 0, 5, 0)]
        here.source.log[FIRST] += records(10, 1)
        await here.until(lambda: here.store.sent.count("campaign.events:0:0-9") == 2)
        here.store.oldest_known = lambda: datetime(2099, 1, 1, tzinfo=UTC)  # type: ignore[method-assign]
        here.store.lacks = [Lack("dead_rows", FIRST, "", 0, 5, 0), Lack("step_durations", FIRST, "", 0, 5, 4)]
        here.source.log[FIRST] += records(11, 1)
        await here.until(lambda: here.store.filled)
    assert here.store.filled == [("dead_rows", Span(FIRST, "", 0, 10))]
    assert here.store.sent.count("campaign.events:0:0-9") == 2
    assert [gap[2:6] for gap in here.store.gaps] == [("step_durations", 0, 9, "rows_missing_in_batch")]


async def test_offsets_without_records_behind_the_last_one_count_as_read() -> None:
    here = world(first=10, second=0, options=checking())
    async with here.running():
        await here.until(lambda: here.has(FIRST, 10))
        here.source.positions[FIRST] = 14
        await here.until(lambda: here.store.marks[FIRST][0].checked_up_to == 14)
        here.source.log[FIRST] += records(16, 2)
        await here.until(lambda: "campaign.events:0:14-17" in here.store.batches)
        await here.until(lambda: here.store.marks[FIRST][0].checked_up_to == 18)
    assert not here.cluster.read_again


async def test_a_partition_that_no_sink_reads_has_the_group_balanced_again() -> None:
    here = world(options=checking())
    async with here.running():
        await here.until(lambda: here.ready)
        assert here.cluster.joined_again == 0
        here.cluster.lacking = (TopicPartition("new.events", 0),)
        await here.until(lambda: here.cluster.joined_again)
        assert here.sample("soma_sink_unread_partitions") == 1


async def test_while_batches_are_missing_the_bookmark_stays_before_them() -> None:
    here = world(first=25, second=0, options=checking())
    here.store.swallows = 10_000
    async with here.running():
        await here.until(lambda: len(here.cluster.read_again) > 3)
        assert here.store.marks[FIRST][0].checked_up_to == 0
        here.store.swallows = 0
        await here.until(lambda: sorted(here.store.offsets(FIRST)) == list(range(25)))


async def test_a_sink_that_is_given_a_partition_that_its_topic_no_longer_has_joins_again_and_opens_nothing() -> None:
    here = world()
    here.cluster.gone = {SECOND}
    async with here.running():
        await here.until(lambda: here.cluster.joined_again)
        assert here.ready == 0
        here.cluster.gone = set()
        await here.source.assign(FIRST, SECOND)
        await here.until(lambda: here.has(FIRST, 25) and here.has(SECOND, 7))
