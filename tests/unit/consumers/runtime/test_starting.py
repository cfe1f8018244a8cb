"""Which items may start: the door does one thing at a time, by the broker's clock; the others work side by side."""

import pytest

from consumers.runtime.finishing import Waits
from consumers.runtime.steps import Retry
from tests.unit.consumers.runtime.bench import BEGIN, SAGA, Bench
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    STORE,
    CancelOrder,
    CardNotWanted,
    LabelPrinted,
    OrderCancelled,
    OrderCleared,
    OrderExpired,
    OrderOpened,
    PlaceOrder,
)

CANCEL = CancelOrder(saga_id=SAGA)


def desk_with_a_deadline(seconds: float = 60) -> Bench:
    desk = Bench(DESK)
    desk.opens()
    assert desk.starts() == ["expire_order"]
    desk.ends("expire_order", Waits(BEGIN + seconds))
    desk.hears_itself()
    return desk


def test_the_door_does_one_thing_of_a_saga_at_a_time() -> None:
    desk = desk_with_a_deadline()
    desk.hears(CANCEL, "one")
    desk.hears(CANCEL, "two")
    assert desk.starts() == ["cancel_order"]
    desk.hears(LabelPrinted(saga_id=SAGA))
    assert desk.starts() == []
    assert desk.running["cancel_order"].item.message.id == "one"


def test_the_door_goes_on_only_when_it_has_heard_its_own_last_word() -> None:
    desk = desk_with_a_deadline()
    desk.hears(LabelPrinted(saga_id=SAGA))
    desk.hears(CardNotWanted(saga_id=SAGA))
    assert desk.starts() == ["clear_order"]
    desk.says("clear_order", OrderCleared(saga_id=SAGA))
    desk.hears(CANCEL, "cancel")
    assert desk.starts() == []
    desk.hears_itself()
    assert desk.starts() == ["cancel_order"]


def test_the_door_does_not_wait_to_hear_a_refusal() -> None:
    desk = desk_with_a_deadline()
    desk.hears(CANCEL, "one")
    desk.hears(CANCEL, "two")
    desk.starts()
    work = desk.running["cancel_order"]
    refused = {"saga_id": SAGA, "command_id": work.item.message.id, "reason": "no"}
    desk.says("cancel_order", desk.graph.schema.messages["order.command.refused"].model_validate(refused))  # type: ignore[arg-type]
    assert desk.starts() == ["cancel_order"]


def test_a_command_that_the_broker_has_before_the_deadline_beats_it() -> None:
    desk = desk_with_a_deadline()
    desk.now += 61
    desk.hears(CANCEL, "cancel", at=BEGIN + 59)
    assert desk.starts() == ["cancel_order"]
    desk.says("cancel_order", OrderCancelled(saga_id=SAGA))
    desk.hears_itself()
    assert desk.starts() == []


def test_a_command_that_the_broker_has_after_the_deadline_does_not_beat_it() -> None:
    desk = desk_with_a_deadline()
    desk.now += 61
    desk.hears(CANCEL, "cancel", at=BEGIN + 60.5)
    assert desk.starts() == ["expire_order"]
    desk.says("expire_order", OrderExpired(saga_id=SAGA))
    assert desk.hears_itself() == ["order.expired"]
    desk.starts()
    desk.commit()
    (body,) = desk.bodies("order.command.refused")
    assert body["reason"] == f"order {SAGA} has ended: expired"


def test_a_command_is_judged_only_when_all_is_heard_that_stood_in_the_log_when_it_was_fetched() -> None:
    desk = desk_with_a_deadline()
    desk.hears(CANCEL, "cancel")
    marks = desk.ledger.unmarked()
    ahead = {topic: offset + 2 for topic, offset in desk.offsets.items()}
    desk.ledger.mark(marks, ahead)
    desk.ledger.heard_up_to(desk.offsets)
    assert desk.ledger.is_waiting()
    assert desk.ledger.startable(desk.now, 10) == []
    desk.ledger.heard_up_to(ahead)
    assert not desk.ledger.is_waiting()
    assert [work.item.step for work in desk.ledger.startable(desk.now, 10)] == ["cancel_order"]


def test_a_deadline_fires_only_when_all_is_heard_that_stood_in_the_log_when_it_was_due() -> None:
    desk = desk_with_a_deadline()
    desk.now += 60
    desk.ledger.fire(desk.now)
    assert desk.ledger.startable(desk.now, 10) == []
    desk.ledger.mark(desk.ledger.unmarked(), desk.offsets)
    desk.ledger.heard_up_to(desk.offsets)
    assert [work.item.step for work in desk.ledger.startable(desk.now, 10)] == ["expire_order"]


def test_a_barrier_is_asked_for_once() -> None:
    desk = desk_with_a_deadline()
    desk.hears(CANCEL, "cancel")
    assert len(desk.ledger.unmarked()) == 1
    assert desk.ledger.unmarked() == []


def test_a_command_that_came_before_the_deadline_beats_it_on_its_second_attempt_too() -> None:
    desk = desk_with_a_deadline()
    desk.hears(CANCEL, "cancel", at=BEGIN + 59.9)
    desk.now += 59.95
    assert desk.starts() == ["cancel_order"]
    desk.breaks("cancel_order")
    desk.now += 60
    assert desk.starts() == ["cancel_order"]


def test_of_several_due_items_the_door_takes_the_one_whose_moment_came_first() -> None:
    desk = desk_with_a_deadline(30)
    desk.hears(LabelPrinted(saga_id=SAGA), at=BEGIN + 20)
    desk.now += 90
    desk.hears(CANCEL, "late", at=BEGIN + 40)
    desk.hears(CANCEL, "early", at=BEGIN + 10)
    assert desk.starts() == ["cancel_order"]
    assert desk.running["cancel_order"].item.message.id == "early"


@pytest.mark.parametrize("participant", [DESK, STORE])
def test_different_sagas_do_not_wait_for_each_other(participant: str) -> None:
    bench = Bench(participant)
    for number in range(3):
        bench.hears(OrderOpened(saga_id=f"o-{number}", participants=(DESK, STORE)), f"opening {number}")
    steps = bench.starts()
    assert steps.count("expire_order" if participant == DESK else "print_label") == 3


def test_the_same_step_of_one_saga_runs_on_one_message_at_a_time() -> None:
    store = Bench(STORE)
    store.opens()
    assert "print_label" in store.starts()
    item = store.item("print_label")
    later = type(item)("print_label/later", "print_label", item.message, budget=2)
    store.journal.items[later.id] = later
    store.hears_settled(DESK)
    assert store.starts() == []
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    assert store.starts() == ["print_label"]


def test_no_more_items_start_than_the_lane_has_room_for() -> None:
    desk = Bench(DESK)
    for number in range(5):
        desk.hears(PlaceOrder(saga_id=f"o-{number}", item="tulip"), f"place {number}")
    desk.ledger.mark(desk.ledger.unmarked(), desk.offsets)
    desk.ledger.heard_up_to(desk.offsets)
    first = desk.ledger.startable(desk.now, 3)
    assert len(first) == 3
    assert desk.ledger.startable(desk.now, 0) == []
    rest = desk.ledger.startable(desk.now, 3)
    assert {work.journal.saga_id for work in first + rest} == {f"o-{number}" for number in range(5)}


def test_the_next_due_moment_is_that_of_the_earliest_timer() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    assert store.ledger.next_due() is None
    store.breaks("print_label")
    store.breaks("reserve_stock")
    assert Retry().first == "200ms"
    assert store.ledger.next_due() == BEGIN + 0.2


def test_a_clock_that_goes_backwards_starts_nothing_before_its_time_and_loses_nothing() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.breaks("print_label")
    store.now -= 60
    assert store.starts() == []
    store.now += 61
    assert store.starts() == ["print_label"]


@pytest.mark.parametrize("needs_a_barrier", [True, False])
def test_a_clock_that_goes_back_between_a_timer_and_its_start_loses_no_item(needs_a_barrier: bool) -> None:
    bench = Bench(DESK if needs_a_barrier else STORE)
    bench.opens()
    (step, *_) = bench.starts()
    if needs_a_barrier:
        bench.ends(step, Waits(BEGIN + 60))
    else:
        bench.breaks(step)
    bench.ledger.fire(BEGIN + 60)
    bench.ledger.mark(bench.ledger.unmarked(), bench.offsets)
    bench.ledger.heard_up_to(bench.offsets)
    assert bench.ledger.startable(BEGIN, 10) == []
    bench.now = BEGIN + 61
    assert step in bench.starts()


def test_a_timer_that_has_fired_does_not_keep_the_lane_awake_while_its_item_cannot_start() -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 60))
    desk.now += 59
    desk.hears(CANCEL, "cancel")
    assert desk.starts() == ["cancel_order"]
    desk.now += 2
    assert desk.starts() == []
    due = desk.ledger.next_due()
    assert due is None or due > desk.now


def starts_without_asking(desk: Bench) -> list[str]:
    """What starts before anybody has found out where the inputs end."""
    return [work.item.step for work in desk.ledger.startable(desk.now, 1_000)]


def test_the_first_command_of_a_saga_starts_at_once_and_every_later_one_waits_for_its_barrier() -> None:
    desk = Bench(DESK)
    desk.hears(PlaceOrder(saga_id=SAGA, item="lamp"), "first")
    desk.hears(PlaceOrder(saga_id=SAGA, item="lamp"), "again")
    assert desk.ledger.unmarked() == [(SAGA, "place_order/again")]
    assert starts_without_asking(desk) == ["place_order"]


def test_a_command_for_a_saga_that_is_known_waits_for_its_barrier_even_where_it_could_open_one() -> None:
    desk = desk_with_a_deadline()
    desk.hears(PlaceOrder(saga_id=SAGA, item="lamp"), "again")
    assert starts_without_asking(desk) == []
    assert desk.ledger.unmarked() == [(SAGA, "place_order/again")]


def test_a_command_that_opens_nothing_waits_for_its_barrier() -> None:
    desk = Bench(DESK)
    desk.hears(CANCEL, "cancel")
    assert starts_without_asking(desk) == []
    assert desk.ledger.unmarked() == [(SAGA, "cancel_order/cancel")]


def test_only_a_command_that_is_ready_asks_where_the_inputs_end() -> None:
    store = Bench(STORE)
    store.opens()
    assert store.ledger.unmarked() == []
    desk = desk_with_a_deadline()
    desk.hears(CANCEL, "cancel")
    marks = desk.ledger.unmarked()
    assert [saga_id for saga_id, _ in marks] == [SAGA]
    desk.ledger.mark(marks, dict(desk.offsets))
    assert desk.starts() == ["cancel_order"]
    desk.breaks("cancel_order")
    assert desk.ledger.unmarked() == []
