"""What a rehearsal says of a dead letter, and that it changes nothing."""

import asyncio
import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import msgspec
import pytest

from consumers.runtime.graph import Graph
from consumers.runtime.journal import Journal
from consumers.runtime.rehearsal import EVENTS_STAY, CapturedPort, Verdict, captured, rehearsed_item, rehearsed_record
from consumers.runtime.steps import ReadOnly, StepFunction
from producers.errors import DependencyDown
from producers.records import Headers, Record
from tests.unit.consumers.runtime.bench import BEGIN, SAGA, Bench
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    ORDER,
    STORE,
    TILL,
    Cards,
    LabelPrinted,
    OrderCleared,
    ParcelShipped,
    Post,
    Printer,
    Shelves,
    StockReserved,
)

HELD = "ship_parcel/cleared"


class Truck:
    """Stands where the effects would be made; what it carries was really done."""

    def __init__(self) -> None:
        self.name = "truck"
        self.shipped: list[str] = []

    async def ship(self, key: str) -> None:
        self.shipped.append(key)

    def honk(self) -> None:
        self.shipped.append("honk")


def held_till() -> Bench:
    """A till whose ship_parcel has spent its budget and is held."""
    till = Bench(TILL)
    till.opens()
    till.hears(OrderCleared(saga_id=SAGA), "cleared")
    for _ in range(2):
        till.starts()
        till.breaks("ship_parcel")
        till.now += 60
    till.commit()
    assert till.item("ship_parcel").state == "held"
    return till


def with_step(name: str, function: StepFunction) -> Graph:
    """The order, had this step other code."""
    return replace(ORDER, steps=ORDER.steps | {name: replace(ORDER.steps[name], function=function)})


def rehearsed(
    journal: Journal | None,
    graph: Graph = ORDER,
    ports: dict[type, object] | None = None,
    item_id: str = HELD,
    participant: str = TILL,
) -> Verdict:
    known: dict[type, object] = dict.fromkeys((Shelves, Printer, Cards, Post), Truck()) | (ports or {})
    return asyncio.run(rehearsed_item(graph, participant, known, journal, item_id, lambda: BEGIN))


def shipping(end: Callable[[], Any]) -> Graph:
    """The order, did ship_parcel end so."""

    async def ship(**_: Any) -> Any:
        return end()

    return with_step("ship_parcel", ship)


def raising(error: BaseException) -> Callable[[], Any]:
    def end() -> Any:
        raise error

    return end


def test_a_step_passes_as_far_as_its_first_effect_which_is_not_made() -> None:
    truck = Truck()
    verdict = rehearsed(held_till().journal, ports={Post: truck})
    assert verdict == Verdict("passes", "passes as far as its first effect Post.ship")
    assert truck.shipped == []


def test_a_rehearsal_leaves_the_journal_as_it_was_and_says_nothing() -> None:
    till = held_till()
    before = msgspec.msgpack.encode(till.journal)
    rehearsed(till.journal)
    assert msgspec.msgpack.encode(till.journal) == before
    assert (till.commit(), till.item("ship_parcel").attempt) == ([], 2)


@pytest.mark.parametrize(
    ("end", "verdict"),
    [
        (lambda: ParcelShipped(saga_id=SAGA), Verdict("passes", "says ParcelShipped")),
        (lambda: LabelPrinted(saga_id=SAGA), Verdict("fails", "SaidUndeclared: ship_parcel returned a LabelPrinted")),
        (lambda: None, Verdict("fails", "SaidUndeclared: ship_parcel returned a NoneType")),
        (raising(ConnectionError("no answer")), Verdict("fails", "ConnectionError: no answer")),
        (raising(KeyError("van")), Verdict("fails", "KeyError: 'van'")),
        (raising(DependencyDown("Post", BEGIN + 9)), Verdict("fails", "Post is down; its breaker is open")),
        (raising(TimeoutError()), Verdict("fails", "StepTimedOut: no answer in 30 s")),
    ],
    ids=["speaks", "undeclared", "silent", "fails", "fails otherwise", "blocked", "late"],
)
def test_a_step_without_an_effect_is_told_by_how_it_ends(end: Callable[[], Any], verdict: Verdict) -> None:
    found = rehearsed(held_till().journal, shipping(end))
    assert found.kind == verdict.kind
    assert found.words.startswith(verdict.words)


def test_a_step_that_asks_to_wait_passes() -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.starts()
    held = desk.item("expire_order")
    held.state = "held"
    verdict = rehearsed(desk.journal, item_id=held.id, participant=DESK)
    assert verdict == Verdict("passes", "waits until 2027-01-15T09:00:00.000Z")


def test_a_step_is_told_of_one_attempt_more_and_its_own_key() -> None:
    found: list[tuple[str, int]] = []

    async def ship(call: Any, **_: Any) -> ParcelShipped:
        found.append((call.key, call.attempt))
        return ParcelShipped(saga_id=SAGA)

    till = held_till()
    graph = with_step("ship_parcel", ship)
    rehearsed(till.journal, graph)
    rehearsed(till.journal, graph)
    assert found[0] == found[1]
    assert found[0][1] == 3


def test_no_step_can_take_a_captured_effect_for_an_answer_or_go_on_after_it() -> None:
    truck = Truck()

    async def ship(post: Any, **_: Any) -> ParcelShipped:
        try:
            await asyncio.gather(post.ship("a"), post.ship("b"))
        except Exception:
            truck.shipped.append("caught")
        finally:
            await post.ship("c")
        return ParcelShipped(saga_id=SAGA)

    verdict = rehearsed(held_till().journal, with_step("ship_parcel", ship), ports={Post: truck})
    assert verdict == Verdict("passes", "passes as far as its first effect Post.ship")
    assert truck.shipped == []


def test_a_captured_port_notes_what_is_called_and_shows_what_only_stands_there() -> None:
    truck, called = Truck(), list[str]()
    port = captured({Post: truck}, called)[Post]
    assert isinstance(port, CapturedPort)
    assert port.name == "truck"
    with pytest.raises(BaseException, match="honk"):
        port.honk()
    assert (called, truck.shipped) == (["Post.honk"], [])
    with pytest.raises(AttributeError):
        port.fly("key")
    assert called == ["Post.honk"]


def test_a_port_that_only_looks_is_the_real_one() -> None:
    class Window(ReadOnly, Protocol):
        async def look(self) -> str: ...

    truck = Truck()
    assert captured({Window: truck, Post: truck}, [])[Window] is truck


def test_a_compensation_that_is_stuck_is_rehearsed_as_well() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    store.says("reserve_stock", StockReserved(saga_id=SAGA))
    store.hears_itself()
    store.expires()
    store.hears_settled(DESK, TILL)
    for _ in range(2):
        store.starts()
        store.breaks("release_stock")
        store.now += 60
    (item,) = store.items
    assert (item.step, item.state) == ("release_stock", "stuck")
    verdict = rehearsed(store.journal, item_id=item.id, participant=STORE)
    assert verdict == Verdict("passes", "says StockReleased")


def test_a_step_that_is_no_longer_deployed_would_fail() -> None:
    gone = replace(ORDER, steps={name: step for name, step in ORDER.steps.items() if name != "ship_parcel"})
    verdict = rehearsed(held_till().journal, gone)
    assert verdict == Verdict("fails", "flow changed: no step of order.till is called ship_parcel")


def test_a_join_that_lacks_a_leg_would_fail_and_says_which() -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.starts()
    desk.hears(LabelPrinted(saga_id=SAGA), "label")
    item = desk.item("clear_order")
    item.state = "held"
    verdict = rehearsed(desk.journal, item_id=item.id, participant=DESK)
    assert verdict.kind == "fails"
    assert verdict.words.startswith("JoinTimedOut: ") and "order.card.charged" in verdict.words


def test_what_would_not_be_tried_is_refused_with_the_cause() -> None:
    assert rehearsed(None) == Verdict("refused", "order.till knows nothing of this saga")
    assert rehearsed(None, participant="order.attic").kind == "refused"
    assert rehearsed(held_till().journal, item_id="ship_parcel/other").words == "nothing stands still under its item"

    running = Bench(TILL)
    running.opens()
    running.hears(OrderCleared(saga_id=SAGA), "cleared")
    running.starts()
    assert rehearsed(running.journal) == Verdict("refused", "it is under way")

    ended = held_till()
    ended.expires()
    assert rehearsed(ended.journal) == Verdict("refused", "order o-1 has ended: order.expired")
    closed = copy.deepcopy(ended.journal)
    closed.close(BEGIN)
    assert rehearsed(closed) == Verdict("refused", "order o-1 has ended")


def record(
    value: bytes | None,
    wire_type: str = "order.place",
    topic: str = "order.commands",
    key: bytes | None = SAGA.encode(),
    more: Headers = (),
) -> Record:
    return Record(topic, 0, 7, BEGIN, key, value, (("ce_type", wire_type.encode()), *more))


def test_a_record_that_can_be_read_now_passes() -> None:
    verdict = rehearsed_record(ORDER, record(b'{"item":"tulip"}'))
    assert verdict == Verdict("passes", "it can be read now, as order.place")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (record(b"nonsense"), "the value is not JSON"),
        (record(None), "the record has no value"),
        (record(b"{}"), "the value is no order.place: item: Field required"),
        (record(b'{"item":"tulip"}', "order.plaice"), "no such command: 'order.plaice'"),
        (record(b'{"item":"tulip"}', "order.opened"), "no such command: 'order.opened'"),
        (record(b'{"item":"tulip"}', key=None), "the record has no key"),
        (record(b'{"item":"' + b"x" * 262_144 + b'"}'), "too large"),
    ],
    ids=["not JSON", "no value", "a field missing", "unknown", "an event", "no key", "too large"],
)
def test_a_record_that_still_cannot_be_read_would_fail_with_the_reason(broken: Record, reason: str) -> None:
    verdict = rehearsed_record(ORDER, broken)
    assert verdict.kind == "fails"
    assert verdict.words.startswith(reason)


def test_an_event_is_never_published_again() -> None:
    event = record(b"{}", "order.opened", topic="order.events")
    assert rehearsed_record(ORDER, event) == Verdict("refused", EVENTS_STAY)
