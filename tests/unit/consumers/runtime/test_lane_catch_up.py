"""A lane reads its backlog in slices, starts nothing before its end, and closes clean only if it got there."""

import asyncio
import time
from itertools import pairwise

import msgspec
import pytest

from consumers.runtime import lane as lanes
from consumers.runtime.finishing import Outcome, Spoke
from consumers.runtime.memory import Work
from consumers.runtime.transport import POSITION_KEY, Position
from tests.unit.consumers.runtime.small_saga import DESK, STORE, OrderExpired, OrderOpened
from tests.unit.consumers.runtime.test_lane import EVENTS, endless, opening, prompt
from tests.unit.consumers.runtime.wire import Line, Places, until

CRASHED = Position({EVENTS: 0}, owner="a dead one", unclean=2, state_start=0)
CLEAN = Position({EVENTS: 0}, clean=True, owner="the former one", state_start=0)


def line(position: Position, backlog: int) -> Line:
    """A lane at this position, behind which so many records stand."""
    made = Line(STORE, endless, Places(), {POSITION_KEY: msgspec.msgpack.encode(position)})
    made.wire.stable[EVENTS] = backlog
    return made


@pytest.mark.parametrize("position", [CRASHED, CLEAN])
async def test_a_life_that_is_stopped_while_it_catches_up_leaves_what_it_found(position: Position) -> None:
    store = line(position, backlog=5)
    async with store:
        store.hears(*opening())
    assert store.wire.position == msgspec.structs.replace(position, offsets={EVENTS: 1})
    assert store.wire.types == []


async def test_a_life_that_has_caught_up_closes_clean() -> None:
    async with line(CRASHED, backlog=1) as store:
        store.hears(*opening())
        await until(lambda: store.wire.commits)
    assert store.wire.position.clean
    assert store.wire.position.owner == "life"


async def test_a_backlog_larger_than_a_lane_may_hold_is_read_to_its_end_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "BACKLOG_BYTES_MAX", 10_000)
    store = line(CLEAN, backlog=100)
    places = store.room
    assert isinstance(places, Places)
    async with store:
        for number in range(99):
            store.hears(*opening(number))
        await until(lambda: store.lane.is_full)
        assert (store.wire.paused, places.taken) == (set(), 0)
        store.hears(*opening(99))
        await until(lambda: places.taken == 200)


async def test_a_backlog_is_committed_in_slices_and_nothing_of_it_starts_before_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "HEARD_AT_ONCE", 10)
    monkeypatch.setattr(lanes, "CAUGHT_UP_AT_ONCE", 20)
    store = line(CRASHED, backlog=101)
    touched: list[int] = []
    store.wire.before_commit = lambda number: touched.append(sum(key.startswith("saga/") for key in store.wire.state))
    places = store.room
    assert isinstance(places, Places)
    async with store:
        for number in range(100):
            store.hears(*opening(number))
        await until(lambda: store.wire.position.offsets == {EVENTS: 100})
        assert places.taken == 0
        assert store.lane.is_live and not store.lane.is_ready
        # What the former life has left unknown is as unknown to the next one, should this one crash now.
        assert msgspec.structs.replace(store.wire.position, offsets=CRASHED.offsets) == CRASHED
        assert store.wire.commits == 5
        assert [after - before for before, after in pairwise(touched)] == [20] * 4
        store.hears(*opening(100))
        await until(lambda: store.wire.position.owner == "life")
        assert store.lane.is_ready


async def test_a_position_never_passes_what_was_handed_over_and_not_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "HEARD_AT_ONCE", 7)
    async with Line(STORE, prompt) as store:
        commits: list[tuple[int, int]] = []

        def note(number: int) -> None:
            commits.append((store.lane._offsets[EVENTS], len(store.lane._queue)))

        store.wire.before_commit = note
        for number in range(100):
            store.hears(*opening(number))
        await until(lambda: store.wire.position.offsets == {EVENTS: 100})
        assert any(queued for _, queued in commits)
        assert all(position + queued <= 100 for position, queued in commits)
        await until(lambda: store.wire.types.count("order.stock.reserved") == 100)


async def test_other_tasks_have_their_turn_while_a_lane_reads_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "HEARD_AT_ONCE", 10)
    store = line(CLEAN, backlog=1_000)
    longest, turns = 0, 0

    async def others() -> None:
        nonlocal longest, turns
        while True:
            before = store.lane.memory.backlog_bytes()
            await asyncio.sleep(0)
            longest = max(longest, store.lane.memory.backlog_bytes() - before)
            turns += 1

    async with store:
        one = await _backlog_of_one(store)
        watching = asyncio.create_task(others())
        for number in range(1, 1_000):
            store.hears(*opening(number))
        await until(lambda: store.wire.position.owner == "life", seconds=20)
        watching.cancel()
    assert turns >= 100
    assert longest <= 10 * one * 1.1


async def _backlog_of_one(store: Line) -> int:
    store.hears(*opening(0))
    await until(store.lane.memory.backlog_bytes)
    return store.lane.memory.backlog_bytes()


async def test_a_saga_whose_end_stands_further_on_in_the_backlog_starts_no_step() -> None:
    started: list[str] = []

    async def noted(work: Work) -> Outcome:
        started.append(work.item.step)
        return Spoke(None)

    store = Line(STORE, noted, Places(), {POSITION_KEY: msgspec.msgpack.encode(CLEAN)})
    store.wire.stable[EVENTS] = 2
    async with store:
        store.hears(*opening())
        for _ in range(20):
            await asyncio.sleep(0.001)
        store.hears(OrderExpired(saga_id="o-1"), "expired", DESK)
        await until(lambda: store.wire.position.offsets == {EVENTS: 2})
    assert "reserve_stock" not in started and "print_label" not in started


async def test_intervals_are_measured_whatever_the_clock_does() -> None:
    moved = [0.0]
    store = Line(STORE, endless, Places())
    store.lane.host.clock = lambda: time.time() + moved[0]
    async with store:
        store.hears(*opening(1))
        await until(lambda: store.wire.position.offsets == {EVENTS: 1})
        moved[0] = -3_600.0
        # It changes nothing but the position; only the interval makes the lane commit it.
        store.hears(OrderOpened(saga_id="o-1"), "opening again", DESK)
        await until(lambda: store.wire.position.offsets == {EVENTS: 2})


async def test_what_a_broker_tells_of_its_clock_is_observed_with_the_moments_around_it() -> None:
    store, observed = Line(STORE, prompt), list[tuple[float, float, float]]()
    store.lane.host.observe = lambda *moments: observed.append(moments)
    before = time.monotonic()
    async with store:
        store.wire.appended_at = 1_234.5
        store.hears(*opening(1))
        await until(lambda: observed)
        at, asked, answered = observed[0]
        assert at == 1_234.5
        assert before <= asked <= answered <= time.monotonic()
