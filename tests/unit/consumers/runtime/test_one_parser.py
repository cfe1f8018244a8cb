"""What was validated is what is used: a record is decoded in one way, by the door, the others and the tracker alike."""

import json

import pytest

from consumers.app import sagas
from consumers.tracker.ledger import TrackerLedger
from producers.records import Headers, Record
from schemas.engine import StepDelayed
from tests.simulation.campaign_world import BRIEF
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench, opened_desk
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL
from tests.unit.consumers.tracker.log import Log

EVENTS = ORDER.schema.topics.events


def test_of_a_key_that_stands_twice_in_a_command_the_last_one_counts_and_nothing_is_raised() -> None:
    desk = Bench(DESK)
    twice = b'{"participant":1,"participant":"order.store","step":"reserve_stock"}'
    for body in (twice, b'{"saga_id":"o-1",' + twice[1:]):
        desk.hears_raw("order.step.resume", body)
        desk.starts()
    desk.commit()
    resumed = {"saga_id": SAGA, "participant": "order.store", "step": "reserve_stock"}
    assert desk.bodies("order.step.resumed") == [resumed, resumed]
    desk = opened_desk()
    desk.hears_raw("order.item.retry", b'{"saga_id":"o-1","participant":"p","step":"s","item":5,"item":"x"}')
    desk.starts()
    assert desk.commit() == ["order.command.refused"]


@pytest.mark.parametrize("participant", EVERYBODY)
def test_an_engine_event_is_used_as_its_class_reads_it(participant: str) -> None:
    bench = Bench(participant)
    bench.opens()
    body = {"participant": f" {STORE} ", "step": "s", "item": "i", "attempts": "2", "cause": "c", "forward": "true"}
    bench.hears_raw("order.compensation.stuck", json.dumps(body | {"saga_id": SAGA}).encode(), topic=EVENTS)
    standing = bench.journal.standing["i"]
    assert (standing.participant, standing.forward) == (STORE, True)
    bench.commit()
    assert bench.dead_letters() == []


def doubled(first: str, second: str, name: str = "ce_type") -> Headers:
    """Our headers with another type behind them."""
    named = ("ce_specversion", b"1.0"), ("ce_id", b"e"), ("ce_source", b"x"), ("ce_type", first.encode())
    return (("content-type", b"application/json"), *named, (name, second.encode()))


@pytest.mark.parametrize("name", ["ce_type", "CE_TYPE"])
def test_every_participant_takes_the_same_type_of_a_header_that_stands_twice(name: str) -> None:
    headers = doubled("order.customer.greeted", "order.expired", name)
    ended: set[bool] = set()
    for participant in EVERYBODY:
        bench = Bench(participant)
        bench.opens()
        assert not bench.ledger.ignores(headers)
        bench.hears_record(EVENTS, SAGA.encode(), json.dumps({"saga_id": SAGA}).encode(), headers)
        ended.add(bench.journal.end is not None)
    log = Log()
    log.opens()
    log.tracker.hear(Record(EVENTS, 0, 9, BEGIN, SAGA.encode(), b'{"saga_id":"o-1"}', headers), BEGIN)
    assert ended == {True} and log.take()["state"] == "compensating"


@pytest.mark.parametrize(
    "body",
    [
        b'{"saga_id":"o-1","colour":1e999}',
        b'{"saga_id":" o-1"}',
        b'{"saga_id":"o-1","colour":NaN}',
        b'{"saga_id":"o-2","saga_id":"o-1"}',
        b'{"saga_id":"o-1","colour":' + b"[" * 150 + b"]" * 150 + b"}",
        b'{"saga_id":"o-1","colour":' + b"[" * 250 + b"]" * 250 + b"}",
        b'{"saga_id":"o-1","colour":"\\ud800"}',
        b'{"saga_id":"o-1"}  ',
        b'{"saga_id":"o-1"} x',
    ],
)
def test_participants_and_tracker_agree_whether_a_record_is_an_event(body: bytes) -> None:
    till, log = Bench(TILL), Log()
    till.opens()
    log.opens()
    till.hears_raw("order.expired", body, topic=EVENTS)
    log.tracker.hear(Record(EVENTS, 0, 9, BEGIN, SAGA.encode(), body, (("ce_type", b"order.expired"),)), BEGIN)
    assert (till.journal.end is not None) == (log.take()["state"] != "running")


@pytest.mark.parametrize(
    "deadline", ["0001-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "3001-01-01T00:00:00"]
)
def test_a_date_out_of_range_is_no_event_and_stops_nobody(deadline: str) -> None:
    graph = sagas()[0].graph
    tracker, door = TrackerLedger(graph, 0), Bench(graph.door, graph)
    opening = BRIEF | {"saga_id": "c-1", "participants": list(graph.participants), "graph": "g"}
    asked = {"saga_id": "c-1", "deadline": deadline}
    for offset, (name, body) in enumerate((("opened", opening), ("review.requested", asked), ("expired", asked))):
        headers = (("ce_type", f"campaign.{name}".encode()), ("ce_source", b"x"), ("ce_id", name.encode()))
        record = Record("campaign.events", 0, offset, BEGIN, b"c-1", json.dumps(body).encode(), headers)
        tracker.hear(record, BEGIN)
        door.ledger.hear(record, BEGIN)
    status = json.loads(tracker.take().said[-1].value or b"")
    door.commit()
    assert (status["state"], status["deadline"]) == ("compensating", None)
    assert [letter["type"] for letter in door.dead_letters()] == ["campaign.review.requested"]


def test_a_date_without_a_zone_is_one_in_utc() -> None:
    body = {"saga_id": SAGA, "participant": STORE, "step": "s", "item": "i", "attempt": 1, "cause": "c"}
    assert StepDelayed.model_validate(body | {"next_at": "2027-01-15T08:00:00"}).next_at.timestamp() == BEGIN
