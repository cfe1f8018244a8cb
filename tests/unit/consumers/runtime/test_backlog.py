"""What counts as work that a lane has ahead: what could start without further input, and nothing that waits."""

import msgspec
import pytest

from consumers.runtime import ledger
from consumers.runtime.finishing import Blocked, Waits
from consumers.runtime.journal import Journal
from consumers.runtime.ledger import LOOKED_AT_ONCE
from consumers.runtime.shelf import Shelf
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench, opened_desk
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    STORE,
    TILL,
    CancelOrder,
    LabelPrinted,
    LabelTorn,
    OrderExpired,
    OrderOpened,
    StockReserved,
)
from tests.unit.consumers.runtime.wire import Places

FULL = Places(is_open=False)


def open_saga(bench: Bench, saga: str) -> None:
    """A saga begins, in the log."""
    bench.hears(OrderOpened(saga_id=saga, participants=EVERYBODY), f"opening {saga}", DESK)


def waiting_desk(number: int, decoded_most: int = 1_000) -> Bench:
    """A door with so many sagas that wait for their deadline, in a minute, or for a command."""
    desk = Bench(DESK, decoded_most=decoded_most)
    for index in range(number):
        open_saga(desk, f"o-{index}")
        assert desk.starts() == ["expire_order"]
        desk.ends("expire_order", Waits(BEGIN + 60))
    desk.commit()
    return desk


def test_what_could_start_counts_by_its_encoded_size_until_it_has_started() -> None:
    store = Bench(STORE)
    store.opens()
    heard_bytes = store.ledger.backlog_bytes()
    assert store.ledger.startable(store.now, 10, FULL) == []
    waiting_bytes = store.ledger.backlog_bytes()
    bodies_bytes = sum(len(msgspec.msgpack.encode(item)) for item in store.items)
    assert 0 < heard_bytes <= waiting_bytes
    assert bodies_bytes <= waiting_bytes <= 5 * bodies_bytes
    assert len(store.starts()) == 2
    assert store.ledger.backlog_bytes() == 0


def test_what_waits_for_a_deadline_or_a_command_does_not_count() -> None:
    assert waiting_desk(20).ledger.backlog_bytes() == 0


def test_what_waits_for_the_legs_of_its_join_does_not_count() -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 60))
    desk.hears(LabelPrinted(saga_id=SAGA))
    assert desk.ledger.backlog_bytes() == 0, "before anything has looked at it as well"
    assert (desk.starts(), desk.open_items) == ([], ["expire_order", "clear_order"])
    assert desk.ledger.backlog_bytes() == 0


def test_what_backs_off_counts_only_once_its_time_has_come() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    store.breaks("reserve_stock")
    store.ledger.startable(store.now, 10, FULL)
    assert store.ledger.backlog_bytes() == 0
    store.now += 60
    store.ledger.fire(store.now)
    assert store.ledger.startable(store.now, 10, FULL) == []
    assert store.ledger.backlog_bytes() > 0


@pytest.mark.parametrize("participant", [STORE, TILL])
def test_what_a_person_must_free_does_not_count(participant: str) -> None:
    bench = Bench(participant)
    bench.opens()
    if participant == STORE:
        bench.starts()
        bench.says("reserve_stock", StockReserved(saga_id=SAGA))
        bench.says("print_label", LabelPrinted(saga_id=SAGA))
        bench.expires()
        bench.hears_settled(DESK, TILL)
        assert bench.starts() == ["tear_label"]
        bench.breaks("tear_label", permanent=True)
    else:
        bench.hears(bench.graph.schema.messages["order.cleared"](saga_id=SAGA))
        bench.starts()
        bench.breaks("ship_parcel", permanent=True)
    assert [item.state for item in bench.items] == ["stuck" if participant == STORE else "held"]
    bench.starts()
    assert bench.ledger.backlog_bytes() == 0


def test_a_command_counts_only_once_it_has_passed_its_read_barrier() -> None:
    desk = opened_desk()
    desk.hears(CancelOrder(saga_id=SAGA), "cancel")
    desk.ledger.mark(desk.ledger.unmarked(), {topic: offset + 1 for topic, offset in desk.offsets.items()})
    desk.ledger.heard_up_to(desk.offsets)
    desk.ledger.startable(desk.now, 10, FULL)
    assert desk.ledger.backlog_bytes() == 0
    desk.ledger.heard_up_to({topic: offset + 1 for topic, offset in desk.offsets.items()})
    desk.ledger.startable(desk.now, 10, FULL)
    assert desk.ledger.backlog_bytes() > 0


def test_a_command_waits_for_the_events_before_it_and_for_no_command_behind_it() -> None:
    desk = opened_desk()
    desk.hears(CancelOrder(saga_id=SAGA), "cancel")
    desk.ledger.mark(desk.ledger.unmarked(), desk.offsets | {desk.topics.commands: 1_000_000})
    desk.ledger.heard_up_to(desk.offsets)
    assert [work.item.step for work in desk.ledger.startable(desk.now, 10)] == ["cancel_order"]


def test_a_deadline_waits_for_the_commands_before_it() -> None:
    desk = opened_desk()
    desk.now += 60
    desk.ledger.fire(desk.now)
    ends = desk.offsets | {desk.topics.commands: desk.offsets[desk.topics.commands] + 1}
    desk.ledger.mark(desk.ledger.unmarked(), ends)
    desk.ledger.heard_up_to(desk.offsets)
    assert desk.ledger.startable(desk.now, 10) == []
    desk.ledger.heard_up_to(ends)
    assert [work.item.step for work in desk.ledger.startable(desk.now, 10)] == ["expire_order"]


def test_an_item_whose_turn_comes_after_the_clock_has_gone_back_starts_when_it_is_due() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.breaks("reserve_stock")
    store.now += 1
    store.ledger.fire(store.now)
    assert store.ledger.startable(store.now, 0) == []
    store.now -= 0.9
    assert store.starts() == []
    store.now += 0.9
    assert store.starts() == ["reserve_stock"]


def test_an_item_that_is_due_while_its_step_is_busy_wakes_no_lane() -> None:
    till = Bench(TILL)
    till.opens()
    till.hears(StockReserved(saga_id=SAGA), "first", STORE)
    assert till.starts() == ["charge_card"]
    till.breaks("charge_card")
    till.hears(StockReserved(saga_id=SAGA), "second", STORE)
    assert till.starts() == ["charge_card"]
    due = till.ledger.next_due()
    assert due is not None and due > till.now
    till.now = due
    assert till.starts() == []
    assert till.ledger.next_due() is None


def test_an_item_that_is_dropped_leaves_no_timer() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.breaks("reserve_stock")
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    assert store.ledger.next_due() is not None
    store.expires()
    assert store.ledger.next_due() is None


def test_a_command_that_is_tried_again_waits_for_no_command_behind_it() -> None:
    desk = opened_desk()
    desk.hears(CancelOrder(saga_id=SAGA), "cancel")
    assert desk.starts() == ["cancel_order"]
    desk.breaks("cancel_order")
    desk.now += 5
    desk.ledger.fire(desk.now)
    desk.ledger.mark(desk.ledger.unmarked(), desk.offsets | {desk.topics.commands: 1_000_000})
    desk.ledger.heard_up_to(desk.offsets)
    assert [work.item.step for work in desk.ledger.startable(desk.now, 10)] == ["cancel_order"]


def test_a_deadline_and_a_command_are_found_though_their_sagas_are_kept_encoded() -> None:
    desk = waiting_desk(3, decoded_most=0)
    assert desk.ledger.journals == {}
    desk.hears(CancelOrder(saga_id="o-1"), "cancel")
    assert desk.starts() == ["cancel_order"]
    assert desk.running["cancel_order"].journal.saga_id == "o-1"
    desk.now += 60
    desk.ledger.fire(desk.now)
    desk.ledger.mark(desk.ledger.unmarked(), desk.offsets)
    desk.ledger.heard_up_to(desk.offsets)
    works = desk.ledger.startable(desk.now, 10)
    assert {(work.journal.saga_id, work.item.step) for work in works} == {
        ("o-0", "expire_order"),
        ("o-2", "expire_order"),
    }


def test_an_item_that_waits_for_room_is_found_though_its_saga_is_kept_encoded() -> None:
    store = Bench(STORE, decoded_most=0)
    for number in range(3):
        open_saga(store, f"o-{number}")
    assert store.ledger.startable(store.now, 10, FULL) == []
    store.commit()
    assert store.ledger.journals == {}
    works = store.ledger.startable(store.now, 10)
    assert {work.journal.saga_id for work in works} == {"o-0", "o-1", "o-2"}
    for work in works:
        store.ledger.finish(work.journal.saga_id, work.item, Blocked("down", BEGIN + 5), store.now)
    assert store.commit() == ["order.step.delayed"] * 6
    assert store.ledger.journals == {}


def test_what_runs_is_never_put_away() -> None:
    store = Bench(STORE, decoded_most=0)
    store.opens()
    assert len(store.starts()) == 2
    store.commit()
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    store.commit()
    store.says("reserve_stock", StockReserved(saga_id=SAGA))
    assert store.commit() == ["order.stock.reserved"]
    assert store.ledger.journals == {}


def test_many_deadlines_at_once_are_looked_at_part_by_part_and_none_is_lost() -> None:
    desk = waiting_desk(1, decoded_most=0)
    number = LOOKED_AT_ONCE * 2 + 500
    encoded = desk.state["o-0"]
    for index in range(number):
        saga = f"o-{index}"
        desk.ledger.load(saga, encoded.replace(b"\xa3o-0", msgspec.msgpack.encode(saga)))
    desk.now += 60
    started: set[str] = set()
    rounds = 0
    while len(started) < number:
        rounds += 1
        desk.ledger.fire(desk.now)
        marks = desk.ledger.unmarked()
        assert len(marks) <= LOOKED_AT_ONCE
        desk.ledger.mark(marks, desk.offsets)
        desk.ledger.heard_up_to(desk.offsets)
        works = desk.ledger.startable(desk.now, number)
        assert len(works) <= LOOKED_AT_ONCE
        started |= {work.journal.saga_id for work in works}
        assert works or desk.ledger.is_held_back() or (desk.ledger.next_due() or desk.now + 1) <= desk.now
    assert rounds == 3


def test_many_events_at_once_are_looked_at_part_by_part_and_none_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger, "LOOKED_AT_ONCE", 10)
    store = Bench(STORE)
    for number in range(25):
        open_saga(store, f"o-{number}")
    sizes: list[int] = []
    while store.ledger.is_held_back() and len(sizes) < 9:
        sizes.append(len({work.journal.saga_id for work in store.ledger.startable(store.now, 1_000)}))
    assert sizes == [10, 10, 5]


def test_a_new_life_decodes_only_those_that_have_something_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = waiting_desk(10, decoded_most=0)
    desk.hears(CancelOrder(saga_id="o-3"), "cancel")
    desk.commit()
    decoded: list[str] = []
    journal_of = Shelf.journal

    def counted(shelf: Shelf, saga_id: str) -> Journal | None:
        decoded.append(saga_id)
        return journal_of(shelf, saga_id)

    monkeypatch.setattr(Shelf, "journal", counted)
    later = desk.reopened("crashed")
    assert set(decoded) == {"o-3"}
    assert later.ledger.next_due() == BEGIN + 60
    decoded.clear()
    later.now += 60
    later = later.reopened("crashed")
    assert set(decoded) == {f"o-{number}" for number in range(10)}


def test_what_is_undone_after_a_new_life_is_undone_though_its_saga_is_kept_encoded() -> None:
    store = Bench(STORE, decoded_most=0)
    store.opens()
    store.starts()
    store.says("reserve_stock", StockReserved(saga_id=SAGA))
    store.hears(OrderExpired(saga_id=SAGA), "expired", DESK)
    store.hears_settled(DESK, TILL)
    store.commit()
    later = store.reopened()
    # The attempt that ran may still have its effect until its timeout has passed.
    assert later.starts() == []
    later.now += 5
    assert later.starts() == ["tear_label"]


def test_a_failing_saga_that_a_new_build_may_go_on_with_is_gone_on_with() -> None:
    store = Bench(STORE, decoded_most=0)
    store.opens()
    store.starts()
    store.says("reserve_stock", StockReserved(saga_id=SAGA))
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    store.expires()
    assert store.starts() == ["tear_label"]
    store.says("tear_label", LabelTorn(saga_id=SAGA))
    store.commit()
    assert store.open_items == []
    # As a build that waited for a participant that this one has no more.
    journal = msgspec.msgpack.decode(store.state[SAGA], type=Journal)
    journal.participants = (STORE,)
    store.state[SAGA] = msgspec.msgpack.encode(journal)
    assert store.reopened().starts() == ["release_stock"]
