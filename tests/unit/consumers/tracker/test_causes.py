"""The status says why a step waits, from its first failure on, and when it goes on."""

import pytest

from producers.errors import DependencyDown
from tests.unit.consumers.runtime.bench import SAGA
from tests.unit.consumers.runtime.small_saga import DESK, STORE, StockReleased
from tests.unit.consumers.tracker.log import RESERVED, Log, at, failed, resumed, step, stuck_log
from tests.unit.consumers.tracker.test_stalling import delayed, opened

REFUSED = "ConnectionError: refused"


def test_a_delayed_step_carries_its_error_and_the_time_of_its_next_attempt() -> None:
    status = opened().hears(delayed("reserve_stock", STORE, 90, 2, REFUSED), STORE, "x")
    told = step(status, "reserve_stock")
    assert (told["state"], told["attempts"], told["cause"]) == ("delayed", 2, REFUSED)
    assert told["next_at"] == at(90)


def test_a_step_that_waits_for_its_time_carries_it_and_no_cause() -> None:
    status = opened().hears(delayed("expire_order", DESK, 3_600, 1, "waits until 2027"), DESK, "x")
    told = step(status, "expire_order")
    assert (told["state"], told["next_at"]) == ("waiting", at(3_600))
    assert "cause" not in told


def test_an_open_breaker_is_told_with_the_error_that_the_step_met_before() -> None:
    log, is_down = opened(), str(DependencyDown("Shelves", 0.0))
    log.hears(delayed("reserve_stock", STORE, 10, 2, REFUSED), STORE, "x")
    for number in range(3):
        status = log.hears(delayed("reserve_stock", STORE, 20 + number, 2, is_down), STORE, f"x{number}")
        assert step(status, "reserve_stock")["cause"] == f"{is_down}; before that: {REFUSED}"


def test_an_error_that_the_open_breaker_names_itself_is_told_once() -> None:
    log, is_down = opened(), str(DependencyDown("Shelves", 0.0, REFUSED))
    log.hears(delayed("reserve_stock", STORE, 10, 2, REFUSED), STORE, "x")
    status = log.hears(delayed("reserve_stock", STORE, 20, 2, is_down), STORE, "y")
    assert step(status, "reserve_stock")["cause"] == is_down


def test_an_open_breaker_that_a_step_meets_first_is_its_whole_cause() -> None:
    is_down = str(DependencyDown("Shelves", 0.0, "OSError: unreachable"))
    status = opened().hears(delayed("reserve_stock", STORE, 10, 1, is_down), STORE, "x")
    assert step(status, "reserve_stock")["cause"] == "Shelves (OSError: unreachable) is down; its breaker is open"


def test_what_has_come_to_an_end_has_neither_cause_nor_next_attempt() -> None:
    log = opened()
    log.hears(delayed("reserve_stock", STORE, 10, 2, REFUSED), STORE, "x")
    told = step(log.hears(RESERVED, STORE, "order.opened"), "reserve_stock")
    assert told["state"] == "done"
    assert not told.keys() & {"cause", "next_at", "freed_by"}


def test_each_step_that_stands_still_has_its_own_cause() -> None:
    log = opened()
    log.hears(failed("reserve_stock", STORE, "hold").model_copy(update={"cause": "no shelf"}), STORE, "x")
    status = log.hears(failed("print_label", STORE, "hold").model_copy(update={"cause": "no paper"}), STORE, "y")
    assert [step(status, name)["cause"] for name in ("reserve_stock", "print_label")] == ["no shelf", "no paper"]


def test_a_stuck_compensation_has_its_cause_at_its_step_until_it_is_retried() -> None:
    log: Log = stuck_log()
    assert step(log.statuses[-1], "reserve_stock")["cause"] == "no answer"
    assert "cause" not in step(log.hears(resumed("release_stock"), DESK, "x"), "reserve_stock")


def test_what_was_undone_after_all_has_no_cause_any_more() -> None:
    log = stuck_log()
    told = step(log.hears(StockReleased(saga_id=SAGA), STORE, "order.stock.reserved"), "reserve_stock")
    assert told["state"] == "undone"
    assert "cause" not in told


@pytest.mark.parametrize("length", [499, 500, 20_000])
def test_a_cause_is_cut_off(length: int) -> None:
    status = opened().hears(delayed("reserve_stock", STORE, 10, 2, "x" * length), STORE, "x")
    assert len(step(status, "reserve_stock")["cause"]) == min(length, 500)
