"""A saga that is held, stuck or delayed says so in its status, and goes on when it is freed."""

import pytest

from schemas.engine import (
    EngineEvent,
    ItemResolved,
    ItemSkipped,
)
from tests.unit.consumers.runtime.bench import EVERYBODY, SAGA
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    STORE,
    TILL,
    OrderExpired,
    StockReleased,
)
from tests.unit.consumers.tracker.log import RESERVED, Log, delayed, failed, resumed, step, stuck, stuck_log


def test_a_held_step_holds_the_saga_and_names_the_item_to_be_freed() -> None:
    log = Log()
    log.opens()
    status = log.hears(failed("ship_parcel", TILL, "hold"), TILL, "x")
    assert (status["state"], status["cause"]) == ("held", "ship_parcel: no answer")
    shown = step(status, "ship_parcel")
    assert (shown["state"], shown["item"], shown["attempts"]) == ("held", "ship_parcel/x", 3)


def test_a_held_saga_runs_again_when_it_is_resumed() -> None:
    log = Log()
    log.opens()
    log.hears(failed("ship_parcel", TILL, "hold"), TILL, "x")
    status = log.hears(resumed("ship_parcel", TILL), DESK, "retry")
    assert status["state"] == "running"
    assert step(status, "ship_parcel")["state"] == "running"


def test_an_ignored_failure_shows_at_its_step_only() -> None:
    log = Log()
    log.opens()
    status = log.hears(failed("greet_customer", TILL, "ignore"), TILL, "x")
    assert (status["state"], status["cause"]) == ("running", None)
    assert step(status, "greet_customer")["state"] == "failed"


def test_a_stuck_compensation_makes_the_saga_stuck_and_names_the_step_the_cause_and_the_item() -> None:
    status = stuck_log().statuses[-1]
    assert (status["state"], status["cause"]) == ("stuck", "release_stock: no answer")
    shown = step(status, "reserve_stock")
    assert (shown["state"], shown["item"]) == ("stuck", "release_stock/x")


def test_a_stuck_saga_compensates_again_when_it_is_resumed() -> None:
    log = stuck_log()
    assert log.hears(resumed("release_stock"), DESK, "retry")["state"] == "compensating"
    log.hears(StockReleased(saga_id=SAGA), STORE, "order.stock.reserved")
    assert log.settles(*EVERYBODY)["state"] == "expired"


@pytest.mark.parametrize(
    ("freed", "state"),
    [
        (
            ItemResolved(
                saga_id=SAGA, participant=STORE, step="release_stock", item="release_stock/x", evidence="ticket 7"
            ),
            "undone",
        ),
        (
            ItemSkipped(saga_id=SAGA, participant=STORE, step="release_stock", item="release_stock/x", reason="sold"),
            "skipped",
        ),
    ],
    ids=["resolved", "skipped"],
)
def test_a_stuck_saga_goes_on_when_its_compensation_is_freed(freed: EngineEvent, state: str) -> None:
    log = stuck_log()
    status = log.hears(freed, DESK, "free")
    assert (status["state"], status["cause"]) == ("compensating", None)
    assert (step(status, "reserve_stock")["state"], step(status, "reserve_stock")["item"]) == (state, None)
    assert log.settles(*EVERYBODY)["state"] == "expired"


def test_a_saga_with_two_stuck_compensations_is_stuck_until_both_are_freed() -> None:
    log = stuck_log()
    log.hears(stuck("tear_label"), STORE, "tear_label/x/2", "stuck too")
    freed = ItemSkipped(saga_id=SAGA, participant=STORE, step="tear_label", item="tear_label/x", reason="torn by hand")
    status = log.hears(freed, DESK, "free")
    assert (status["state"], step(status, "print_label")["state"]) == ("stuck", "skipped")


def test_a_stuck_compensation_that_is_in_no_build_is_told_of_with_its_item_until_it_is_freed() -> None:
    log = stuck_log()
    log.hears(stuck("burn_label"), STORE, "burn_label/x/2", "stuck too")
    told = step(log.statuses[-1], "burn_label")
    assert (told["state"], told["participant"], told["item"]) == ("stuck", STORE, "burn_label/x")
    freed = ItemSkipped(saga_id=SAGA, participant=STORE, step="burn_label", item="burn_label/x", reason="let it be")
    told = step(log.hears(freed, DESK, "free"), "burn_label")
    assert (told["state"], told["item"]) == ("skipped", None)


def test_a_saga_that_is_held_is_no_longer_held_when_it_fails() -> None:
    log = Log()
    log.opens()
    log.hears(failed("ship_parcel", TILL, "hold"), TILL, "x")
    status = log.hears(OrderExpired(saga_id=SAGA), DESK, "order.opened")
    assert status["state"] == "compensating"
    assert step(status, "ship_parcel")["state"] == "skipped"


@pytest.mark.parametrize(
    ("cause", "state"), [("waits until 2027-01-15T09:00:00.000Z", "waiting"), ("ConnectionError: refused", "delayed")]
)
def test_a_step_that_waits_or_backs_off_shows_it(cause: str, state: str) -> None:
    log = Log()
    log.opens()
    status = log.hears(delayed("reserve_stock", cause), STORE, "x")
    shown = step(status, "reserve_stock")
    assert (shown["state"], shown["attempts"], shown["item"]) == (state, 2, "reserve_stock/x")
    assert status["state"] == "running"
    status = log.hears(RESERVED, STORE, "order.opened")
    assert (step(status, "reserve_stock")["state"], step(status, "reserve_stock")["item"]) == ("done", None)
