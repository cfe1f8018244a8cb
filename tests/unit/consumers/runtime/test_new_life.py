"""What another life of a lane finds: timers, commands not yet judged, and who may have killed its worker."""

from consumers.runtime.finishing import Blocked
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench, opened_desk
from tests.unit.consumers.runtime.small_saga import (
    STORE,
    CancelOrder,
    LabelPrinted,
    OrderOpened,
    PlaceOrder,
    StockReserved,
)

PLACE, CANCEL = PlaceOrder(saga_id=SAGA, item="tulip"), CancelOrder(saga_id=SAGA)


def test_timers_are_not_lost_when_the_lane_is_opened_anew() -> None:
    desk = opened_desk()
    desk.hears(LabelPrinted(saga_id=SAGA))
    desk.commit()
    desk = desk.reopened()
    assert desk.starts() == []
    desk.now += 61
    assert desk.starts() == ["expire_order"]
    desk.says("expire_order", None)
    desk.now += 7_200
    desk.starts()
    assert desk.commit() == ["order.step.failed"], "the join's deadline"


def test_a_command_that_was_not_judged_yet_is_judged_in_the_next_life() -> None:
    desk = opened_desk()
    desk.hears(CANCEL, "cancel")
    desk.commit()
    assert desk.reopened().starts() == ["cancel_order"]


def test_what_ran_when_the_worker_said_farewell_runs_again_as_the_same_attempt() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.commit()
    store = store.reopened(died=False)
    assert store.starts(acquitted=False) == ["reserve_stock", "print_label"]
    assert {work.item.attempt for work in store.running.values()} == {1}


def test_what_ran_when_the_worker_died_runs_only_on_trial_and_spends_an_attempt_if_it_dies_again() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.commit()
    for attempt in (1, 2):
        store = store.reopened(died=True)
        assert store.starts(acquitted=False) == []
        assert store.ledger.has_suspects()
        assert store.starts() == ["reserve_stock", "print_label"]
        assert {work.item.attempt for work in store.running.values()} == {attempt}
        store.commit()


def test_who_was_released_spends_no_attempt_by_another_death() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.commit()
    for _ in range(3):
        store = store.reopened(died=True)
        store.starts(acquitted=False)
        mark = store.ledger.acquit(all_of_them=False)
        assert mark is not None
        (step,) = store.starts(acquitted=False)
        assert store.running[step].item.attempt == 1
        store.ledger.release(mark)
        assert not store.ledger.is_suspect(mark)
        store.commit()


def test_a_suspect_is_acquitted_one_at_a_time_the_one_with_most_deaths_first() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.breaks("reserve_stock")
    store.now += 60
    store.starts()
    store.commit()
    store = store.reopened(died=True)
    assert store.starts(acquitted=False) == []
    mark = store.ledger.acquit(all_of_them=False)
    assert mark is not None
    assert store.starts(acquitted=False) == ["reserve_stock"]
    assert store.ledger.is_suspect(mark)
    store.breaks("reserve_stock")
    assert not store.ledger.is_suspect(mark)


def test_a_step_that_kills_its_worker_each_time_fails_when_its_budget_is_spent() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.says("reserve_stock", StockReserved(saga_id=SAGA))
    for _ in range(3):
        assert "print_label" in store.running
        store.commit()
        store = store.reopened(died=True)
        store.commit()
        store.starts()
    assert store.commit() == ["order.step.failed"]
    assert "worker died" in store.bodies("order.step.failed")[0]["cause"]


def test_what_stands_in_the_backlog_of_a_life_that_died_is_suspect() -> None:
    store = Bench(STORE)
    store.hears(OrderOpened(saga_id=SAGA, participants=EVERYBODY), "opening", suspects=True)
    assert store.starts(acquitted=False) == []
    assert store.starts() == ["reserve_stock", "print_label"]


def test_a_suspect_that_has_ended_is_none_any_more_in_the_next_life() -> None:
    store = Bench(STORE)
    store.hears(OrderOpened(saga_id=SAGA, participants=EVERYBODY), "opening", suspects=True)
    store.starts()
    store.ends("print_label", Blocked("down", BEGIN + 5))
    store.commit()
    assert not any(item.suspect for item in store.journal.items.values() if item.step == "print_label")


def test_an_attempt_after_a_backoff_that_kills_its_worker_spends_its_budget() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.breaks("reserve_stock")
    store.commit()
    attempts = []
    for _ in range(6):
        store.now += 60
        store = store.reopened(died=True)
        store.commit()
        store.starts(acquitted=False)
        if store.ledger.has_suspects():
            # The lane commits before a suspect starts.
            store.starts()
            store.commit()
        attempts += [work.item.attempt for work in store.running.values() if work.item.step == "reserve_stock"]
    assert attempts != [2] * 6
