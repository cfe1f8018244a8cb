"""What follows from how an item ended."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import pytest

from consumers.runtime.finishing import ATTEMPTS_TOLD_MAX, Blocked, Broke, Unfit, Waits, finish
from consumers.runtime.memory import Work
from consumers.runtime.steps import Retry, on
from producers.errors import DependencyDown
from producers.headers import read
from producers.records import Record
from schemas.engine import ItemResumed
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench, causation_in, opened_desk, type_in
from tests.unit.consumers.runtime.other_flows import Weighed, flow_with
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    ORDER,
    STORE,
    TILL,
    CancelOrder,
    CardCharged,
    LabelPrinted,
    LabelTorn,
    OrderCancelled,
    OrderCleared,
    OrderExpired,
    OrderOpened,
    PlaceOrder,
    StockRefused,
    StockReserved,
)


def store_at_work() -> Bench:
    store = Bench(STORE)
    store.opens()
    assert store.starts() == ["reserve_stock", "print_label"]
    return store


def store_undoing() -> tuple[Bench, str]:
    """A store that has done both of its steps, whose saga has failed; and the compensation that runs."""
    store = store_at_work()
    store.says("reserve_stock", StockReserved(saga_id=SAGA))
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    store.hears_itself()
    store.expires()
    store.hears_settled(DESK, TILL)
    (undo,) = store.starts()
    return store, undo


def break_until_it_is_given_up(bench: Bench, step: str) -> int:
    """Let every attempt fail; returns how many there were."""
    attempts = 0
    while step in bench.running or step in bench.starts():
        attempts += 1
        bench.breaks(step)
        bench.now += 3_600
    return attempts


def test_a_failed_attempt_is_tried_again_when_its_backoff_is_over() -> None:
    store = store_at_work()
    store.breaks("reserve_stock")
    store.now += 0.39
    assert store.starts() == []
    store.now += 0.02
    assert store.starts() == ["reserve_stock"]
    assert store.running["reserve_stock"].item.attempt == 2


def test_a_step_is_tried_as_often_as_its_budget_says_and_then_ends_the_saga() -> None:
    store = store_at_work()
    assert break_until_it_is_given_up(store, "reserve_stock") == 3
    assert "order.step.failed" in store.commit()
    (body,) = store.bodies("order.step.failed")
    assert (body["policy"], body["attempts"], body["step"], body["participant"]) == ("end", 3, "reserve_stock", STORE)


def test_a_spent_budget_makes_a_dead_letter_in_the_same_transaction() -> None:
    store = store_at_work()
    break_until_it_is_given_up(store, "print_label")
    store.commit()
    (letter,) = store.dead_letters()
    assert (letter["kind"], letter["step"], letter["attempts"]) == ("failed", "print_label", 2)
    assert (letter["error"], letter["type"], letter["saga_id"]) == ("ConnectionError", "order.opened", SAGA)


def test_a_permanent_failure_spends_the_budget_at_once() -> None:
    store = store_at_work()
    store.breaks("reserve_stock", permanent=True)
    assert store.commit() == ["order.step.failed"]


def test_an_ignored_failure_is_told_and_ends_nothing() -> None:
    till = Bench(TILL)
    till.opens()
    till.hears(CardCharged(saga_id=SAGA))
    till.hears(OrderCleared(saga_id=SAGA))
    assert till.starts() == ["greet_customer", "ship_parcel"]
    till.breaks("greet_customer")
    assert till.hears_itself() == ["order.step.failed"]
    assert till.bodies("order.step.failed")[0]["policy"] == "ignore"
    assert not till.journal.is_failing


def test_a_step_with_the_policy_hold_is_held_until_it_is_resumed() -> None:
    held = replace(ORDER.steps["print_label"], policy="hold")
    store = Bench(STORE, replace(ORDER, steps=ORDER.steps | {"print_label": held}))
    store.opens()
    store.starts()
    store.breaks("print_label", permanent=True)
    assert store.hears_itself() == ["order.step.failed"]
    assert store.bodies("order.step.failed")[0]["policy"] == "hold"
    store.now += 90_000
    assert store.starts() == []
    item = store.item("print_label")
    store.hears(ItemResumed(saga_id=SAGA, participant=STORE, step="print_label", item=item.id))
    assert store.starts() == ["print_label"]


@pytest.mark.parametrize("step", ["ship_parcel", "close_books"])
def test_a_pivot_and_all_that_follows_it_are_held_whatever_they_say_of_themselves(step: str) -> None:
    assert ORDER.steps[step].policy == "hold"


def test_a_failure_after_the_end_is_told_as_ignored_and_is_not_tried_again() -> None:
    store = store_at_work()
    store.expires()
    store.breaks("reserve_stock")
    assert store.commit() == ["order.step.failed"]
    assert store.bodies("order.step.failed")[0]["policy"] == "ignore"
    store.now += 60
    assert "reserve_stock" not in store.starts()


def test_a_pivot_that_fails_after_the_end_is_not_held() -> None:
    till = Bench(TILL)
    till.opens()
    till.hears(OrderCleared(saga_id=SAGA))
    till.starts()
    till.expires()
    till.breaks("ship_parcel", permanent=True)
    assert till.commit() == ["order.step.failed", "order.participant.settled"]


def stuck_store() -> Bench:
    """Both attempts of release_stock have failed."""
    store = store_at_work()
    store.says("reserve_stock", StockReserved(saga_id=SAGA))
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    store.expires()
    store.hears_settled(DESK, TILL)
    assert store.starts() == ["tear_label"]
    store.says("tear_label", LabelTorn(saga_id=SAGA))
    assert break_until_it_is_given_up(store, "release_stock") == 2
    return store


def test_a_compensation_that_spends_its_budget_is_stuck_and_the_participant_does_not_settle() -> None:
    store = stuck_store()
    said = store.hears_itself()
    assert "order.compensation.stuck" in said
    assert "order.participant.settled" not in said
    assert store.starts() == []
    assert [standing.step for standing in store.journal.standing.values()] == ["release_stock"]


def test_a_stuck_compensation_that_is_resumed_has_a_new_budget_and_lets_the_participant_settle() -> None:
    store = stuck_store()
    store.hears_itself()
    item = store.item("release_stock")
    store.hears(ItemResumed(saga_id=SAGA, participant=STORE, step="release_stock", item=item.id))
    assert store.starts() == ["release_stock"]
    store.breaks("release_stock")
    store.now += 60
    assert store.starts() == ["release_stock"], "the second attempt of the new budget"


def test_an_attempt_that_never_began_spends_nothing() -> None:
    store = store_at_work()
    for _ in range(10):
        store.ends("print_label", Blocked("the printer is down", store.now + 5))
        assert store.starts() == []
        store.now += 5
        assert store.starts() == ["print_label"]
    assert store.running["print_label"].item.attempt == 1


def test_a_step_that_waits_is_called_again_at_its_time_with_the_same_message_and_attempt() -> None:
    desk = Bench(DESK)
    desk.opens("opening")
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 60))
    desk.now += 59
    assert desk.starts() == []
    desk.now += 1
    assert desk.starts() == ["expire_order"]
    item = desk.running["expire_order"].item
    assert (item.message.id, item.attempt) == ("opening", 1)


@pytest.mark.parametrize(("seconds", "told"), [(0.9, []), (1.1, ["order.step.delayed"])])
def test_a_delay_is_told_only_if_it_is_longer_than_a_second(seconds: float, told: list[str]) -> None:
    store = store_at_work()
    store.ends("print_label", Blocked("the printer is down", BEGIN + seconds))
    assert store.commit() == told


def test_a_delay_is_told_once_for_each_cause() -> None:
    store = store_at_work()
    told = []
    for cause in ("down", "down", "on fire", "on fire", "down"):
        store.ends("print_label", Blocked(cause, store.now + 5))
        store.now += 5
        store.starts()
        told.append(store.commit())
    assert told == [["order.step.delayed"], [], ["order.step.delayed"], [], ["order.step.delayed"]]


def test_a_delay_is_told_once_its_saga_has_waited_for_more_than_a_second() -> None:
    store = store_at_work()
    store.breaks("reserve_stock")
    # The next attempt is 0.4 s away: by then nobody has waited for a second.
    assert store.commit() == []
    store.now += 0.4
    assert store.starts() == ["reserve_stock"]
    store.breaks("reserve_stock")
    # This time it is 0.8 s away, and that is more than a second after the message.
    assert store.commit() == ["order.step.delayed"]
    (body,) = store.bodies("order.step.delayed")
    assert (body["attempt"], body["cause"]) == (2, "ConnectionError: no answer")


def test_a_slow_failure_is_told_at_once_however_soon_the_next_attempt_is() -> None:
    store = store_at_work()
    store.now += 20
    store.breaks("reserve_stock")
    assert store.commit() == ["order.step.delayed"]


def test_a_step_that_asks_often_whether_something_is_ready_does_not_tell_of_it() -> None:
    store = store_at_work()
    for _ in range(10):
        store.ends("print_label", Waits(store.now + 0.5))
        store.now += 0.5
        store.starts()
    assert store.commit() == []


def test_every_one_of_the_first_attempts_is_told_and_a_thousand_are_not() -> None:
    patient = replace(ORDER.steps["print_label"], retry=Retry(attempts=1_000, first="2s", most="2s"))
    store = Bench(STORE, replace(ORDER, steps=ORDER.steps | {"print_label": patient}))
    store.opens()
    store.starts()
    for _ in range(500):
        store.breaks("print_label")
        store.now += 2
        store.starts()
    assert store.commit() == ["order.step.delayed"] * ATTEMPTS_TOLD_MAX


def started(bench: Bench) -> Iterator[Work]:
    """All that starts, one after the other, also what starts again."""
    while works := bench.ledger.startable(bench.now, 1_000):
        yield from works


def test_ten_thousand_sagas_at_an_open_breaker_tell_of_it_once_each() -> None:
    store = Bench(STORE)
    sagas = [f"o-{number}" for number in range(1, 10_001)]
    for saga in sagas:
        store.hears(OrderOpened(saga_id=saga, participants=EVERYBODY), f"opening {saga}", DESK)
    for _ in range(5):
        store.ledger.fire(store.now)
        for work in islice(started(store), 2 * len(sagas) + 1):
            down = DependencyDown(work.owner.name, store.now + 5, "OSError: unreachable")
            store.ledger.finish(work.journal.saga_id, work.item, Blocked(str(down), down.retry_at), store.now)
        store.now += 5
    told = store.commit()
    # Two steps of each saga wait, each at its own dependency.
    assert told == ["order.step.delayed"] * 2 * len(sagas)


def test_a_delay_names_the_attempt_that_failed_its_cause_and_the_next_try() -> None:
    store = store_at_work()
    store.breaks("reserve_stock")
    store.now += 1
    store.starts()
    store.ends("reserve_stock", Broke("TimeoutError", "too slow"))
    store.now += 5
    store.starts()
    store.ends("reserve_stock", Blocked("down", store.now + 5))
    store.commit()
    body = store.bodies("order.step.delayed")[-1]
    assert (body["step"], body["attempt"], body["cause"]) == ("reserve_stock", 3, "down")
    assert body["next_at"].startswith("2027-01-15T08:00:11")


def test_a_step_that_is_no_longer_deployed_holds_its_saga_and_stops_no_lane() -> None:
    store = store_at_work()
    store.breaks("print_label")
    store.commit()
    steps = {name: step for name, step in ORDER.steps.items() if name != "print_label"}
    later = Bench(STORE, replace(ORDER, steps=steps))
    later.ledger.load(SAGA, store.state[SAGA])
    later.now = store.now + 60
    later.ledger.reopen("clean", now=later.now)
    assert later.starts() == ["reserve_stock"]
    assert later.commit() == ["order.step.failed"]
    (told,) = later.bodies("order.step.failed")
    assert (told["step"], told["policy"]) == ("print_label", "hold")


def test_the_end_of_an_item_that_was_dropped_meanwhile_changes_nothing() -> None:
    store = store_at_work()
    work = store.running["print_label"]
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    store.commit()
    store.ledger.finish(SAGA, work.item, Broke("ConnectionError", "late", permanent=True), store.now)
    assert store.commit() == []


def test_the_end_of_an_item_of_a_saga_nobody_remembers_changes_nothing() -> None:
    store, other = store_at_work(), Bench(STORE)
    other.ledger.finish(SAGA, store.running["print_label"].item, Broke("ConnectionError", "late"), store.now)
    assert other.commit() == []


def test_an_event_that_is_too_large_is_the_failure_of_its_step() -> None:
    store = store_at_work()
    store.says("reserve_stock", StockReserved(saga_id=SAGA, shelf="x" * 600_000))
    assert store.commit() == ["order.step.failed"]
    assert "at most" in store.bodies("order.step.failed")[0]["cause"]


def test_an_event_of_a_step_says_which_attempt_it_was_and_when_that_began() -> None:
    store = store_at_work()
    store.breaks("reserve_stock")
    store.now += 10
    store.starts()
    store.now += 3
    store.says("reserve_stock", StockReserved(saga_id=SAGA))
    store.commit()
    headers = {name: value.decode() for name, value in store.said[-1].headers}
    assert headers["ce_attempt"] == "2"
    assert (headers["ce_startedat"], headers["ce_time"]) == ("2027-01-15T08:00:10.000Z", "2027-01-15T08:00:13.000Z")


def test_what_the_engine_says_of_an_end_never_ends_the_saga_a_second_time() -> None:
    store = store_at_work()
    store.hears(OrderExpired(saga_id=SAGA), "the end")
    store.breaks("reserve_stock", permanent=True)
    store.hears_itself()
    assert store.journal.end is not None
    assert store.journal.end.id == "the end"


@pytest.mark.parametrize(
    "weighed",
    [
        Weighed(saga_id=SAGA, remarks=object()),
        Weighed(saga_id=SAGA, remarks="\ud800"),
        Weighed.model_construct(saga_id=SAGA, kilograms=float("nan")),
        Weighed.model_construct(saga_id=SAGA, kilograms=float("inf")),
    ],
    ids=["an object", "a surrogate", "not a number", "infinite"],
)
def test_an_event_that_cannot_be_read_back_is_the_failure_of_its_step(weighed: Weighed) -> None:
    @on(OrderOpened)
    async def weigh(opened: OrderOpened) -> Weighed:
        raise NotImplementedError

    store = Bench(STORE, flow_with((STORE, weigh), words=(Weighed,)))
    store.opens()
    store.starts()
    store.says("weigh", weighed)
    assert store.commit() == ["order.step.failed"]


def test_a_step_that_asks_for_a_time_in_the_past_does_not_spin() -> None:
    desk = Bench(DESK)
    desk.opens()
    assert desk.starts() == ["expire_order"]
    desk.ends("expire_order", Waits(BEGIN - 1))
    assert desk.starts() == []


def test_a_failed_attempt_after_the_end_of_the_saga_leaves_no_step_delayed() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.hears(OrderExpired(saga_id=SAGA))
    store.ends("print_label", Blocked("the printer is down", BEGIN + 30))
    assert "order.step.delayed" not in store.commit()


def test_a_command_whose_step_has_failed_says_so_once_when_it_is_published_again() -> None:
    desk = Bench(DESK)
    for _ in range(2):
        desk.hears(PlaceOrder(saga_id=SAGA, item="tulip"), "place")
        if desk.starts():
            desk.breaks("place_order", permanent=True)
        desk.commit()
    said = [(type_in(one), causation_in(one)) for one in desk.said if one.topic == "order.events"]
    assert len(said) == len(set(said))


def test_the_failure_of_a_command_with_a_long_id_can_be_heard() -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 60))
    desk.hears(CancelOrder(saga_id=SAGA), "x" * 500)
    desk.starts()
    desk.breaks("cancel_order", permanent=True)
    desk.hears_itself()
    assert desk.journal.is_failing


def test_the_dead_letter_of_a_command_with_a_long_id_can_be_read() -> None:
    desk = Bench(DESK)
    desk.hears(PlaceOrder(saga_id=SAGA, item="tulip"), "x" * 500)
    desk.starts()
    desk.breaks("place_order", permanent=True)
    for one in desk.ledger.take().said:
        read(Record(one.topic, 0, 0, 0.0, one.key, one.value, one.headers), "")


def test_a_command_whose_step_says_nothing_is_answered_all_the_same() -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 60))
    desk.hears_itself()
    desk.hears(CancelOrder(saga_id=SAGA), "cancel")
    desk.starts()
    desk.says("cancel_order", None)
    assert desk.commit() == ["order.command.refused"]


def test_nothing_is_kept_of_a_deadline_whose_item_is_dropped_while_it_waits_for_its_barrier() -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 60))
    desk.now += 61
    desk.ledger.fire(desk.now)
    marks = desk.ledger.unmarked()
    assert marks == [(SAGA, desk.item("expire_order").id)]
    desk.hears(StockRefused(saga_id=SAGA, reason="none left"), "refused", STORE)
    assert desk.open_items == []
    desk.ledger.mark(marks, dict(desk.offsets))
    assert desk.starts() == []
    barriers = desk.ledger._barriers
    assert (barriers._passed, barriers._asked) == ({}, {})


def test_an_item_that_this_build_cannot_call_is_held() -> None:
    store = store_at_work()
    store.ends("reserve_stock", Unfit("the opening is missing"))
    assert store.item("reserve_stock").state == "held"
    assert store.hears_itself() == ["order.step.failed"]
    # Nothing of its budget is spent.
    item = store.item("reserve_stock")
    named = {"saga_id": SAGA, "participant": STORE, "step": "reserve_stock", "item": item.id}
    store.hears(ItemResumed(**named), "resumed", DESK)
    assert store.starts() == ["reserve_stock"]
    assert store.running["reserve_stock"].item.attempt == 1


def test_an_item_that_this_build_cannot_call_is_dropped_once_its_saga_fails() -> None:
    store = store_at_work()
    store.expires()
    store.ends("reserve_stock", Unfit("the opening is missing"))
    assert "reserve_stock" not in store.open_items
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    assert "order.step.failed" not in store.commit()


def test_a_compensation_that_this_build_cannot_call_is_stuck() -> None:
    store, undo = store_undoing()
    store.ends(undo, Unfit("the event is missing"))
    assert store.item(undo).state == "stuck"
    assert store.commit() == ["order.compensation.stuck"]


def test_a_command_that_this_build_cannot_call_is_refused_once() -> None:
    desk = opened_desk()
    for _ in range(2):
        desk.hears(CancelOrder(saga_id=SAGA), "cancel")
        for step in desk.starts():
            desk.ends(step, Unfit("the opening is missing"))
    assert desk.commit() == ["order.command.refused"]
    assert desk.bodies("order.command.refused")[0]["reason"] == "flow changed: the opening is missing"


def test_a_saga_that_never_began_counts_as_ended_when_its_last_command_was_answered() -> None:
    desk = Bench(DESK)
    desk.hears(PlaceOrder(saga_id=SAGA, item="tulip"), "place")
    assert desk.starts() == ["place_order"]
    desk.now += 5
    desk.breaks("place_order", permanent=True)
    assert desk.journal.ended_at() == BEGIN + 5


def test_a_command_before_a_deadline_beats_it_on_a_later_attempt_too() -> None:
    desk = opened_desk()
    desk.now = BEGIN + 59.9
    desk.hears(CancelOrder(saga_id=SAGA), "cancel")
    assert desk.starts() == ["cancel_order"]
    desk.breaks("cancel_order")
    # Its next attempt is due later than the deadline.
    desk.now = BEGIN + 60
    assert (desk.item("cancel_order").due or 0.0) > desk.now
    assert desk.starts() == []
    desk.now += 3_600
    assert desk.starts() == ["cancel_order"]
    desk.says("cancel_order", OrderCancelled(saga_id=SAGA))
    assert desk.hears_itself()[0] == "order.cancelled"


def test_the_same_step_of_a_saga_runs_once_at_a_time() -> None:
    till = Bench(TILL)
    till.opens()
    for name in ("first", "second"):
        till.hears(StockReserved(saga_id=SAGA), name, STORE)
    assert till.starts() == ["charge_card"]
    till.says("charge_card", CardCharged(saga_id=SAGA))
    assert till.starts() == ["charge_card"]


def test_a_step_that_is_held_names_its_cause_and_is_due_at_no_time() -> None:
    till = Bench(TILL)
    till.opens()
    till.hears(OrderCleared(saga_id=SAGA), "cleared", DESK)
    assert till.starts() == ["ship_parcel"]
    till.breaks("ship_parcel", permanent=True)
    item = till.item("ship_parcel")
    assert (item.state, item.cause, item.due) == ("held", "ConnectionError: no answer", None)
    assert till.ledger.next_due() is None


def test_a_compensation_that_is_not_deployed_any_more_stands_stuck_with_the_cause_of_its_failure() -> None:
    store, undo = store_undoing()
    item = store.running[undo].item
    item.step = "gone"
    (said,) = finish(store.journal, store.ledger.view, item, Broke("EngineFault", "half way"), store.now)
    assert (item.state, item.cause) == ("stuck", "half way")
    assert said.event.wire_type == "" and "half way" in said.event.model_dump_json()
