"""A lane whose position does not fit the log stays closed, says why, and opens once it has another one."""

import asyncio
import logging

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from consumers.runtime import lane as lanes
from consumers.runtime.participant import shown_offsets
from consumers.runtime.transport import FIRST_POSITION_KEY, POSITION_KEY, Position
from tests.unit.consumers.runtime.small_saga import STORE
from tests.unit.consumers.runtime.test_lane import opening, prompt
from tests.unit.consumers.runtime.wire import Line, until

EVENTS, STATE = "order.events", "order.state"
COMMAND = "soma topics apply --reset order.store --partition 0 --from beginning|now"


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FIRST_LOOK_AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(lanes, "LOOK_AGAIN_SECONDS_MAX", 0.002)
    monkeypatch.setattr(lanes, "FENCED_PAUSE_SECONDS", 0.001)


def store(position: Position | None) -> Line:
    """A lane of the store that is about to open from this position."""
    line = Line(STORE, prompt)
    line.wire.state = {} if position is None else {POSITION_KEY: msgspec.msgpack.encode(position)}
    line.wire.stable[EVENTS] = 10
    return line


async def begins(line: Line) -> None:
    """Let it run; it need not open."""
    line.life = asyncio.create_task(line.lane.run())


@pytest.mark.parametrize(
    ("offset", "log_start", "cause"),
    [(1_000, 0, "has position 1000 in order.events, which ends at 10"), (3, 5, "which begins at 5")],
)
async def test_a_lane_whose_position_is_not_in_the_log_stays_closed_until_it_is_reset(
    offset: int, log_start: int, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    line = store(Position({EVENTS: offset}, clean=True))
    line.wire.starts[EVENTS] = log_start
    await begins(line)
    await until(lambda: line.lane.logs.position_lost)
    looks = line.wire.looks
    await until(lambda: line.wire.looks > looks + 5)
    assert cause in line.lane.logs.position_lost and COMMAND in line.lane.logs.position_lost
    assert not line.lane.is_live and not line.lane.is_ready and cause in line.lane.trouble
    # Nothing is read, restored again or committed meanwhile, and the cause is logged once.
    assert (line.wire.opened, line.wire.commits) == (1, 0)
    told = [one for one in caplog.records if one.message == "lane.position_lost"]
    assert [one.__dict__["lane"] for one in told] == ["order.store.0"]

    line.wire.resets(Position({EVENTS: 7}, clean=True))
    await until(lambda: line.lane.is_live)
    assert line.lane.logs.position_lost == "" and line.wire.heard == {EVENTS: 7}
    await line.__aexit__()


async def test_a_lane_opens_by_itself_where_the_log_has_its_position_again() -> None:
    line = store(Position({EVENTS: 12}, clean=True))
    await begins(line)
    await until(lambda: line.lane.logs.position_lost)
    line.wire.stable[EVENTS] = 12
    await until(lambda: line.lane.is_live)
    await line.__aexit__()


@pytest.mark.parametrize("key", [POSITION_KEY, FIRST_POSITION_KEY])
async def test_a_position_that_cannot_be_read_is_lost_and_the_first_one_does_not_stand_in_for_it(key: str) -> None:
    line = store(None)
    line.wire.state = {FIRST_POSITION_KEY: msgspec.msgpack.encode(Position({EVENTS: 0}))} | {key: b"\xc1 garbage"}
    await begins(line)
    await until(lambda: line.lane.logs.position_lost)
    assert "cannot be read" in line.lane.logs.position_lost and COMMAND in line.lane.logs.position_lost
    assert (line.wire.commits, line.lane.last_error) == (0, None)
    line.wire.resets(Position({EVENTS: 7}, clean=True))
    await until(lambda: line.lane.is_live)
    await line.__aexit__()


async def test_a_lane_that_cannot_look_looks_again() -> None:
    line = store(Position({EVENTS: 12}, clean=True))
    await begins(line)
    await until(lambda: line.lane.logs.position_lost)
    failures = 3

    def fails() -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionError("no broker answers")

    line.wire.before_logs = fails
    line.wire.resets(Position({EVENTS: 10}, clean=True))
    await until(lambda: line.lane.is_live)
    assert failures == 0
    await line.__aexit__()


async def test_a_lane_without_a_position_stays_closed() -> None:
    line = store(None)
    await begins(line)
    await until(lambda: line.lane.logs.position_lost)
    assert "has no position" in line.lane.logs.position_lost and COMMAND in line.lane.logs.position_lost
    await line.__aexit__()
    assert line.life is not None and line.life.done() and line.life.exception() is None


async def test_a_lane_that_stays_closed_ends_when_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FIRST_LOOK_AGAIN_SECONDS", 3_600.0)
    monkeypatch.setattr(lanes, "LOOK_AGAIN_SECONDS_MAX", 3_600.0)
    line = store(None)
    await begins(line)
    await until(lambda: line.lane.logs.position_lost)
    await line.lane.stop(0.0)
    assert line.life is not None
    await until(line.life.done)


async def test_the_first_position_counts_where_there_is_no_other_whenever_it_is_written() -> None:
    first = msgspec.msgpack.encode(Position({EVENTS: 10}, clean=True))
    line = store(None)
    line.wire.state[FIRST_POSITION_KEY] = first
    async with line:
        assert line.wire.heard == {EVENTS: 10}
        line.hears(*opening())
        await until(lambda: POSITION_KEY in line.wire.state and line.wire.position.offsets == {EVENTS: 11})
    again = store(line.wire.position)
    again.wire.stable[EVENTS] = 11
    # Another worker that starts for the first time writes it late, behind a live position.
    again.wire.state[FIRST_POSITION_KEY] = first
    async with again:
        assert again.wire.heard == {EVENTS: 11}


async def test_the_identity_of_the_logs_is_committed_with_the_position() -> None:
    line = store(Position({EVENTS: 10}, clean=True))
    line.wire.cluster_id, line.wire.topic_ids = "cluster-1", {EVENTS: "e-1", STATE: "s-1"}
    line.wire.starts[STATE] = 6
    async with line:
        await until(lambda: line.wire.commits)
        written = line.wire.position
        assert (written.cluster_id, written.topic_ids, written.state_start) == (
            "cluster-1",
            {EVENTS: "e-1", STATE: "s-1"},
            6,
        )


@pytest.mark.parametrize("topic", [EVENTS, STATE])
async def test_a_lane_notices_while_it_runs_that_a_topic_was_made_again(topic: str) -> None:
    line = store(Position({EVENTS: 10}, clean=True))
    line.wire.topic_ids = {EVENTS: "e-1", STATE: "s-1"}
    async with line:
        await until(lambda: line.wire.commits)
        line.lane.compare("", dict(line.wire.topic_ids))
        line.wire.topic_ids[topic] = "x"
        commits = line.wire.commits
        line.lane.compare("", dict(line.wire.topic_ids))
        await until(lambda: line.lane.logs.position_lost)
        assert "was deleted, and made again" in line.lane.logs.position_lost
        # What was read of the other log is not committed.
        assert line.wire.commits == commits


async def test_a_lane_notices_while_it_runs_that_the_cluster_is_another_one() -> None:
    line = store(Position({EVENTS: 10}, clean=True))
    line.wire.cluster_id = "cluster-1"
    async with line:
        await until(lambda: line.wire.commits)
        line.wire.cluster_id = "cluster-2"
        line.lane.compare("cluster-2", {})
        await until(lambda: "this is the cluster cluster-2" in line.lane.logs.position_lost)


async def test_a_lane_notices_while_it_runs_that_the_log_no_longer_has_its_position() -> None:
    line = store(Position({EVENTS: 10}, clean=True))
    async with line:
        await until(lambda: line.wire.commits)
        line.wire.starts[EVENTS] = 12
        line.wire.stable[EVENTS] = 12
        line.wire.out_of_range = OffsetOutOfRangeError({TopicPartition(EVENTS, 0): 10})
        await until(lambda: "which begins at 12" in line.lane.logs.position_lost)
        line.wire.out_of_range = None
        line.wire.resets(Position({EVENTS: 12}, clean=True))
        await until(lambda: line.lane.is_live and not line.lane.logs.position_lost)


async def test_why_a_position_is_lost_stands_beside_the_offsets_of_the_group() -> None:
    place = TopicPartition(EVENTS, 0)
    line = store(Position({EVENTS: 1_000}, clean=True))
    await begins(line)
    await until(lambda: line.lane.logs.position_lost)
    (offset, cause) = shown_offsets(0, line.lane, (EVENTS,))[place]
    assert offset == 0 and COMMAND in cause
    line.wire.resets(Position({EVENTS: 10}, clean=True))
    await until(lambda: line.lane.is_live and line.lane.committed_offsets())
    assert shown_offsets(0, line.lane, (EVENTS,)) == {place: (10, "")}
    await line.__aexit__()


async def test_a_lane_that_has_read_more_than_there_is_notices_it() -> None:
    line = store(Position({EVENTS: 10}, clean=True))
    async with line:
        await until(lambda: line.wire.commits)
        line.lane.compare_ends(line.lane.read_up_to(), {EVENTS: 10, STATE: 1})
        await until(lambda: line.lane.is_ready)
        line.wire.heard[EVENTS] = 0
        line.wire.stable[EVENTS] = 4
        line.lane.compare_ends({EVENTS: 10}, {EVENTS: 4, STATE: 1})
        await until(lambda: "which ends at 4" in line.lane.logs.position_lost)


async def test_an_idle_lane_whose_state_another_client_writes_opens_again() -> None:
    line = store(Position({EVENTS: 10}, clean=True))
    async with line:
        await until(lambda: line.lane.is_ready)
        read = line.lane.read_up_to()
        # The marker of its last transaction comes later.
        for end in (20, 21, 21):
            line.lane.compare_ends(read, {EVENTS: 10, STATE: end})
        # What it writes itself moves the end as well.
        line.hears(*opening())
        await until(lambda: line.wire.position.offsets == {EVENTS: 11})
        for end in (25, 26, 26):
            line.lane.compare_ends(read, {EVENTS: 11, STATE: end})
            # Raises where the lane is to open again.
            line.lane.logs.check()
        assert line.lane.is_ready and line.wire.opened == 1
        line.wire.resets(Position({EVENTS: 11}, clean=True))
        line.lane.compare_ends(read, {EVENTS: 11, STATE: 27})
        await until(lambda: line.wire.opened == 2 and line.lane.is_live)
