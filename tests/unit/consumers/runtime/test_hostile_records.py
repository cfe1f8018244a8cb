"""Nothing that anyone can publish stops a consumer, swells a record until Kafka refuses it, or leads sagas astray."""

import json
from typing import Any

import pytest

from consumers.runtime.finishing import Waits
from consumers.tracker.ledger import TrackerLedger
from producers.headers import headers_for
from producers.records import Outgoing, Record, partition_of
from schemas.engine import Settled, StepDelayed, StepFailed
from schemas.message import Message
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL

EVENTS_BYTES_MAX = 1_048_588  # Kafka's default max.message.bytes; consumers/topic_rules.py says a little more
LARGE_BYTES_MAX = 8_388_608  # state and dead-letter topics


def opened(participants: tuple[str, ...] = EVERYBODY) -> order.OrderOpened:
    return order.OrderOpened(saga_id=SAGA, participants=participants, graph="g")


def size_of(one: Outgoing) -> int:
    """About what the broker measures."""
    headers = sum(len(name) + len(value or b"") for name, value in one.headers)
    return len(one.key or b"") + len(one.value or b"") + headers


def record(topic: str, message: Message, message_id: str, wire_type: str = "", **named: Any) -> Record:
    """A record of ours; `headers` replace ours of the same name."""
    replaced: dict[str, Any] = named.pop("headers", {})
    headers: dict[str, Any] = dict(
        headers_for(
            wire_type=wire_type or message.wire_type,
            message_id=message_id,
            source="somebody",
            saga_id=SAGA,
            at=BEGIN,
            **named,
        )
    )
    return Record(
        topic, 0, 0, BEGIN, SAGA.encode(), message.model_dump_json().encode(), tuple((headers | replaced).items())
    )


@pytest.mark.parametrize("name", ["ce_type", "content-type", "x-anything", "ce_time"])
@pytest.mark.parametrize("participant", [*EVERYBODY, "order.tracker"])
def test_a_header_without_a_value_stops_nobody(name: str, participant: str) -> None:
    memory = TrackerLedger(ORDER, 0) if participant == "order.tracker" else Bench(participant).ledger
    headers: dict[str, Any] = {name: None}
    good = record("order.events", opened(), "o", headers=headers)
    bad = good._replace(value=b"not json")
    command = bad._replace(topic="order.commands")
    for one in (good, bad, command) if participant == DESK else (good, bad):
        memory.hear(one, BEGIN)
    memory.take()


@pytest.mark.parametrize(
    "headers",
    [
        {"ce_time": b"9999-12-31T23:59:59.999-14:00"},
        {"ce_time": b"0001-01-01T00:00:00+14:00"},
        {"ce_time": b"0001-01-01T00:00:00"},
        {"ce_attempt": b"9" * 30},
        {"ce_attempt": b"9" * 5_000},
        {"ce_startedat": b"9999-12-31T23:59:59.999-14:00"},
    ],
    ids=lambda headers: f"{next(iter(headers))} {len(next(iter(headers.values())))}",
)
def test_no_header_that_anyone_can_write_stops_the_tracker(headers: dict[str, bytes]) -> None:
    tracker = TrackerLedger(ORDER, 0)
    tracker.hear(record("order.events", opened(), "o"), BEGIN)
    reserved = record("order.events", order.StockReserved(saga_id=SAGA), "s", headers=headers, causation="o")
    tracker.hear(reserved._replace(headers=tuple((dict(reserved.headers) | {"ce_source": STORE.encode()}).items())), 0)
    tracker.take()


def raw_event(wire_type: str, body: dict[str, Any], number: int = 0) -> Record:
    headers = headers_for(wire_type=wire_type, message_id=f"forged {number}", source="x", saga_id=SAGA, at=BEGIN)
    return Record("order.events", 0, number, BEGIN, SAGA.encode(), json.dumps(body).encode(), headers)


def test_no_number_that_anyone_can_write_stops_the_tracker() -> None:
    tracker = TrackerLedger(ORDER, 0)
    tracker.hear(record("order.events", opened(), "o"), BEGIN)
    failed = StepFailed(
        saga_id=SAGA, participant=STORE, step="reserve_stock", item="i", attempts=2, cause="c", policy="end"
    )
    tracker.hear(raw_event("order.step.failed", failed.model_dump() | {"attempts": 2**70}), BEGIN)
    tracker.take()


@pytest.mark.parametrize("name", ["participant", "item"])
def test_forged_events_of_the_engine_do_not_swell_a_journal_until_kafka_refuses_it(name: str) -> None:
    store = Bench(STORE)
    store.hears(opened())
    for number in range(10):
        long = f"{number}" + "x" * 900_000
        body: dict[str, Any] = {"participant": STORE, "step": "s", "item": "i", "attempts": 1, "cause": "c"}
        body[name] = long
        store.ledger.hear(raw_event("order.compensation.stuck", body, number), BEGIN)
        store.ledger.hear(raw_event("order.participant.settled", {"participant": long, "undone": 0}, number), BEGIN)
    assert max(len(value or b"") for value in store.ledger.take().state.values()) < LARGE_BYTES_MAX


def test_a_record_that_was_compressed_makes_no_dead_letter_that_kafka_refuses() -> None:
    desk = Bench(DESK)
    desk.hears_raw("order.place", b"\0" * 9_000_000)
    (letter,) = desk.ledger.take().said
    assert size_of(letter) < LARGE_BYTES_MAX


def test_a_command_that_is_too_large_is_not_forwarded() -> None:
    desk = Bench(DESK, partitions=4)
    key = next(f"o-{n}" for n in range(99) if partition_of(f"o-{n}".encode(), 4) != 0).encode()
    desk.hears_raw("order.place", b'"' + b"x" * 9_000_000 + b'"', key)
    assert [size_of(one) < EVENTS_BYTES_MAX or one.topic for one in desk.ledger.take().said] == [True]


@pytest.mark.parametrize("header", ["ce_tenant", "ce_correlationid"])
def test_a_commands_headers_cannot_make_its_answer_too_large(header: str) -> None:
    desk = Bench(DESK)
    headers = (("ce_type", b"order.place"), (header, b"x" * (EVENTS_BYTES_MAX - 200)))
    desk.hears_record("order.commands", SAGA.encode(), b'{"item":"tulip"}', headers)
    if desk.starts():
        desk.says("place_order", opened())
    assert [one.topic for one in desk.ledger.take().said if size_of(one) > EVENTS_BYTES_MAX] == []


def test_the_largest_event_makes_no_status_that_kafka_refuses() -> None:
    tracker = TrackerLedger(ORDER, 0)
    tracker.hear(record("order.events", opened(), "o"), BEGIN)
    refused = order.OrderCancelled(saga_id=SAGA, reason="x" * 524_000)
    tracker.hear(record("order.events", refused, "r"), BEGIN)
    assert max(size_of(one) for one in tracker.take().said) < EVENTS_BYTES_MAX


def test_settlements_end_no_saga_that_has_not_failed() -> None:
    store = Bench(STORE)
    store.hears(opened())
    for name in EVERYBODY:
        store.hears(Settled(saga_id=SAGA, participant=name, undone=0), f"settled {name}")
    assert store.starts() != []


def test_refused_commands_do_not_swell_a_journal_until_kafka_refuses_it() -> None:
    desk = Bench(DESK)
    desk.hears(opened())
    desk.hears(order.OrderCompleted(saga_id=SAGA))
    for number in range(3_000):
        headers = (("ce_type", b"order.cancel"), ("ce_id", f"{number:0490}".encode()))
        desk.hears_record("order.commands", SAGA.encode(), b"{}", headers)
        desk.starts()
    assert len(desk.ledger.take().state[SAGA] or b"") < 1_000_000


def test_an_unreadable_event_that_the_door_does_not_hear_is_dead_lettered_all_the_same() -> None:
    letters: list[Outgoing] = []
    for participant in EVERYBODY:
        bench = Bench(participant)
        bench.hears_raw("order.stock.reserved", b"not json", topic="order.events")
        letters += bench.ledger.take().said
    assert len(letters) == 1


def test_a_command_among_the_events_is_not_carried_out() -> None:
    desk = Bench(DESK)
    desk.hears(opened())
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 3_600))
    desk.commit()
    desk.hears_raw("order.cancel", b"{}", topic="order.events")
    assert desk.starts() == []
    desk.commit()
    assert [letter["type"] for letter in desk.dead_letters()] == ["order.cancel"]


def test_a_second_opening_does_not_start_the_steps_again() -> None:
    store = Bench(STORE)
    store.hears(opened(), "opening")
    assert len(store.starts()) == 2
    for step in list(store.running):
        store.breaks(step, permanent=False)
    store.hears(opened(), "another opening")
    assert len(store.journal.items) == 2


def test_every_participant_takes_the_same_type_from_a_structured_event() -> None:
    envelope = {"specversion": "1.0", "id": "e", "source": "x", "type": "order.expired", "data": {}}
    headers = (("content-type", b"application/cloudevents+json"), ("ce_type", b"order.something"))
    ends = set()
    for participant in EVERYBODY:
        bench = Bench(participant)
        bench.hears(opened())
        bench.hears_record("order.events", SAGA.encode(), json.dumps(envelope).encode(), headers)
        ends.add(bench.journal.end is not None)
    assert len(ends) == 1


def test_a_forwarded_structured_command_keeps_the_position_it_was_published_at_as_its_identity() -> None:
    away, home = Bench(DESK, partitions=4), Bench(DESK, partitions=1)
    key = next(f"o-{n}" for n in range(99) if partition_of(f"o-{n}".encode(), 4) != 0)
    envelope = {"specversion": "1.0", "type": "order.place", "data": {"item": "tulip"}}
    headers = (("content-type", b"application/cloudevents+json"),)
    away.offsets["order.commands"] = 7
    away.hears_record("order.commands", key.encode(), json.dumps(envelope).encode(), headers)
    (copy,) = away.ledger.take().said
    home.hears_record(copy.topic, copy.key, copy.value, copy.headers)
    assert next(iter(home.ledger.journals[key].items)) == "place_order/order.commands/0/7"


@pytest.mark.parametrize("participant", [STORE, TILL, "order.tracker"])
def test_events_of_any_size_swell_neither_journal_nor_status_until_kafka_refuses_it(participant: str) -> None:
    memory = TrackerLedger(ORDER, 0) if participant == "order.tracker" else Bench(participant).ledger
    memory.hear(record("order.events", opened().model_copy(update={"item": "x" * 8_000_000}), "opening"), BEGIN)
    memory.hear(record("order.events", opened(), "small opening"), BEGIN)
    memory.hear(record("order.events", order.StockReserved(saga_id=SAGA, shelf="x" * 8_000_000), "reserved"), BEGIN)
    memory.hear(record("order.events", order.OrderCancelled(saga_id=SAGA, reason="x" * 8_388_000), "refused"), BEGIN)
    snapshot = memory.take()
    assert max(len(value or b"") for value in snapshot.state.values()) < LARGE_BYTES_MAX
    assert max([len(one.value or b"") for one in snapshot.said] + [0]) < 1_000_000


def test_the_tracker_counts_no_settlement_before_the_end_and_none_of_strangers() -> None:
    tracker = TrackerLedger(ORDER, 0)
    tracker.hear(record("order.events", opened(), "opening"), BEGIN)
    for name in (*EVERYBODY, "stranger"):
        settled = Settled(saga_id=SAGA, participant=name, undone=0)
        tracker.hear(record("order.events", settled, f"settled {name}", "order.participant.settled"), BEGIN)
    tracker.hear(record("order.events", order.OrderExpired(saga_id=SAGA), "expired"), BEGIN)
    assert [b'"state":"compensating"' in (one.value or b"") for one in tracker.take().said] == [True]


def test_a_copy_of_an_opening_brings_no_saga_back_to_life_in_the_status() -> None:
    tracker = TrackerLedger(ORDER, 0)
    tracker.hear(record("order.events", opened(), "opening"), BEGIN)
    tracker.hear(record("order.events", order.OrderCompleted(saga_id=SAGA), "completed"), BEGIN)
    tracker.take()
    tracker.hear(record("order.events", opened(), "opening"), BEGIN)
    assert tracker.take().said == []


def test_a_step_that_fails_on_an_event_with_a_long_id_says_so() -> None:
    store = Bench(STORE)
    store.opens("x" * 1_100)
    if store.starts():
        store.breaks("print_label", permanent=True)
        assert store.commit() == ["order.step.failed"]


def test_many_forged_facts_do_not_swell_a_journal_until_kafka_refuses_it() -> None:
    till = Bench(TILL)
    till.ledger.hear(record("order.events", opened(), "opening"), BEGIN)
    for number in range(15):
        till.ledger.hear(
            record("order.events", order.StockReserved(saga_id=SAGA, shelf="x" * 600_000), f"forged {number}"), BEGIN
        )
    assert max(len(value or b"") for value in till.ledger.take().state.values()) < LARGE_BYTES_MAX


def test_many_forged_events_do_not_swell_what_the_tracker_keeps_until_kafka_refuses_it() -> None:
    tracker = TrackerLedger(ORDER, 0)
    tracker.hear(record("order.events", opened(), "opening"), BEGIN)
    delayed = StepDelayed.model_validate(
        {"saga_id": SAGA, "participant": STORE, "step": "s", "item": "i", "attempt": 1, "cause": "c", "next_at": BEGIN}
    )
    for number in range(9_000):
        tracker.hear(record("order.events", delayed, f"{number:01000}", "order.step.delayed"), BEGIN)
    assert max(len(value or b"") for value in tracker.take().state.values()) < LARGE_BYTES_MAX
