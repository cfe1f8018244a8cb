"""What a worker reads once for all its lanes: each gets every record from its own position on, once and in order."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from consumers.runtime import reader as module
from consumers.runtime.reader import Reader
from producers.records import Record

EVENTS = TopicPartition("order.events", 0)
OTHERS = TopicPartition("order.events", 1)


class Consumer:
    """As aiokafka's: `assign` forgets positions, and a failed poll has moved those it had already taken from."""

    def __init__(self, **_: Any) -> None:
        self.logs: dict[TopicPartition, list[Any]] = {EVENTS: [], OTHERS: []}
        self.begins: dict[TopicPartition, int] = {}
        self.positions: dict[TopicPartition, int | None] = {}
        self.paused: set[TopicPartition] = set()
        self.fetched: list[int] = []
        self.failures = 0
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=self))

    def says(self, *texts: str, partition: TopicPartition = EVENTS) -> None:
        """Records for the log; an empty text is a marker, which nobody is given."""
        log = self.logs[partition]
        for text in texts:
            fields = {"topic": partition.topic, "partition": partition.partition, "key": None, "headers": ()}
            log.append(SimpleNamespace(offset=len(log), timestamp=0, value=text.encode(), **fields))

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.positions, self.paused = dict.fromkeys(partitions), set()

    def state_value(self, partition: TopicPartition) -> Any:
        position = self.positions.get(partition)
        return SimpleNamespace(position=position, has_valid_position=position is not None)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    def pause(self, partition: TopicPartition) -> None:
        self.paused.add(partition)

    def resume(self, partition: TopicPartition) -> None:
        self.paused.discard(partition)

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0.001)
        found: dict[TopicPartition, list[Any]] = {}
        for partition, position in self.positions.items():
            if position is not None and partition not in self.paused:
                if not self.begins.get(partition, 0) <= position <= len(self.logs[partition]):
                    raise OffsetOutOfRangeError({partition: position})
                rest = self.logs[partition][position:]
                self.positions[partition] = position + len(rest)
                found[partition] = [record for record in rest if record.value]
        self.fetched += [record.offset for records in found.values() for record in records]
        if self.failures and any(found.values()):
            self.failures -= 1
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "the name of a header of another partition's record")
        return {partition: records for partition, records in found.items() if records}


class Lane:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def take(self, records: list[Record]) -> None:
        self.heard += [(record.value or b"").decode() for record in records]


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    made = Consumer()
    monkeypatch.setattr(module, "BoundedConsumer", lambda **_: made)
    monkeypatch.setattr(module, "FAILED_POLL_PAUSE_SECONDS", 0.001)
    return made


async def comes_true(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():
            await asyncio.sleep(0.001)


async def test_what_two_lanes_hear_is_fetched_once(consumer: Consumer) -> None:
    reader, one, other = Reader({}), Lane(), Lane()
    shares = [reader.share(EVENTS, 0, lane.take) for lane in (one, other)]
    for share in shares:
        share.resume()
    await reader.start()
    consumer.says("a", "b")
    await comes_true(lambda: one.heard == ["a", "b"] == other.heard)
    assert reader.is_polling(30.0)
    await reader.stop()
    assert consumer.fetched == [0, 1]
    reader.polled_at -= 31.0
    assert not reader.is_polling(30.0)


async def test_who_is_further_on_is_given_nothing_twice_when_another_goes_back(consumer: Consumer) -> None:
    reader, early, late = Reader({}), Lane(), Lane()
    consumer.says("a", "b", "c")
    first = reader.share(EVENTS, 0, early.take)
    first.resume()
    await reader.start()
    await comes_true(lambda: early.heard == ["a", "b", "c"])
    second = reader.share(EVENTS, 1, late.take)
    second.resume()
    assert (first.position, second.position) == (3, 1)
    consumer.says("d")
    await comes_true(lambda: late.heard == ["b", "c", "d"])
    await reader.stop()
    assert early.heard == ["a", "b", "c", "d"]


async def test_a_share_begins_where_it_is_asked_to_and_takes_nothing_before_it_is_resumed(consumer: Consumer) -> None:
    reader, lane, other = Reader({}), Lane(), Lane()
    consumer.says("a", "b", "c")
    share = reader.share(EVENTS, 1, lane.take)
    reader.share(EVENTS, 0, other.take).resume()
    await reader.start()
    await comes_true(lambda: other.heard == ["a", "b", "c"])
    assert lane.heard == []
    share.resume()
    await comes_true(lambda: lane.heard == ["b", "c"])
    await reader.stop()


async def test_a_paused_share_loses_nothing_and_holds_up_nobody(consumer: Consumer) -> None:
    reader, full, other = Reader({}), Lane(), Lane()
    share = reader.share(EVENTS, 0, full.take)
    share.resume()
    reader.share(EVENTS, 0, other.take).resume()
    await reader.start()
    consumer.says("a")
    await comes_true(lambda: full.heard == ["a"])
    share.pause()
    consumer.says("b", "c")
    await comes_true(lambda: other.heard == ["a", "b", "c"])
    assert (full.heard, share.position) == (["a"], 1)
    share.resume()
    await comes_true(lambda: full.heard == ["a", "b", "c"])
    await reader.stop()
    assert other.heard == ["a", "b", "c"]


async def test_who_pauses_while_it_is_given_something_loses_nothing_and_takes_nothing_from_others(
    consumer: Consumer,
) -> None:
    reader, full, other = Reader({}), Lane(), Lane()

    def take(records: list[Record]) -> None:
        full.take(records)
        for share in shares:
            share.pause()

    shares = [reader.share(EVENTS, 0, take), reader.share(OTHERS, 0, take)]
    others = [reader.share(EVENTS, 0, other.take), reader.share(OTHERS, 0, other.take)]
    consumer.says("a")
    consumer.says("x", partition=OTHERS)
    for share in shares + others:
        share.resume()
    await reader.start()
    await comes_true(lambda: other.heard == ["a", "x"])
    assert full.heard == ["a"]
    for share in shares:
        share.resume()
    await comes_true(lambda: full.heard == ["a", "x"])
    consumer.says("b")
    await comes_true(lambda: other.heard == ["a", "x", "b"])
    await reader.stop()


async def test_a_partition_that_nobody_wants_is_not_fetched(consumer: Consumer) -> None:
    reader, lane, gone = Reader({}), Lane(), Lane()
    share = reader.share(OTHERS, 0, gone.take)
    share.resume()
    reader.share(EVENTS, 0, lane.take).resume()
    share.close()
    share.close()
    await reader.start()
    consumer.says("x", partition=OTHERS)
    consumer.says("a")
    await comes_true(lambda: lane.heard == ["a"])
    await reader.stop()
    assert gone.heard == []
    assert len(consumer.fetched) == 1


async def test_a_new_partition_moves_nobody(consumer: Consumer) -> None:
    reader, lane, new = Reader({}), Lane(), Lane()
    consumer.says("a", "b")
    reader.share(EVENTS, 0, lane.take).resume()
    await reader.start()
    await comes_true(lambda: lane.heard == ["a", "b"])
    reader.share(OTHERS, 0, new.take).resume()
    consumer.says("c")
    consumer.says("x", partition=OTHERS)
    await comes_true(lambda: new.heard == ["x"] and lane.heard == ["a", "b", "c"])
    await reader.stop()


async def test_a_marker_is_part_of_the_position_and_not_of_that_of_a_paused_share(consumer: Consumer) -> None:
    reader, lane, paused = Reader({}), Lane(), Lane()
    share, other = reader.share(EVENTS, 0, lane.take), reader.share(EVENTS, 0, paused.take)
    share.resume()
    await reader.start()
    consumer.says("a", "")
    await comes_true(lambda: share.position == 2)
    await reader.stop()
    assert (lane.heard, other.position) == (["a"], 0)


async def test_a_poll_that_fails_loses_no_record(consumer: Consumer) -> None:
    """aiokafka's fetched_records() moves positions as it drains partition after partition. If the next one raises (a
    header name that is no UTF-8, a bad CRC), what was drained is dropped, and its position has moved all the same."""
    reader, lane, other = Reader({}), Lane(), Lane()
    share = reader.share(EVENTS, 0, lane.take)
    share.resume()
    reader.share(OTHERS, 0, other.take).resume()
    consumer.failures = 2
    consumer.says("a", "b")
    consumer.says("x", partition=OTHERS)
    await reader.start()
    await comes_true(lambda: lane.heard == ["a", "b"] and other.heard == ["x"])
    await reader.stop()
    assert share.position == 2


def record(offset: int, text: str) -> Record:
    """What a neighbour has committed there."""
    return Record(EVENTS.topic, EVENTS.partition, offset, 0.0, None, text.encode(), ())


async def test_what_a_neighbour_has_committed_is_heard_at_once_and_not_again_when_the_log_brings_it(
    consumer: Consumer,
) -> None:
    reader, lane = Reader({}), Lane()
    share = reader.share(EVENTS, 0, lane.take)
    share.resume()
    reader.offer(EVENTS, 0, [record(0, "a"), record(1, "b")])
    assert (lane.heard, share.position) == (["a", "b"], 2)
    await reader.start()
    consumer.says("a", "b", "", "c")
    await comes_true(lambda: lane.heard == ["a", "b", "c"])
    await reader.stop()


async def test_what_does_not_come_next_waits_for_the_log_to_bring_it(consumer: Consumer) -> None:
    reader, behind, paused, level, late = Reader({}), Lane(), Lane(), Lane(), Lane()
    reader.share(EVENTS, 0, behind.take).resume()
    reader.share(EVENTS, 1, paused.take)
    reader.share(EVENTS, 1, level.take).resume()
    reader.share(EVENTS, 1, late.take, told_early=False).resume()
    reader.offer(EVENTS, 1, [record(1, "b")])
    assert (behind.heard, paused.heard, level.heard, late.heard) == ([], [], ["b"], [])
    await reader.start()
    consumer.says("a", "b")
    await comes_true(lambda: behind.heard == ["a", "b"] and late.heard == ["b"])
    await reader.stop()
    assert level.heard == ["b"]


async def test_a_partition_that_nobody_hears_may_be_offered_something(consumer: Consumer) -> None:
    reader, lane = Reader({}), Lane()
    share = reader.share(EVENTS, 0, lane.take)
    share.resume()
    share.close()
    reader.offer(EVENTS, 0, [record(0, "a")])
    reader.offer(OTHERS, 0, [record(0, "a")])
    assert lane.heard == []


async def test_who_pauses_while_it_is_offered_something_goes_on_behind_it(consumer: Consumer) -> None:
    reader, full, other = Reader({}), Lane(), Lane()

    def take(records: list[Record]) -> None:
        full.take(records)
        share.pause()

    share = reader.share(EVENTS, 0, take)
    share.resume()
    reader.share(EVENTS, 0, other.take).resume()
    consumer.says("a", "b")
    reader.offer(EVENTS, 0, [record(0, "a")])
    assert full.heard == ["a"] == other.heard
    await reader.start()
    await comes_true(lambda: other.heard == ["a", "b"])
    share.resume()
    await comes_true(lambda: full.heard == ["a", "b"])
    await reader.stop()


async def test_a_share_that_the_log_no_longer_has_is_told_so_and_the_others_go_on(consumer: Consumer) -> None:
    reader, lost, level, other = Reader({}), Lane(), Lane(), Lane()
    consumer.says("a", "b", "c", "d")
    consumer.says("x", partition=OTHERS)
    consumer.begins[EVENTS] = 3
    share = reader.share(EVENTS, 1, lost.take)
    going_on = reader.share(EVENTS, 3, level.take)
    for one in (share, going_on, reader.share(OTHERS, 0, other.take)):
        one.resume()
    await reader.start()
    await comes_true(lambda: level.heard == ["d"] and other.heard == ["x"])
    await comes_true(lambda: share.is_out_of_range)
    with pytest.raises(OffsetOutOfRangeError, match="1"):
        _ = share.position
    consumer.says("e")
    await comes_true(lambda: level.heard == ["d", "e"])
    assert (lost.heard, going_on.position) == ([], 5)
    # What a neighbour commits does not lead over the gap either.
    reader.offer(EVENTS, 1, [record(1, "f")])
    await reader.stop()
    assert lost.heard == []


async def test_a_share_behind_the_end_of_the_log_is_told_so(consumer: Consumer) -> None:
    reader, lane = Reader({}), Lane()
    consumer.says("a", "b")
    share = reader.share(EVENTS, 1_000, lane.take)
    share.resume()
    await reader.start()
    await comes_true(lambda: share.is_out_of_range)
    await reader.stop()
    assert lane.heard == []


async def test_a_paused_share_that_the_log_no_longer_has_is_told_so_when_it_goes_on(consumer: Consumer) -> None:
    reader, lane = Reader({}), Lane()
    consumer.says("a", "b", "c")
    share = reader.share(EVENTS, 0, lane.take)
    await reader.start()
    consumer.begins[EVENTS] = 2
    assert share.position == 0
    share.resume()
    await comes_true(lambda: share.is_out_of_range)
    await reader.stop()
    assert lane.heard == []


async def test_each_partition_has_a_position_as_soon_as_it_is_assigned(consumer: Consumer) -> None:
    reader, lane = Reader({}), Lane()
    reader.share(EVENTS, 0, lane.take).resume()
    reader.share(OTHERS, 0, lane.take)
    assert consumer.positions == {EVENTS: 0, OTHERS: 0}
