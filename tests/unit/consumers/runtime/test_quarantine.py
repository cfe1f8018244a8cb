"""An error of the engine over one saga is that saga's dead letter and a counted fault; nothing is applied half."""

import json
from collections import Counter
from typing import Any

import msgspec
import pytest

from consumers.runtime import finishing, judging, speaking
from consumers.runtime import ledger as ledgers
from consumers.runtime.carrying import Carrier
from consumers.runtime.finishing import Broke, Outcome, Spoke
from consumers.runtime.graph import Step, Undo
from consumers.runtime.hearing import hear
from consumers.runtime.journal import Fact, Item, Journal
from consumers.runtime.ledger import Ledger
from consumers.runtime.utterances import Utterance
from consumers.runtime.view import View, view_of
from consumers.tracker import folding
from consumers.tracker import ledger as trackers
from consumers.tracker.ledger import TrackerLedger
from producers.records import Outgoing
from schemas.engine import CommandRefused, CompensationStuck, ItemResumed
from schemas.message import Message
from tests.unit.consumers.runtime.bench import EVERYBODY, SAGA, Bench, opened_desk
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    ORDER,
    STORE,
    TILL,
    CancelOrder,
    CardCharged,
    LabelPrinted,
    OrderExpired,
    OrderOpened,
    PlaceOrder,
    StockReserved,
)
from tests.unit.consumers.runtime.test_carrying import PAINTED_LABEL, says
from tests.unit.consumers.tracker.log import RESERVED, Log


class Broken:
    """The engine's rule with a mistake in it, for what this message says, until it is mended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_mended = False
        monkeypatch.setattr(ledgers, "hear", self.hear)

    def hear(self, journal: Journal, view: View, fact: Fact, event: Message) -> list[Utterance]:
        said = hear(journal, view, fact, event)
        if b"poison" in fact.body and not self.is_mended:
            for item in journal.items.values():
                item.attempt = 99
            raise KeyError("half way")
        return said


class Counting(Bench):
    """A bench that counts faults."""

    def __init__(self, participant: str) -> None:
        super().__init__(participant)
        self.faults: Counter[str] = Counter()
        self.ledger = Ledger(
            view_of(ORDER, participant), 0, 1, "acme", count_fault=lambda _, call: self.faults.update([call])
        )


def encoded(bench: Bench) -> bytes:
    return msgspec.msgpack.encode(bench.journal)


def test_an_event_that_cannot_be_applied_changes_nothing_and_holds_its_saga_until_it_is_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = Broken(monkeypatch)
    store = Counting("order.till")
    store.opens()
    before = encoded(store)
    store.hears(StockReserved(saga_id=SAGA, shelf="poison"), "reserved", STORE)
    (held,) = store.items
    assert (held.step, held.state, held.attempt) == ("quarantine", "stuck", 1)
    del store.journal.items[held.id]
    assert encoded(store) == before
    store.journal.items[held.id] = held
    assert store.starts() == []
    assert store.commit() == ["order.compensation.stuck"]
    (letter,) = store.dead_letters()
    assert "order.till could not hear it: KeyError('half way')" in letter["reason"]
    assert letter["origin"]["offset"] == 1
    assert store.faults == {"hear": 1}
    # The other saga of the partition has noticed nothing.
    store.hears(OrderOpened(saga_id="o-2", participants=("order.till",)), "opening 2", DESK)
    store.hears(StockReserved(saga_id="o-2"), "reserved 2", STORE)
    assert store.starts() == ["charge_card"]
    store.commit()
    later = store.reopened("crashed")
    assert later.starts() == ["charge_card"]
    broken.is_mended = True
    resumed = ItemResumed(saga_id=SAGA, participant="order.till", step="quarantine", item=held.id)
    later.hears(resumed, "resumed", DESK)
    assert later.starts() == ["charge_card"] and later.open_items == ["charge_card"]
    assert later.journal.items["charge_card/reserved"].message.body.count(b"poison") == 1


def test_each_participant_that_cannot_apply_an_event_has_an_item_of_its_own_that_can_be_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Broken(monkeypatch)
    desk = opened_desk()
    for who in (STORE, TILL):
        bench = Counting(who)
        bench.hears(OrderOpened(saga_id=SAGA, participants=EVERYBODY, item="poison"), "opening", DESK)
        bench.commit()
        (stuck,) = bench.bodies("order.compensation.stuck")
        desk.hears(CompensationStuck.model_validate(stuck), f"stuck {who}", who)
    assert {(one.participant, item) for item, one in desk.journal.standing.items()} == {
        (who, f"quarantine/{who}/opening") for who in (STORE, TILL)
    }


def test_an_event_that_still_cannot_be_applied_when_it_is_retried_is_told_of_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Broken(monkeypatch)
    till = Counting("order.till")
    till.opens()
    till.hears(StockReserved(saga_id=SAGA, shelf="poison"), "reserved", STORE)
    (held,) = till.items

    def fails_still(journal: Journal, view: View, fact: Fact, event: Message) -> list[Utterance]:
        raise KeyError("still")

    monkeypatch.setattr(ledgers, "hear", fails_still)
    till.hears(ItemResumed(saga_id=SAGA, participant="order.till", step="quarantine", item=held.id), "resumed", DESK)
    assert [(item.id, item.attempt, item.state) for item in till.items] == [(held.id, 2, "stuck")]
    till.commit()
    told = till.bodies("order.compensation.stuck")
    assert [one["attempts"] for one in told] == [1, 2]
    assert len({one.headers for one in till.said if one.topic == "order.events"}) == 2


@pytest.mark.parametrize(("name", "participant"), [("event_in", STORE), ("command_in", DESK)])
def test_a_record_that_cannot_be_decoded_for_a_mistake_of_ours_is_a_dead_letter(
    name: str, participant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("before there is a journal")

    monkeypatch.setattr(ledgers, name, fails)
    bench = Counting(participant)
    if name == "event_in":
        bench.opens()
    else:
        bench.hears(PlaceOrder(saga_id=SAGA, item="tulip"), "place")
    bench.commit()
    (letter,) = bench.dead_letters()
    assert f"{participant} could not hear it: KeyError" in letter["reason"]
    assert bench.faults == {"decode": 1}


def test_an_unreadable_event_that_cannot_even_be_parked_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Carrier, journal: Journal, fact: Fact, reason: str) -> list[Utterance]:
        raise KeyError("half way")

    monkeypatch.setattr(Carrier, "park", fails)
    desk = opened_desk().reopened(graph=PAINTED_LABEL)
    says(desk, LabelPrinted(saga_id=SAGA), STORE)
    desk.commit()
    (letter,) = desk.dead_letters()
    assert "order.label.printed" in letter["reason"]


def test_a_command_that_cannot_be_applied_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> str:
        raise KeyError("half way")

    desk = Counting(DESK)
    desk.opens()
    monkeypatch.setattr(ledgers, "full_of_commands", fails)
    desk.hears(CancelOrder(saga_id=SAGA), "cancel")
    desk.commit()
    (letter,) = desk.dead_letters()
    assert f"{DESK} could not hear it: KeyError" in letter["reason"]
    assert (desk.open_items, desk.faults) == (["expire_order"], {"hear": 1})


def test_a_saga_whose_items_cannot_be_chosen_is_counted_and_the_others_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def startable(journal: Journal, view: View, now: float, passed: frozenset[str] | set[str]) -> list[Item]:
        if journal.saga_id == SAGA:
            raise KeyError("half way")
        return finishing.startable(journal, view, now, passed)

    monkeypatch.setattr(ledgers, "startable", startable)
    store = Counting(STORE)
    store.opens()
    store.hears(OrderOpened(saga_id="o-2", participants=EVERYBODY), "opening 2", DESK)
    assert store.starts() == ["reserve_stock", "print_label"]
    assert {work.journal.saga_id for work in store.running.values()} == {"o-2"}
    assert store.faults == {"choose": 1}


def test_an_item_that_was_condemned_fails_without_being_called() -> None:
    store = Counting(STORE)
    store.opens()
    (item,) = [item for item in store.items if item.step == "print_label"]
    store.ledger.condemn((SAGA, item.id), "no transaction with it is committed")
    assert store.starts() == ["reserve_stock"]
    assert store.commit() == ["order.step.failed"]
    (letter,) = store.dead_letters()
    assert (letter["error"], letter["step"]) == ("EngineFault", "print_label")


def test_a_failing_end_gives_up_what_could_not_be_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    Broken(monkeypatch)
    till = Counting("order.till")
    till.opens()
    till.hears(StockReserved(saga_id=SAGA, shelf="poison"), "reserved", STORE)
    till.expires()
    assert "order.participant.settled" in till.commit()
    assert till.items == []


def retries(held: Item) -> bytes:
    return json.dumps({"participant": DESK, "step": "quarantine", "item": held.id}).encode()


def test_the_door_is_freed_by_a_command_though_it_could_not_apply_its_own_opening(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = Broken(monkeypatch)
    desk = Counting(DESK)
    desk.hears(PlaceOrder(saga_id=SAGA, item="poison"), "place")
    desk.starts()
    desk.says("place_order", OrderOpened(saga_id=SAGA, item="poison"))
    desk.hears_itself()
    (held,) = desk.items
    assert (held.step, desk.journal.participants) == ("quarantine", ())
    desk.hears_raw("order.item.retry", retries(held))
    broken.is_mended = True
    desk.starts()
    assert desk.hears_itself() == ["order.compensation.stuck", "order.item.resumed"]
    assert desk.journal.participants == EVERYBODY
    assert desk.starts() == ["expire_order"]


def test_a_command_that_needs_a_step_waits_while_the_door_lacks_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken(monkeypatch)
    desk = opened_desk()
    desk.hears(CardCharged(saga_id=SAGA), "not poisonous", "order.till")
    body = json.dumps({"saga_id": SAGA, "note": "poison"}).encode()
    desk.hears_raw("order.label.printed", body, topic="order.events")
    desk.hears_itself()
    (held,) = [item for item in desk.items if item.step == "quarantine"]
    desk.hears_raw("order.cancel", b"{}")
    assert desk.starts() == []
    desk.hears_raw("order.item.retry", retries(held))
    broken.is_mended = True
    assert desk.starts() == []
    assert desk.hears_itself() == ["order.item.resumed"]
    assert desk.starts() in (["cancel_order"], ["clear_order"])


def test_an_outcome_that_cannot_be_applied_is_the_failure_of_its_step_and_of_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def finish(journal: Journal, view: View, item: Item, outcome: Outcome, now: float) -> list[Utterance]:
        said = finishing.finish(journal, view, item, outcome, now)
        if isinstance(outcome, Spoke) and isinstance(outcome.event, StockReserved):
            raise ZeroDivisionError("half way")
        return said

    monkeypatch.setattr(ledgers, "finish", finish)
    store = Counting(STORE)
    store.opens()
    assert sorted(store.starts()) == ["print_label", "reserve_stock"]
    store.says("reserve_stock", StockReserved(saga_id=SAGA))
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    assert store.commit() == ["order.step.failed", "order.label.printed"]
    (letter,) = store.dead_letters()
    assert (letter["error"], letter["step"]) == ("EngineFault", "reserve_stock")
    # What it did is not known, so it is undone.
    assert [(done.step, done.fact is None) for done in store.journal.done if done.step == "reserve_stock"] == [
        ("reserve_stock", True)
    ]
    assert store.faults == {"finish": 1}


def test_what_was_said_before_the_mistake_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def outgoing(journal: Journal, view: View, partition: int, utterance: Utterance, now: float) -> list[Outgoing]:
        if isinstance(utterance.event, CommandRefused):
            raise ZeroDivisionError("half way")
        return speaking.outgoing(journal, view, partition, utterance, now)

    desk = opened_desk()
    desk.hears(CancelOrder(saga_id=SAGA), "cancel")
    assert desk.starts() == ["cancel_order"]
    desk.commit()
    monkeypatch.setattr(ledgers, "outgoing", outgoing)
    # A failed step, and the refusal of its command.
    desk.breaks("cancel_order", permanent=True)
    assert desk.commit() == ["order.compensation.stuck"]
    assert [letter["error"] for letter in desk.dead_letters()] == ["EngineFault"]
    assert desk.item("cancel_order").state == "stuck"


def test_an_item_whose_failure_cannot_be_applied_either_stands_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    def finish(*_: object) -> list[Utterance]:
        raise ZeroDivisionError("always")

    store = Counting(STORE)
    store.opens()
    store.starts()
    monkeypatch.setattr(ledgers, "finish", finish)
    store.says("reserve_stock", StockReserved(saga_id=SAGA))
    assert store.item("reserve_stock").state == "stuck"
    # So it can be retried.
    assert store.commit() == ["order.compensation.stuck"]
    assert [letter["error"] for letter in store.dead_letters()] == ["EngineFault"]

    # It is stored, though nothing can be told of it.
    monkeypatch.setattr(ledgers, "compensation_stuck", finish)
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    assert (store.commit(), len(store.dead_letters())) == ([], 2)
    assert store.reopened().item("print_label").state == "stuck"


def test_an_item_that_cannot_be_started_fails_and_the_others_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def foregone(journal: Journal, view: View, item: Item, owner: Step | Undo | None) -> Outcome | None:
        if item.step == "print_label":
            raise LookupError("no such thing")
        return judging.foregone(journal, view, item, owner)

    monkeypatch.setattr(ledgers, "foregone", foregone)
    store = Counting(STORE)
    store.opens()
    assert store.starts() == ["reserve_stock"]
    assert store.commit() == ["order.step.failed"]
    assert store.faults == {"start": 1}


@pytest.mark.parametrize("outcome", [Broke("Odd\ud800", "no \ud800 text"), Broke("Odd\ud800", "x", permanent=True)])
def test_a_cause_that_has_no_bytes_is_spelt_out(outcome: Broke) -> None:
    store = Counting(STORE)
    store.opens()
    store.starts()
    store.ends("reserve_stock", outcome)
    store.commit()
    assert b"\\ud800" in store.state[SAGA] or store.dead_letters()[0]["error"] == "Odd\\ud800"
    assert store.faults == {}


def test_a_journal_that_cannot_be_encoded_loses_what_cannot_and_is_counted() -> None:
    store = Counting(STORE)
    store.opens()
    store.item("print_label").cause = "\ud800"
    store.hears(LabelPrinted(saga_id=SAGA), "label", STORE)
    store.commit()
    assert store.faults == {"encode": 1}
    assert store.open_items == ["reserve_stock"]


def test_an_event_the_tracker_cannot_apply_is_a_dead_letter_and_stops_no_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fold(tracked: Any, meanings: Any, entry: Any, event: Any, at: float, heard_at: float) -> None:
        folding.fold(tracked, meanings, entry, event, at, heard_at)
        if isinstance(event, StockReserved):
            tracked.steps.clear()
            raise OverflowError("half way")

    monkeypatch.setattr(trackers, "fold", fold)
    faults: Counter[str] = Counter()
    log = Log()
    log.tracker = TrackerLedger(ORDER, 0, count_fault=lambda _, call: faults.update([call]))
    log.opens()
    steps = log.statuses[-1]["steps"]
    log.only_hears(RESERVED, STORE, "order.opened")
    said = log.tracker.take().said
    (letter, status) = (json.loads(one.value or b"") for one in said)
    assert [one.topic for one in said] == ["order.dead", "order.status"]
    assert "OverflowError" in letter["reason"]
    assert status["steps"] == steps and "OverflowError" in status["cause"]
    assert log.hears(OrderExpired(saga_id=SAGA), DESK)["state"] == "compensating"
    assert faults == {"hear": 1}


def test_a_status_that_cannot_be_told_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    faults: Counter[str] = Counter()
    log = Log()
    log.tracker = TrackerLedger(ORDER, 0, count_fault=lambda _, call: faults.update([call]))
    log.only_hears(OrderOpened(saga_id=SAGA), DESK)
    tracked = log.tracker._open.find(SAGA)
    assert tracked is not None
    tracked.updated_at = 1e300
    log.only_hears(OrderOpened(saga_id="o-2"), DESK, message_id="2")
    snapshot = log.tracker.take()
    assert [one.key for one in snapshot.said] == [b"o-2"]
    assert set(snapshot.state) == {SAGA, "o-2"} and faults == {"tell": 1}
