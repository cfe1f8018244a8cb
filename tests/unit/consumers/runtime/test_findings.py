"""What the review of the engine found, third round. Each test states a promise that the engine breaks today."""

from typing import Any

import pytest

from consumers.runtime.checks import mistakes_in
from consumers.runtime.steps import on
from consumers.tracker.ledger import TrackerLedger
from producers.headers import headers_for
from producers.records import Record
from schemas.engine import StepDelayed
from schemas.message import Message
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench
from tests.unit.consumers.runtime.other_flows import ClerkAssigned, OrderLost, flow_with
from tests.unit.consumers.runtime.small_saga import ORDER, STORE, TILL

LARGE_BYTES_MAX = 8_388_608
OPENED = order.OrderOpened(saga_id=SAGA, participants=EVERYBODY, graph="g")


def record(message: Message, message_id: str, wire_type: str = "", **named: Any) -> Record:
    headers = headers_for(
        wire_type=wire_type or message.wire_type, message_id=message_id, source=STORE, saga_id=SAGA, at=BEGIN, **named
    )
    return Record("order.events", 0, 0, BEGIN, SAGA.encode(), message.model_dump_json().encode(), headers)


def test_a_step_that_fails_on_an_event_with_a_long_id_says_so() -> None:
    """An event's id may have 1,200 characters, StepFailed.item 1,000: pydantic raises inside finish(), the item runs
    for ever. (Lane._run has no net under finish(); whatever it raises is never seen.)"""
    store = Bench(STORE)
    store.opens("x" * 1_100)
    if store.starts():
        store.breaks("print_label", permanent=True)
        assert store.commit() == ["order.step.failed"]


@pytest.mark.parametrize("needs_a_barrier", [True, False])
def test_a_clock_that_goes_back_between_a_timer_and_its_start_loses_no_item(needs_a_barrier: bool) -> None:
    """fire() takes the timer off the heap; if startable() is then asked for an earlier moment, nothing puts it back."""
    bench = Bench("order.desk" if needs_a_barrier else STORE)
    bench.opens()
    (step, *_) = bench.starts()
    if needs_a_barrier:
        from consumers.runtime.finishing import Waits

        bench.ends(step, Waits(BEGIN + 60))
    else:
        bench.breaks(step)
    bench.ledger.fire(BEGIN + 60)
    bench.ledger.mark(bench.ledger.unmarked(), bench.offsets)
    bench.ledger.heard_up_to(bench.offsets)
    assert bench.ledger.startable(BEGIN, 10) == []
    bench.now = BEGIN + 61
    assert step in bench.starts()


def test_many_forged_facts_do_not_swell_a_journal_until_kafka_refuses_it() -> None:
    """Each is bounded, their sum is not: every copy with another id is another item, with its message. What `take`
    encodes is never measured, and a journal above 8 MB stops the lane for all its sagas."""
    till = Bench(TILL)
    till.ledger.hear(record(OPENED, "opening"), BEGIN)
    for number in range(15):
        till.ledger.hear(record(order.StockReserved(saga_id=SAGA, shelf="x" * 600_000), f"forged {number}"), BEGIN)
    assert max(len(value or b"") for value in till.ledger.take().state.values()) < LARGE_BYTES_MAX


def test_many_forged_events_do_not_swell_what_the_tracker_keeps_until_kafka_refuses_it() -> None:
    """`types` has the id of every event of a saga."""
    tracker = TrackerLedger(ORDER, 0)
    tracker.hear(record(OPENED, "opening"), BEGIN)
    delayed = StepDelayed.model_validate(
        {"saga_id": SAGA, "participant": STORE, "step": "s", "item": "i", "attempt": 1, "cause": "c", "next_at": BEGIN}
    )
    for number in range(9_000):
        tracker.hear(record(delayed, f"{number:01000}", "order.step.delayed"), BEGIN)
    assert max(len(value or b"") for value in tracker.take().state.values()) < LARGE_BYTES_MAX


def test_a_recall_of_what_only_one_of_the_ways_says_is_not_taken_for_certain() -> None:
    """_is_certain believes that a step which must have run has said the word recalled; it may have said another one
    that goes on as well (CardNotWanted). At run time that is FactMissing, and ends the saga."""

    @on(order.OrderCleared)
    async def assign_one(cleared: order.OrderCleared, card: order.CardCharged) -> ClerkAssigned:
        raise NotImplementedError

    @on(ClerkAssigned)
    async def lose_order(assigned: ClerkAssigned) -> OrderLost:
        raise NotImplementedError

    graph = flow_with((TILL, assign_one), (TILL, lose_order), words=(ClerkAssigned, OrderLost))
    assert list(mistakes_in(graph)) == [
        "assign_one recalls order.card.charged, which need not have been said by then; allow None"
    ]
