"""When a status is told: at once where it is the last one, else together with what follows within a moment."""

import pytest

from consumers.tracker.ledger import TELL_WITHIN_SECONDS
from tests.unit.consumers.runtime.bench import SAGA
from tests.unit.consumers.runtime.small_saga import STORE, TILL, OrderCompleted
from tests.unit.consumers.tracker.log import PRINTED, RESERVED, Log

MOMENT_SECONDS = 0.001


def opened() -> Log:
    """A saga whose opening was heard, and told."""
    log = Log()
    log.opens()
    return log


def is_told(log: Log, seconds: float) -> bool:
    """Whether the tracker wants to tell something so long after the newest event."""
    log.tracker.fire(log.now + seconds)
    return log.tracker.has_news()


def test_a_change_that_is_not_the_last_is_told_soon_and_not_at_once() -> None:
    log = opened()
    log.only_hears(RESERVED, STORE, "order.opened")
    assert not is_told(log, 0.0)
    assert log.tracker.next_due() == pytest.approx(log.now + TELL_WITHIN_SECONDS)
    assert not is_told(log, TELL_WITHIN_SECONDS - MOMENT_SECONDS)
    assert is_told(log, TELL_WITHIN_SECONDS + MOMENT_SECONDS)


def test_what_is_heard_meanwhile_does_not_put_it_off() -> None:
    log = opened()
    log.only_hears(RESERVED, STORE, "order.opened")
    first_due = log.tracker.next_due()
    log.only_hears(PRINTED, STORE, "order.opened")
    assert log.tracker.next_due() == first_due
    assert is_told(log, 0.0)


def test_the_last_status_is_told_at_once() -> None:
    log = opened()
    log.only_hears(OrderCompleted(saga_id=SAGA), TILL, "order.parcel.shipped")
    assert is_told(log, 0.0)
    assert log.take()["state"] == "completed"


def test_after_it_was_told_nothing_is_due() -> None:
    log = opened()
    log.only_hears(RESERVED, STORE, "order.opened")
    log.take()
    assert not is_told(log, TELL_WITHIN_SECONDS + MOMENT_SECONDS)
