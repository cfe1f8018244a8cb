"""A lane: what it holds is bounded, what runs may end when it stops, and an error of its own opens it anew."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from itertools import count

import msgspec
import pytest

from consumers.runtime import lane as lanes
from consumers.runtime.finishing import Blocked, Broke, Outcome, Spoke, Waits
from consumers.runtime.ledger import Ledger
from consumers.runtime.memory import Work
from consumers.runtime.transport import POSITION_KEY, Position
from schemas.engine import StepResumed
from tests.unit.consumers.runtime.bench import EVERYBODY, SAGA, Bench
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    STORE,
    CancelOrder,
    LabelPrinted,
    OrderCancelled,
    OrderOpened,
    StockReserved,
)
from tests.unit.consumers.runtime.wire import Line, Places, until

EVENTS, COMMANDS = "order.events", "order.commands"


def opening(number: int = 1) -> tuple[OrderOpened, str, str]:
    """A saga's first fact, its id and its source."""
    return OrderOpened(saga_id=f"o-{number}", participants=EVERYBODY), f"opening {number}", DESK


async def prompt(work: Work) -> Outcome:
    """Steps that succeed at once."""
    saga = work.journal.saga_id
    found = {"reserve_stock": StockReserved(saga_id=saga), "print_label": LabelPrinted(saga_id=saga)}
    return Spoke(found.get(work.owner.name))


async def endless(work: Work) -> Outcome:
    """Steps that never end."""
    await asyncio.Event().wait()
    return Spoke(None)


async def test_what_is_said_is_committed_without_delay(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(lanes, "HEARD_COMMIT_SECONDS", 3_600.0)
    async with Line(STORE, prompt) as line:
        (opened,) = [one.__dict__ for one in caplog.records if one.message == "lane.open"]
        assert (opened["lane"], opened["ending"], opened["offsets"]) == ("order.store.0", "crashed", {EVENTS: 0})
        line.hears(*opening())
        await until(lambda: sorted(line.wire.types) == ["order.label.printed", "order.stock.reserved"])


async def test_a_lane_that_looks_for_an_input_takes_more_with_each_transaction() -> None:
    async with Line(STORE, prompt) as line:
        line.lane._isolation.at_once = 4
        line.hears(*opening())
        await until(lambda: (line.lane._isolation.at_once or 0) > 4)


async def test_an_idle_lane_commits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "IDLE_SECONDS", 0.001)
    monkeypatch.setattr(lanes, "HEARD_COMMIT_SECONDS", 0.0)
    async with Line(STORE, prompt) as line:
        await until(lambda: line.lane.is_ready)
        turns, commits = count(), line.wire.commits
        monkeypatch.setattr(line.lane.memory, "fire", lambda now: next(turns))
        await until(lambda: next(turns) > 100)
        assert line.wire.commits == commits


async def test_a_timer_fires_when_it_is_due_though_nothing_else_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "IDLE_SECONDS", 3_600.0)
    monkeypatch.setattr(lanes, "HEARD_COMMIT_SECONDS", 3_600.0)
    starts = count(1)

    async def waits_once(work: Work) -> Outcome:
        return Waits(time.time() + 0.05) if next(starts) <= 2 else await prompt(work)

    async with Line(STORE, waits_once) as line:
        line.hears(*opening())
        await until(lambda: len(line.wire.types) == 2)


async def test_a_lane_restores_what_its_state_holds_beside_the_sagas(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    monkeypatch.setattr(Ledger, "load_other", lambda self, key, value: loaded.append((key, value)))
    state = {POSITION_KEY: msgspec.msgpack.encode(Position({}, clean=True)), "flow/f": b"its flow"}
    async with Line(STORE, prompt, state=state):
        assert loaded == [("flow/f", b"its flow")]


async def test_a_lane_that_is_lost_is_not_live_and_pauses_before_it_opens_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Line(STORE, prompt) as line:
        monkeypatch.setattr(line.lane._isolation, "lost", lambda error: 3_600.0)
        line.wire.out_of_range = OSError("Kafka is gone")
        line.hears(*opening())
        await until(lambda: line.wire.closed == 1)
        for _ in range(100):
            await asyncio.sleep(0)
        assert (line.wire.opened, line.lane.is_live) == (1, False)
        (lost,) = [one.__dict__ for one in caplog.records if one.message == "lane.lost"]
        assert (lost["lane"], lost["pause_seconds"], lost["at_once"]) == ("order.store.0", 3_600.0, None)
        assert "Kafka is gone" in lost["error"]
        assert line.life is not None
        line.life.cancel()


async def test_a_lane_tells_up_to_where_it_has_read_before_it_commits_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "HEARD_COMMIT_SECONDS", 3_600.0)
    line = Line(STORE, endless)
    assert not line.lane.is_full
    async with line:
        line.hears(*opening())
        await until(lambda: line.lane.read_up_to() == {EVENTS: 1})
        assert line.lane.committed_offsets() == {EVENTS: 0}


async def test_a_lane_that_gets_on_forgets_how_it_was_lost() -> None:
    async with Line(STORE, prompt) as line:
        line.lane._isolation.lost(OSError("Kafka is gone"))
        assert line.lane._isolation._losses == 1
        line.hears(*opening())
        await until(lambda: line.lane._isolation._losses == 0)


async def test_a_door_that_is_full_fetches_no_more_commands_but_all_events_until_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "BACKLOG_BYTES_MAX", 60_000)
    places = Places(is_open=False)
    async with Line(DESK, prompt, places) as desk:
        for number in range(100):
            desk.hears(CancelOrder(saga_id=f"o-{number}"), f"cancel {number}")
        await until(lambda: desk.wire.paused)
        assert desk.wire.paused == {COMMANDS}
        assert desk.lane.is_full
        # Without a saga there is nothing to ask a step for.
        places.is_open = True
        await until(lambda: not desk.wire.paused)
        assert not desk.lane.is_full
    assert desk.wire.types.count("order.command.refused") == 100


async def test_a_lane_that_is_full_fetches_no_more_until_half_of_it_has_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "BACKLOG_BYTES_MAX", 60_000)
    places = Places(is_open=False)
    async with Line(STORE, prompt, places) as store:
        for number in range(5):
            store.hears(*opening(number))
        await until(store.lane.memory.is_held_back)
        assert store.wire.paused == set()
        for number in range(5, 50):
            store.hears(*opening(number))
        await until(lambda: store.wire.paused == {EVENTS})
        places.is_open = True
        await until(lambda: store.wire.paused == set())
        await until(lambda: store.wire.types.count("order.stock.reserved") == 50)


async def test_what_a_lane_has_caught_up_with_counts_as_its_backlog(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "BACKLOG_BYTES_MAX", 60_000)
    places = Places(is_open=False)
    store = Line(STORE, prompt, places)
    store.wire.stable[EVENTS] = 100
    async with store:
        for number in range(100):
            store.hears(*opening(number))
        await until(lambda: store.wire.paused == {EVENTS})
        places.is_open = True
        await until(lambda: store.wire.types.count("order.stock.reserved") == 100)


async def test_more_records_than_can_be_heard_at_once_are_left_with_kafka() -> None:
    async with Line(STORE, prompt) as store:
        for number in range(lanes.QUEUED_RECORDS_MAX + 1):
            store.hears(*opening(number))
        assert store.wire.paused == {EVENTS}
        await until(lambda: store.wire.paused == set(), seconds=30)


async def test_a_door_whose_sagas_all_wait_reads_their_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "BACKLOG_BYTES_MAX", 60_000)
    waited: list[str] = []

    async def waiting(work: Work) -> Outcome:
        if work.owner.name == "cancel_order":
            return Spoke(OrderCancelled(saga_id=work.journal.saga_id))
        waited.append(work.journal.saga_id)
        return Waits(time.time() + 3_600)

    async with Line(DESK, waiting) as desk:
        for number in range(200):
            desk.hears(*opening(number))
        await until(lambda: len(waited) == 200 and desk.wire.position.offsets.get(EVENTS) == 200)
        assert desk.wire.paused == set()
        desk.hears(CancelOrder(saga_id="o-7"), "cancel")
        await until(lambda: "order.cancelled" in desk.wire.types)


async def test_a_door_that_is_full_judges_its_commands_though_the_log_has_more_behind_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "BACKLOG_BYTES_MAX", 60_000)
    places = Places(is_open=False)
    async with Line(DESK, prompt, places) as desk:
        desk.wire.stable[COMMANDS] = 1_000_000
        for number in range(100):
            desk.hears(CancelOrder(saga_id=f"o-{number}"), f"cancel {number}")
        await until(lambda: desk.wire.paused == {COMMANDS})
        places.is_open = True
        await until(lambda: desk.wire.types.count("order.command.refused") == 100)
        await until(lambda: not desk.wire.paused)


async def test_sagas_behind_an_open_breaker_keep_no_other_from_being_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "BACKLOG_BYTES_MAX", 60_000)
    called: list[str] = []

    async def noted(work: Work) -> Outcome:
        called.append(work.owner.name)
        return places.downs.get(work.owner.name) or await prompt(work)

    places = Places()
    places.downs["reserve_stock"] = Blocked("Shelves is down", time.time() + 2.0)
    async with Line(STORE, noted, places) as store:
        for number in range(200):
            store.hears(*opening(number))
        await until(lambda: store.wire.types.count("order.label.printed") == 200)
        await until(lambda: store.wire.types.count("order.step.delayed") == 200)
        assert store.wire.paused == set()
        # Each was tried once: a step may do without the dependency.
        assert Counter(called) == {"print_label": 200, "reserve_stock": 200}
        places.downs.clear()
        store.hears(*opening(200))
        await until(lambda: store.wire.types.count("order.stock.reserved") == 201)


async def test_a_paused_step_lets_a_lane_hear_that_it_goes_on_however_much_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "BACKLOG_BYTES_MAX", 60_000)
    causes = {"reserve_stock": "it failed", "print_label": "it failed"}
    state = {POSITION_KEY: msgspec.msgpack.encode(Position({}, paused=causes))}
    async with Line(STORE, prompt, state=state) as store:
        for number in range(100):
            store.hears(*opening(number))
        await until(lambda: store.wire.position.offsets.get(EVENTS) == 100)
        assert store.wire.paused == set() and store.wire.types == []
        for step in causes:
            store.hears(StepResumed(saga_id="o-1", participant=STORE, step=step), f"resumed {step}", DESK)
        await until(lambda: len(store.wire.types) == 200)


async def test_a_step_that_was_paused_is_paused_in_the_lanes_next_life() -> None:
    async def failing(work: Work) -> Outcome:
        return Broke("OSError", "no paper", permanent=True) if work.owner.name == "print_label" else Spoke(None)

    async with Line(STORE, failing) as store:
        for number in range(10):
            store.hears(*opening(number))
        await until(lambda: "order.step.paused" in store.wire.types)
    assert list(store.wire.position.paused) == ["print_label"]
    async with Line(STORE, prompt, former=store.wire) as later:
        later.hears(*opening(11))
        await until(lambda: "order.stock.reserved" in later.wire.types)
        assert list(later.lane.memory.paused()) == ["print_label"]
        later.hears(StepResumed(saga_id="o-1", participant=STORE, step="print_label"), "resumed", DESK)
        await until(lambda: "order.label.printed" in later.wire.types)
        await until(lambda: not later.wire.position.paused)


async def test_what_runs_when_a_lane_stops_has_its_time_to_end_and_is_committed() -> None:
    go_on = asyncio.Event()

    async def slow(work: Work) -> Outcome:
        await go_on.wait()
        return await prompt(work)

    places = Places()
    store = Line(STORE, slow, places)
    async with store:
        store.hears(*opening())
        await until(lambda: places.taken == 2)
        await store.lane.stop(drain_seconds=5.0)
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        assert store.life is not None
        await asyncio.wait_for(asyncio.shield(store.life), 4)
    assert sorted(store.wire.types) == ["order.label.printed", "order.stock.reserved"]
    assert store.wire.position.clean


async def test_what_runs_longer_than_the_drain_is_cancelled_and_runs_again_in_the_next_life() -> None:
    places = Places()
    async with Line(STORE, endless, places) as store:
        store.hears(*opening())
        await until(lambda: places.taken == 2)
        await store.lane.stop(drain_seconds=0.02)
        assert store.life is not None
        await asyncio.wait_for(asyncio.shield(store.life), 4)
    assert (places.taken, store.wire.types, store.wire.position.clean) == (0, [], True)
    async with Line(STORE, prompt, former=store.wire) as later:
        await until(lambda: len(later.wire.types) == 2)


async def test_nothing_starts_in_a_lane_that_is_stopping() -> None:
    places = Places(is_open=False)
    async with Line(STORE, endless, places) as store:
        store.hears(*opening())
        await until(store.lane.memory.is_held_back)
        await store.lane.stop(drain_seconds=0.05)
        places.is_open = True
        assert store.life is not None
        await asyncio.wait_for(asyncio.shield(store.life), 4)
    assert places.taken == 0


async def test_a_transaction_that_fails_beside_the_lane_ends_its_life_and_nothing_is_lost() -> None:
    places = Places()
    async with Line(STORE, prompt, places) as store:
        store.wire.before_commit = fails_at(2)
        store.hears(*opening())
        await until(lambda: store.wire.opened == 2 and store.lane.is_live)
        store.hears(*opening())
        await until(lambda: len(store.wire.types) == 2)
    assert sorted(store.wire.types) == ["order.label.printed", "order.stock.reserved"]
    assert places.taken == 0


async def test_a_lane_looks_soon_whether_a_barrier_is_reached_for_a_marker_moves_it_and_wakes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Line(DESK, prompt) as desk:
        assert desk.lane._patience() > lanes.BARRIER_POLL_SECONDS
        monkeypatch.setattr(desk.lane.memory, "is_waiting", lambda: True)
        assert desk.lane._patience() == lanes.BARRIER_POLL_SECONDS


async def test_a_question_that_fails_beside_the_lane_ends_its_life() -> None:
    async with Line(DESK, prompt) as desk:

        def fails() -> None:
            desk.wire.before_ends = lambda: None
            raise OSError("Kafka is gone")

        desk.wire.before_ends = fails
        desk.hears(CancelOrder(saga_id="nobody"), "cancel")
        await until(lambda: desk.wire.opened == 2)


async def test_a_suspect_whose_commit_fails_gives_its_place_back() -> None:
    bench = Bench(STORE)
    bench.opens()
    bench.starts()
    bench.commit()
    state = {f"saga/{SAGA}": bench.state[SAGA], POSITION_KEY: msgspec.msgpack.encode(Position({}, owner="a dead one"))}
    places = Places()
    store = Line(STORE, prompt, places, state)
    # The first one is that of the opening; the second must be there before a suspect starts.
    store.wire.before_commit = fails_at(2)
    async with store:
        await until(lambda: len(store.wire.types) == 2)
        assert store.wire.opened == 2
        assert places.taken == 0


async def test_a_lane_that_ends_while_it_tries_a_suspect_lets_the_other_lanes_try_theirs() -> None:
    bench = Bench(STORE)
    bench.opens()
    bench.starts()
    bench.commit()
    dead = Position({}, owner="a dead one", unclean=2)
    state = {f"saga/{SAGA}": bench.state[SAGA], POSITION_KEY: msgspec.msgpack.encode(dead)}
    async with Line(STORE, endless, state=state) as store:
        await until(store.lane.host.suspect.locked)
    assert not store.lane.host.suspect.locked()


async def test_a_question_of_a_lost_life_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = asyncio.Event()

    async def hangs() -> dict[str, int]:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        return {}

    async with Line(DESK, prompt) as desk:
        monkeypatch.setattr(desk.wire, "ends", hangs)
        desk.hears(CancelOrder(saga_id="o-9"), "cancel")
        await until(lambda: desk.lane._question.is_busy)
        desk.wire.out_of_range = OSError("Kafka is gone")
        await until(given_up.is_set)
        desk.wire.out_of_range = None


async def test_a_lane_that_looks_for_an_input_takes_all_that_ends_while_it_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What `stop` is told counts.
    monkeypatch.setattr(lanes, "REVOKED_DRAIN_SECONDS", 0.0)
    may_end = asyncio.Event()

    async def held(work: Work) -> Outcome:
        await may_end.wait()
        return await prompt(work)

    places = Places()
    async with Line(STORE, held, places) as store:
        store.hears(*opening())
        await until(lambda: places.taken == 2)
        store.lane._isolation.at_once = 1
        await store.lane.stop(5.0)
        asyncio.get_running_loop().call_later(0.02, may_end.set)
        assert store.life is not None
        await store.life
    assert sorted(store.wire.types) == ["order.label.printed", "order.stock.reserved"]
    assert store.wire.position.clean


async def test_a_lane_that_is_cancelled_leaves_nothing_running_behind() -> None:
    places, stopped = Places(), []

    async def noted(work: Work) -> Outcome:
        try:
            return await endless(work)
        finally:
            stopped.append(work.owner.name)

    async with Line(STORE, noted, places) as store:
        store.hears(*opening())
        await until(lambda: places.taken == 2)
        assert store.life is not None
        store.life.cancel()
        await asyncio.gather(store.life, return_exceptions=True)
        assert sorted(stopped) == ["print_label", "reserve_stock"]
        assert (places.taken, store.wire.closed) == (0, 1)


async def test_a_command_waits_until_the_log_shows_all_that_its_lane_has_heard() -> None:
    async with Line(DESK, prompt) as desk:
        desk.hears(*opening())
        desk.wire.hidden = 1
        desk.hears(CancelOrder(saga_id="o-1"), "cancel")
        asked = desk.wire.questions
        await until(lambda: desk.wire.questions > asked + 3)
        assert desk.lane.memory.startable(time.time(), 1) == []
        desk.wire.hidden = 0
        await until(lambda: not desk.lane.memory.is_waiting() and desk.wire.types)


async def test_what_a_dead_lanes_neighbours_had_decided_is_heard_before_anything_starts_again() -> None:
    bench = Bench(STORE)
    bench.opens()
    bench.starts()
    bench.commit()
    state = {f"saga/{SAGA}": bench.state[SAGA], POSITION_KEY: msgspec.msgpack.encode(Position({}, owner="a dead one"))}
    places = Places()
    store = Line(STORE, endless, places, state)
    store.wire.stable[EVENTS], store.wire.hidden = 1, 1
    async with store:
        await until(lambda: store.wire.heard)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert (places.taken, store.wire.commits) == (0, 0)
        store.hears(*opening(2))
        await until(lambda: places.taken)
        assert store.wire.heard[EVENTS] == 1


def fails_at(number: int) -> Callable[[int], None]:
    """A commit of this number fails."""

    def before(commit: int) -> None:
        if commit == number:
            raise OSError("Kafka is gone")

    return before
