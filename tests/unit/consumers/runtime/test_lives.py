"""What a lane's life tells of itself, and what it takes over from the lives before it."""

import time

import msgspec

from consumers.runtime.broker_clock import BrokerClock
from consumers.runtime.finishing import Waits
from consumers.runtime.ledger import Ledger
from consumers.runtime.transport import POSITION_KEY, Position
from schemas.engine import StepFailed
from tests.unit.consumers.runtime.bench import SAGA, Bench
from tests.unit.consumers.runtime.small_saga import DESK, STORE, TILL, CancelOrder, OrderCleared, StockReserved
from tests.unit.consumers.runtime.test_lane import COMMANDS, EVENTS, endless, prompt
from tests.unit.consumers.runtime.wire import Line, until


async def test_a_lane_tells_up_to_where_its_last_transaction_had_heard() -> None:
    async with Line(DESK, prompt) as desk:
        assert desk.lane.committed_offsets() == {EVENTS: 0, COMMANDS: 0}
        desk.hears(CancelOrder(saga_id=SAGA), "cancel")
        await until(lambda: desk.lane.committed_offsets() == {EVENTS: 0, COMMANDS: 1})


async def test_a_life_after_a_clean_end_counts_no_crash_of_the_lives_before_it() -> None:
    former = Position({EVENTS: 0, COMMANDS: 0}, clean=True, owner="another", unclean=3)
    async with Line(DESK, prompt, state={POSITION_KEY: msgspec.msgpack.encode(former)}) as desk:
        await until(lambda: desk.wire.commits)
        assert desk.wire.position.unclean == 0


async def test_a_life_after_a_crash_counts_it_with_those_before_it() -> None:
    former = Position({EVENTS: 0, COMMANDS: 0}, owner="another", unclean=3)
    async with Line(DESK, prompt, state={POSITION_KEY: msgspec.msgpack.encode(former)}) as desk:
        await until(lambda: desk.wire.position.owner == "life")
        assert desk.wire.position.unclean == 4


def test_an_item_that_waits_a_second_time_needs_a_second_barrier() -> None:
    desk = Bench(DESK)
    desk.opens()
    assert "expire_order" in desk.starts()
    for _ in range(2):
        desk.ends("expire_order", Waits(desk.now + 60))
        desk.now += 60
        desk.ledger.fire(desk.now)
        assert desk.ledger.startable(desk.now, 1_000) == []
        assert desk.starts() == ["expire_order"]


async def test_a_life_asks_a_broker_for_the_time_before_it_counts_how_long_an_outcome_is_unknown() -> None:
    """This machine's clock is an hour slow; an attempt of the dead life may be under way for a minute yet."""
    bench = Bench(STORE)
    bench.now = time.time()
    bench.opens()
    bench.starts()
    bench.commit()
    state = {f"saga/{SAGA}": bench.state[SAGA], POSITION_KEY: msgspec.msgpack.encode(Position({}, owner="a dead one"))}
    store = Line(STORE, endless, state=state)
    clock = BrokerClock(lambda: time.time() - 3_600)
    store.lane.host.clock, store.lane.host.observe, store.lane.host.is_told = clock, clock.observe, clock.is_told
    store.wire.appended_at = time.time()
    async with store:
        ledger = store.lane.memory
        assert isinstance(ledger, Ledger)
        until_seconds = {item.step: item.unknown_until - time.time() for item in ledger.journals[SAGA].items.values()}
    assert 10 < until_seconds["reserve_stock"] <= 20


def test_an_item_that_was_not_due_when_the_worker_crashed_cannot_have_begun() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.breaks("print_label")
    store.commit()
    store = store.reopened("crashed")
    found = {item.step: (item.state, item.suspect, item.unknown_until) for item in store.items}
    assert found["print_label"] == ("delayed", False, 0.0)
    assert found["reserve_stock"][:2] == ("ready", True)


def test_what_an_event_of_the_backlog_finds_ready_has_not_begun_once_more() -> None:
    till = Bench(TILL)
    till.opens()
    till.hears(StockReserved(saga_id=SAGA), "reserved", STORE)
    assert till.starts() == ["charge_card"]
    till.commit()
    till = till.reopened("crashed")
    (before,) = [item.unknown_until for item in till.items]
    till.now += 5
    till.hears(OrderCleared(saga_id=SAGA), "cleared", DESK, ending="crashed")
    assert till.open_items == ["charge_card", "ship_parcel"]
    assert till.items[0].unknown_until == before > 0


def test_a_command_for_a_saga_that_a_failed_step_has_ended_says_how_it_ended() -> None:
    desk = Bench(DESK)
    desk.opens()
    failed = {"saga_id": SAGA, "participant": STORE, "step": "print_label", "item": "print_label/x"}
    desk.hears(StepFailed(**failed, attempts=2, cause="no ink", policy="end"), "failed", STORE)
    desk.hears(CancelOrder(saga_id=SAGA), "cancel")
    desk.starts()
    desk.commit()
    (refused,) = desk.bodies("order.command.refused")
    assert refused["reason"] == f"order {SAGA} has ended: compensated"
