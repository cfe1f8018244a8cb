"""What another life of a lane finds: timers, commands not yet judged, and who may have killed its worker."""

import pytest

from consumers.runtime.finishing import Blocked, Spoke
from consumers.runtime.former_life import Ending
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench, opened_desk
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    STORE,
    CancelOrder,
    LabelPrinted,
    OrderOpened,
    PlaceOrder,
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
    store = store.reopened()
    assert store.starts(tried=False) == ["reserve_stock", "print_label"]
    assert {work.item.attempt for work in store.running.values()} == {1}


def test_what_ran_when_the_worker_crashed_starts_only_when_it_is_admitted() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.commit()
    store = store.reopened("crashed")
    assert store.starts(tried=False) == []
    assert store.ledger.has_suspects()
    assert store.starts() == ["reserve_stock", "print_label"]


def test_crashes_at_which_several_were_on_trial_spend_nothing_of_their_budgets() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.commit()
    for deaths in range(4):
        store = store.reopened("crashed")
        store.starts()
        assert {(work.item.attempt, work.item.deaths) for work in store.running.values()} == {(1, deaths)}
        store.commit()


def test_a_suspect_that_was_released_is_not_counted_at_the_next_crash() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.commit()
    for _ in range(3):
        store = store.reopened("crashed")
        store.starts(tried=False)
        (mark,) = store.ledger.try_suspects(all_of_them=False, in_turn=True)
        (step,) = store.starts(tried=False)
        assert (store.running[step].item.attempt, store.running[step].item.deaths) == (1, 0)
        store.commit()
        store.ledger.release(mark)
        assert not store.ledger.is_suspect(mark)
        store.commit()


def test_a_suspect_that_has_ended_is_no_suspect() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.commit()
    store = store.reopened("crashed")
    store.starts(tried=False)
    (mark,) = store.ledger.try_suspects(all_of_them=False, in_turn=True)
    (step,) = store.starts(tried=False)
    assert store.ledger.is_suspect(mark)
    # It runs, though no other item of its step may start now.
    store.ledger.pause({step: "it fails"}, {})
    assert store.ledger.is_suspect(mark)
    store.breaks(step)
    assert not store.ledger.is_suspect(mark)


def test_the_item_that_kills_its_worker_is_found_in_log_n_lives_and_no_other_one_pays_for_it() -> None:
    store, killer = Bench(STORE), ("o-37", "print_label")
    for number in range(64):
        store.hears(OrderOpened(saga_id=f"o-{number}", participants=EVERYBODY), f"opening {number}", DESK)
    crashes = 0
    for _ in range(1_000):
        # As `Trials`: all at once after one crash, half of the worst after several.
        works = store.ledger.startable(store.now, 1_000)
        if store.ledger.has_suspects():
            store.ledger.try_suspects(all_of_them=crashes == 1, in_turn=crashes != 1)
            works += store.ledger.startable(store.now, 1_000)
        store.commit()
        if any((work.journal.saga_id, work.item.step) == killer for work in works):
            crashes += 1
            store = store.reopened("crashed")
            continue
        for work in works:
            store.ledger.finish(work.journal.saga_id, work.item, Spoke(None), store.now)
        if not works:
            break
    assert not works
    # One crash makes suspects of 128 items, seven halve them, and three spend the budget.
    assert crashes <= 2 + 7 + 3
    store.commit()
    assert [one["step"] for one in store.bodies("order.step.failed")] == ["print_label"]
    assert "worker died" in store.bodies("order.step.failed")[0]["cause"]


def test_what_stands_in_the_backlog_of_a_life_that_died_is_suspect() -> None:
    store = Bench(STORE)
    store.hears(OrderOpened(saga_id=SAGA, participants=EVERYBODY), "opening", ending="crashed")
    assert store.starts(tried=False) == []
    assert store.starts() == ["reserve_stock", "print_label"]


@pytest.mark.parametrize(("ending", "is_suspect"), [("crashed", True), ("lost", False), ("clean", False)])
def test_only_a_life_that_died_makes_a_command_of_its_backlog_a_suspect(ending: Ending, is_suspect: bool) -> None:
    desk = opened_desk()
    desk.hears(CancelOrder(saga_id=SAGA), "cancel", ending=ending)
    assert desk.item("cancel_order").suspect is is_suspect


def test_a_suspect_that_has_ended_is_none_any_more_in_the_next_life() -> None:
    store = Bench(STORE)
    store.hears(OrderOpened(saga_id=SAGA, participants=EVERYBODY), "opening", ending="crashed")
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
        store = store.reopened("crashed")
        store.commit()
        store.starts(tried=False)
        if store.ledger.has_suspects():
            # The lane commits before a suspect starts.
            store.ledger.try_suspects(all_of_them=False, in_turn=True)
            store.starts(tried=False)
            store.commit()
        attempts += [work.item.attempt for work in store.running.values() if work.item.step == "reserve_stock"]
    assert attempts == sorted(attempts) and attempts[-1] > 2
