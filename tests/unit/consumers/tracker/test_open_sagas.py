"""The tracker's open sagas: kept encoded, and the same all the same."""

import pytest

from consumers.tracker.ledger import CHECKED_AT_ONCE, TrackerLedger
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL, OrderCompleted, OrderExpired, OrderOpened
from tests.unit.consumers.tracker.log import PRINTED, RESERVED, Log, delayed, resumed, stuck

YEAR_SECONDS = 365 * 86_400.0


def told(log: Log) -> Log:
    """A whole story, with a status for every event."""
    log.opens()
    log.hears(RESERVED, STORE, "order.opened")
    log.hears(delayed("print_label", "Printer is down"), STORE, "x")
    log.hears(PRINTED, STORE, "order.opened")
    log.hears(OrderExpired(saga_id=SAGA), DESK, "order.opened")
    log.hears(stuck(), STORE, "x")
    log.hears(resumed("release_stock"), DESK, "y")
    log.settles(DESK, STORE, TILL)
    return log


def many(number: int, decoded_most: int) -> TrackerLedger:
    """A tracker that has heard so many sagas begin, each told at once."""
    log = Log(decoded_most=decoded_most)
    for index in range(number):
        log.hears(OrderOpened(saga_id=f"o-{index}", participants=EVERYBODY), DESK, "place", f"opened {index}")
    later = TrackerLedger(ORDER, 0, decoded_most=decoded_most)
    for saga_id, encoded in log.state.items():
        later.load(saga_id, encoded)
    return later


def test_a_saga_that_is_kept_encoded_between_two_events_has_the_same_statuses_and_state() -> None:
    decoded, encoded = told(Log()), told(Log(decoded_most=0))
    assert [one["state"] for one in encoded.statuses] == [one["state"] for one in decoded.statuses]
    assert [one["steps"] for one in encoded.statuses] == [one["steps"] for one in decoded.statuses]
    assert encoded.statuses[-1]["state"] == "expired"
    assert encoded.state == decoded.state


@pytest.mark.parametrize("decoded_most", [0, 10, 1_000])
def test_every_open_saga_counts_and_one_that_has_ended_does_not(decoded_most: int) -> None:
    log = Log(decoded_most=decoded_most)
    for index in range(30):
        log.only_hears(OrderOpened(saga_id=f"o-{index}", participants=EVERYBODY), DESK, "place", f"opened {index}")
    assert log.tracker.count().open == 30
    log.take()
    assert log.tracker.count().open == 30
    log.only_hears(OrderCompleted(saga_id="o-3"), TILL, "x")
    assert log.tracker.count().open == 29
    log.take()
    assert log.tracker.count().open == 29


def test_a_stalled_saga_is_counted_in_the_next_life_too() -> None:
    tracker = many(2, decoded_most=0)
    tracker.reopen("clean", BEGIN)
    while not tracker.count().stalled:
        due = tracker.next_due()
        assert due is not None
        tracker.fire(due)
        tracker.mark(tracker.unmarked(), {"order.events": 0})
        tracker.heard_up_to({"order.events": 0})
    stalled = tracker.count().stalled
    later = TrackerLedger(ORDER, 0)
    for saga_id, encoded in tracker.take().state.items():
        later.load(saga_id, encoded)
    assert later.count().stalled == stalled


def test_many_sagas_are_checked_part_by_part_and_none_is_left_out() -> None:
    number = 2 * CHECKED_AT_ONCE + 10
    tracker = many(number, decoded_most=0)
    tracker.reopen("clean", BEGIN + YEAR_SECONDS)
    now = tracker.next_due()
    assert now is not None
    sizes = []
    for _ in range(3):
        assert (tracker.next_due() or now + 1) <= now
        tracker.fire(now)
        marks = tracker.unmarked()
        sizes.append(len(marks))
        tracker.mark(marks, {"order.events": 0})
        tracker.heard_up_to({"order.events": 0})
    assert sizes == [CHECKED_AT_ONCE, CHECKED_AT_ONCE, 10]
    assert tracker.count()[:2] == (number, number)
