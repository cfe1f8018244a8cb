"""A state record that this build cannot decode holds its saga, not its lane, and goes on with a build that can."""

from typing import Any

import msgspec
import pytest

from consumers.tracker.ledger import TrackerLedger
from consumers.tracker.records import VERSION, Undecodable, closed_marker, decoded, versioned
from consumers.tracker.tracked import Tracked
from schemas.message import Event
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    ORDER,
    STORE,
    TILL,
    CardCharged,
    OrderCancelled,
    OrderCompleted,
    OrderOpened,
)
from tests.unit.consumers.tracker.builds import later_build, looked_after
from tests.unit.consumers.tracker.log import PRINTED, RESERVED, delayed, step
from tests.unit.consumers.tracker.test_stalling import Watched, opened

GARBAGE = [b"", b"\xff\xfe not a record", b"\x93\x01", b"{}"]


def newer(record: bytes | None) -> bytes:
    """The record as a later version of the code might write it."""
    assert record is not None
    return bytes((VERSION + 1,)) + record[1:]


def older_build(log: Watched) -> Watched:
    """The next life, of a build that cannot decode what the newer one before it has written."""
    log.state = {key: newer(value) for key, value in log.state.items()}
    return later_build(log)


def newer_build(log: Watched, before: Watched) -> Watched:
    """The life after that, of the newer build: it can decode what was kept of its own record."""
    record = log.state[SAGA]
    assert record is not None
    original = newer(before.state[SAGA])
    assert original in record
    log.state[SAGA] = record.replace(original, bytes((VERSION,)) + original[1:])
    return later_build(log)


@pytest.mark.parametrize("record", GARBAGE)
def test_garbage_holds_its_saga_with_the_cause_and_where_the_record_is(record: bytes) -> None:
    log = opened()
    log.state = {SAGA: record}
    status = looked_after(later_build(log))
    assert (status["saga_id"], status["state"], status["progress_percent"]) == (SAGA, "held", 0)
    assert f"cannot decode the record saga/{SAGA} of order.tracker.state partition 0" in status["cause"]


def test_the_other_sagas_of_the_lane_go_on() -> None:
    log = opened()
    log.state = {"o-2": b"\xff", **log.state}
    later = later_build(log)
    assert later.hears(RESERVED, STORE, "order.opened")["saga_id"] == SAGA
    assert step(later.statuses[-1], "reserve_stock")["state"] == "done"


def test_a_newer_version_is_named_in_the_cause() -> None:
    later = older_build(opened())
    cause = looked_after(later)["cause"]
    assert f"it has version {VERSION + 1}, and this build reads up to version {VERSION}" in cause


def test_the_record_stays_as_it_is_until_something_is_heard_and_then_byte_for_byte_inside_what_replaces_it() -> None:
    log = opened()
    original = newer(log.state[SAGA])
    later = older_build(log)
    looked_after(later)
    assert later.state[SAGA] == original
    later.hears(RESERVED, STORE, "order.opened")
    assert later.state[SAGA] != original and original in (later.state[SAGA] or b"")


def test_what_was_heard_meanwhile_is_applied_by_the_build_that_can_decode_the_record() -> None:
    before = opened()
    before.hears(PRINTED, STORE, "order.opened")
    straight = later_build(before)
    held = older_build(before)
    # Two lives of the build that cannot.
    held.hears(RESERVED, STORE, "order.opened")
    held = later_build(held)
    held.hears(CardCharged(saga_id=SAGA), TILL, "order.stock.reserved")
    assert (held.statuses[-1]["state"], step(held.statuses[-1], "charge_card")["state"]) == ("held", "done")
    straight.hears(RESERVED, STORE, "order.opened")
    straight.hears(CardCharged(saga_id=SAGA), TILL, "order.stock.reserved")
    back = newer_build(held, before)
    assert back.take() == straight.statuses[-1]
    assert back.state == straight.state


@pytest.mark.parametrize("ends", ["completed", "cancelled"])
def test_a_saga_that_ends_meanwhile_has_ended(ends: str) -> None:
    log = older_build(opened())
    if ends == "completed":
        status = log.hears(OrderCompleted(saga_id=SAGA), TILL, "order.parcel.shipped")
    else:
        assert log.hears(OrderCancelled(saga_id=SAGA), DESK, "cancel")["state"] == "compensating"
        log = later_build(log)
        status = log.settles(*EVERYBODY)
    assert (status["state"], status["outcome"]["type"]) == (ends, f"order.{ends}")
    count = len(log.statuses)
    log.hears(RESERVED, STORE, "order.opened", "late")
    assert len(log.statuses) == count
    assert isinstance(decoded(log.state[SAGA] or b""), float)
    assert later_build(log).hears(OrderOpened(saga_id=SAGA, participants=EVERYBODY), DESK, "place") == {}


def test_a_saga_that_has_ended_is_known_to_have_ended_whatever_the_version_of_its_marker() -> None:
    log = opened()
    log.hears(OrderCompleted(saga_id=SAGA), TILL, "order.parcel.shipped")
    later = older_build(log)
    assert looked_after(later) == {}
    assert later.tracker.count().open == 0


def test_a_record_of_a_build_that_wrote_no_version_is_read() -> None:
    log = opened()
    for saga_id, record in log.state.items():
        assert record is not None and record[0] == VERSION
        log.state[saga_id] = record[1:]
    status = later_build(log).hears(RESERVED, STORE, "order.opened")
    assert (status["state"], status["started_at"]) == ("running", log.statuses[0]["started_at"])
    assert decoded(closed_marker(BEGIN)[1:]) == BEGIN


def test_what_is_kept_meanwhile_is_bounded_and_what_the_engine_says_is_kept_longest() -> None:
    log = older_build(opened())
    large = CardCharged(saga_id=SAGA)
    for number in range(40):
        event: Event = RESERVED.model_copy(update={"shelf": "x" * 60_000})
        log.hears(event if number % 2 else large, STORE, "order.opened", f"event {number}")
    delay = delayed("print_label", "c" * 20_000)
    for number in range(80):
        log.hears(delay, STORE, "x", f"engine {number}")
    record = log.state[SAGA] or b""
    assert 1_900_000 < len(record) < 2_500_000
    assert 50 < record.count(b"engine ") < 80
    assert record.count(b"event ") < 40


def test_ten_thousand_of_them_are_told_of_in_parts() -> None:
    tracker = TrackerLedger(ORDER, 0)
    for number in range(1_200):
        tracker.load(f"o-{number}", b"\xff")
    tracker.reopen("clean", BEGIN)
    told = []
    while (due := tracker.next_due()) is not None and due <= BEGIN:
        tracker.fire(BEGIN)
        told.append(len(tracker.take().said))
    assert sum(told) == 1_200 and max(told) <= 500


def test_pauses_that_cannot_be_decoded_stop_no_lane() -> None:
    log = opened()
    log.state[""] = b"\xff"
    assert later_build(log).hears(RESERVED, STORE, "order.opened")["state"] == "running"


@pytest.mark.parametrize("record", [b"\x01", b"\x01\x93\xff", *GARBAGE, b"\x7f\x91", bytes(200)])
def test_every_record_that_is_none_is_refused_by_one_error(record: bytes) -> None:
    with pytest.raises(Undecodable):
        decoded(record)


def test_a_record_of_a_newer_layout_with_more_fields_of_the_same_version_is_read() -> None:
    found: Any = decoded(versioned(msgspec.msgpack.encode([*msgspec.structs.astuple(Tracked(1.0, 2.0)), "more"])))
    assert isinstance(found, Tracked) and found.updated_at == 2.0
