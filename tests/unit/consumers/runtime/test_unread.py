"""A state record that this build cannot read holds its saga, and is kept as it is until a build can read it."""

from dataclasses import replace
from random import Random

import msgspec
import pytest

from consumers.runtime.carrying import Carrier
from consumers.runtime.journal import JOURNAL_VERSION_MAX, Fact, Journal, JournalUnreadable, decoded
from consumers.runtime.unread import ASIDE_PREFIX
from consumers.runtime.utterances import Utterance
from schemas.engine import ItemResumed, ItemSkipped
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import SAGA, Bench, opened_desk
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL
from tests.unit.consumers.runtime.test_carrying import PAINTED_LABEL, says

HELD, RESUMED, REFUSED = "order.step.failed", "order.item.resumed", "order.command.refused"
GARBAGE = b"\xc1 garbage"


def with_record(bench: Bench, record: bytes) -> Bench:
    """The next life of the participant, which finds this record for its saga."""
    bench.commit()
    bench.state[SAGA] = record
    return bench.reopened()


def newer(bench: Bench) -> bytes:
    """The saga's record as a later build would write it: with a version, and a field that has another type by then."""
    bench.commit()
    record = msgspec.msgpack.decode(bench.state[SAGA])
    return msgspec.msgpack.encode(record | {"version": JOURNAL_VERSION_MAX + 1, "items": 7})


def till_charging() -> Bench:
    till = Bench(TILL)
    till.opens()
    till.commit()
    return till


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (GARBAGE, "MessagePack|invalid|malformed"),
        (b"", "truncated"),
        (msgspec.msgpack.encode({"saga_id": SAGA, "version": JOURNAL_VERSION_MAX + 1}), "it has version 2, and this"),
        (msgspec.msgpack.encode({"saga_id": SAGA, "version": 2, "items": 7}), "it has version 2, and this"),
        (msgspec.msgpack.encode({"saga_id": SAGA, "items": 7}), "items"),
        (b"\x81" * 100_000, "recursion|Expected"),
    ],
    ids=["garbage", "empty", "newer", "newer and other", "of another shape", "deep"],
)
def test_a_record_that_cannot_be_read_says_why(record: bytes, words: str) -> None:
    with pytest.raises(JournalUnreadable, match=words):
        decoded(record)


def test_an_unread_record_holds_its_saga_and_no_other_and_is_written_by_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    held = with_record(till_charging(), GARBAGE)
    (logged,) = [one.__dict__ for one in caplog.records if one.message == "ledger.journal_unread"]
    assert (logged["participant"], logged["saga_id"]) == (TILL, SAGA)
    assert (held.starts(), held.commit()) == ([], [HELD])
    (told,) = held.bodies(HELD)
    assert (told["participant"], told["step"], told["item"], told["policy"]) == (TILL, "flow", f"flow/{TILL}", "hold")
    assert told["cause"].startswith(f"flow changed: this build cannot read saga/{SAGA} in order.till.state 0: ")
    held.hears(order.StockReserved(saga_id=SAGA), "stock", STORE)
    held.hears(order.OrderOpened(saga_id="o-2", participants=(TILL,)), "opening 2", DESK)
    held.hears(order.StockReserved(saga_id="o-2"), "stock 2", STORE)
    assert held.starts() == ["charge_card"]
    assert held.commit() == []
    assert held.state[SAGA] == GARBAGE
    assert held.dead_letters() == []
    again = held.reopened()
    assert (again.starts(), again.commit()) == (["charge_card"], [])
    assert again.state[SAGA] == GARBAGE


def test_a_build_that_can_read_the_record_applies_what_has_come_since() -> None:
    till = till_charging()
    record = till.state[SAGA]
    held = with_record(till, newer(till))
    held.hears(order.StockReserved(saga_id=SAGA), "stock", STORE)
    held.hears(order.StockReserved(saga_id=SAGA), "stock", STORE)
    held.starts()
    back = with_record(held, record)
    assert back.starts() == ["charge_card"]
    assert back.commit() == [RESUMED]
    assert [key for key in back.others if key.startswith(ASIDE_PREFIX)] == []
    assert back.reopened().starts() == ["charge_card"]


def test_the_door_refuses_the_commands_of_a_saga_that_it_cannot_read_and_starts_it_not_again() -> None:
    held = with_record(opened_desk(), GARBAGE)
    held.starts()
    held.commit()
    for _ in range(2):
        held.hears(order.PlaceOrder(saga_id=SAGA, item="tulip"), "place again")
    held.hears(order.CancelOrder(saga_id=SAGA), "cancel")
    assert (held.starts(), held.commit()) == ([], [REFUSED, REFUSED])
    assert all("this build cannot read saga/o-1" in body["reason"] for body in held.bodies(REFUSED))
    assert held.state[SAGA] == GARBAGE


def test_an_unread_saga_is_told_of_again_after_its_failing_end_and_can_be_given_up_then() -> None:
    held = with_record(till_charging(), GARBAGE)
    held.starts()
    held.commit()
    named = {"saga_id": SAGA, "participant": TILL, "step": "flow", "item": f"flow/{TILL}"}
    held.hears(ItemSkipped(**named, reason="refunded by hand"), "skipped early", DESK)
    held.hears(ItemResumed(**named), "resumed", DESK)
    # Neither can be done, and both are answered.
    assert held.commit() == [HELD, HELD]
    held.expires()
    assert held.commit() == [HELD]
    held.hears(ItemSkipped(**named, reason="refunded by hand"), "skipped", DESK)
    assert held.commit() == ["order.participant.settled"]
    assert SAGA not in held.state and [key for key in held.others if key.startswith(ASIDE_PREFIX)] == []
    assert len({one["attempts"] for one in held.bodies(HELD)}) == 4


def test_what_comes_for_an_unread_saga_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.runtime.unread.ITEMS_MAX", 2)
    held = with_record(till_charging(), GARBAGE)
    for number in range(4):
        held.hears(order.StockReserved(saga_id=SAGA), f"stock {number}", STORE)
    held.commit()
    assert ["2 events wait for the saga already" in one["reason"] for one in held.dead_letters()] == [True, True]


def test_what_an_outsider_writes_about_an_unread_saga_is_not_kept() -> None:
    held = with_record(till_charging(), GARBAGE)
    held.hears_raw("order.stock.reserved", b"no json", topic="order.events")
    held.hears_raw("order.unheard.of", b"{}", topic="order.events")
    held.commit()
    assert [key for key in held.others if key.startswith(ASIDE_PREFIX)] == []


def test_the_door_keeps_an_unreadable_event_of_an_unread_saga_and_sends_an_outsiders_to_the_dead_letters() -> None:
    desk = opened_desk()
    desk.commit()
    desk.state[SAGA] = GARBAGE
    held = desk.reopened(graph=PAINTED_LABEL)
    says(held, order.LabelPrinted(saga_id=SAGA), STORE)
    held.commit()
    (kept,) = (value for key, value in held.others.items() if key.startswith(ASIDE_PREFIX))
    assert held.dead_letters() == []
    held.hears_raw("order.label.printed", b"no json", topic="order.events")
    held.commit()
    assert len(held.dead_letters()) == 1
    assert held.others[f"{ASIDE_PREFIX}{SAGA}"] == kept


def test_an_event_that_was_kept_and_cannot_be_applied_holds_its_saga(monkeypatch: pytest.MonkeyPatch) -> None:
    till = till_charging()
    record = till.state[SAGA]
    held = with_record(till, newer(till))
    held.hears(order.StockReserved(saga_id=SAGA), "stock", STORE)
    held.starts()
    held.commit()

    def fails(self: Carrier, journal: Journal, fact: Fact) -> list[Utterance]:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(Carrier, "apply", fails)
    back = with_record(held, record)
    assert back.starts() == []
    assert [(item.step, item.state) for item in back.items] == [("quarantine", "stuck")]
    assert back.commit() == [RESUMED, "order.compensation.stuck"]
    assert "a mistake of ours" in back.bodies("order.compensation.stuck")[0]["cause"]


def test_a_flow_is_kept_as_long_as_a_record_that_may_name_it_is_unread() -> None:
    till = till_charging()
    record, flows = till.state[SAGA], set(till.others)
    till.state[SAGA] = GARBAGE
    steps = {name: step for name, step in ORDER.steps.items() if name != "ship_parcel"}
    held = till.reopened(graph=replace(ORDER, steps=steps))
    held.commit()
    assert flows < set(held.others)
    held.state[SAGA] = record
    assert flows < set(held.reopened().others)


def test_an_event_that_is_written_twice_is_kept_once() -> None:
    held = with_record(till_charging(), GARBAGE)
    held.hears(order.StockReserved(saga_id=SAGA), "stock", STORE)
    held.commit()
    (kept,) = (value for key, value in held.others.items() if key.startswith(ASIDE_PREFIX))
    held.hears(order.StockReserved(saga_id=SAGA), "stock", STORE)
    held.commit()
    assert held.others[f"{ASIDE_PREFIX}{SAGA}"] == kept


def damaged(record: bytes, random: Random) -> bytes:
    """The record with some bytes changed, lost or added."""
    found = bytearray(record)
    for _ in range(random.choice((1, 1, 1, 3))):
        place = random.randrange(len(found) or 1)
        what = random.randrange(3)
        found[place : place + (what < 2)] = bytes([random.randrange(256)]) if what else b""
    return bytes(found[: random.randrange(len(found))] if random.random() < 0.1 else found)


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_to_a_state_record_stops_the_lane_or_is_overwritten_unread(seed: int) -> None:
    random = Random(seed)
    for make in (till_charging, opened_desk):
        bench = make()
        bench.starts()
        bench.commit()
        for records in (bench.state, bench.others):
            records |= {key: damaged(value, random) for key, value in records.items() if random.random() < 0.7}
        before = bench.state[SAGA]
        later = bench.reopened(random.choice(("clean", "crashed", "lost")))
        is_unread = SAGA in later.ledger._unread.causes
        for event in (
            order.StockReserved(saga_id=SAGA),
            order.OrderCleared(saga_id=SAGA),
            order.OrderExpired(saga_id=SAGA),
        ):
            later.hears(event, event.wire_type, DESK)
            later.starts()
            later.commit()
        assert not is_unread or later.state[SAGA] == before
        again = later.reopened("crashed")
        again.starts()
        again.commit()


@pytest.mark.parametrize("name", ["saga_id", "items", "facts"])
def test_a_record_that_contradicts_itself_is_unread(name: str) -> None:
    till = till_charging()
    till.hears(order.StockReserved(saga_id=SAGA), "stock", STORE)
    till.commit()
    record = msgspec.msgpack.decode(till.state[SAGA])
    record[name] = "o-2" if name == "saga_id" else {f"{key}?": one for key, one in record[name].items()}
    held = with_record(till, msgspec.msgpack.encode(record))
    assert (held.starts(), held.commit()) == ([], [HELD])
