"""What the review of the engine found. Each of these tests states a promise that the engine breaks today."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from consumers.runtime import kafka_transport
from consumers.runtime.calling import Caller
from consumers.runtime.checks import mistakes_in
from consumers.runtime.finishing import Blocked, Spoke, Waits
from consumers.runtime.graph import Graph, graph_of
from consumers.runtime.journal import Item
from consumers.runtime.memory import Work
from consumers.runtime.steps import Call, Flow, Later, Participant, Retry, StepFunction, on, undo
from consumers.runtime.view import view_of
from consumers.tracker.ledger import TrackerLedger
from producers.headers import headers_for
from producers.records import Outgoing, Record, partition_of
from schemas.engine import CompensationStuck, ItemResumed, RetryItem, Settled, StepFailed
from schemas.message import Event, Message
from schemas.topics import SagaSchema
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench, causation_in, type_in
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL

EVENTS_BYTES_MAX = 1_048_588  # Kafka's default max.message.bytes; consumers/topics.py sets no other for these topics
LARGE_BYTES_MAX = 8_388_608  # state and dead-letter topics


def opened(participants: tuple[str, ...] = EVERYBODY) -> order.OrderOpened:
    return order.OrderOpened(saga_id=SAGA, participants=participants, graph="g")


def flow_with(*more: tuple[str, StepFunction], without: tuple[str, ...] = (), undos: Any = order.UNDOS) -> Graph:
    """The order with further steps, or without some."""
    messages = dict(order.SCHEMA.messages)
    for kind in (ClerkAssigned, Weighed, OrderPaused, PauseOrder):
        messages[kind.wire_type] = kind
    participants = tuple(
        Participant(
            one.name,
            tuple(step for step in one.steps if step.__name__ not in without)
            + tuple(step for name, step in more if name == one.name),
            one.door,
        )
        for one in order.FLOW.participants
    )
    return graph_of(Flow("order", participants), undos, SagaSchema("order", order.SCHEMA.topics, messages))


class ClerkAssigned(Event, type="order.clerk.assigned"):
    pass


class Weighed(Event, type="order.weighed"):
    kilograms: float = 0
    remarks: Any = None


class PauseOrder(order.Command, type="order.pause"):
    pass


class OrderPaused(Event, type="order.paused"):
    pass


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





def test_a_stuck_compensation_can_be_retried_by_a_person() -> None:
    """judged() refuses every command once an end stands, before it looks at RetryItem: a stuck saga stays stuck."""
    desk = Bench(DESK)
    desk.hears(opened())
    desk.hears(order.OrderExpired(saga_id=SAGA))
    stuck = CompensationStuck(
        saga_id=SAGA, participant=STORE, step="release_stock", item="release_stock/x", attempts=2, cause="no answer"
    )
    desk.hears(stuck, "stuck", STORE)
    desk.hears(RetryItem(saga_id=SAGA, participant=STORE, step="release_stock", item="release_stock/x"), "retry")
    desk.starts()
    assert "order.item.resumed" in desk.commit()


def test_the_door_goes_on_after_an_event_of_its_own_that_it_does_not_hear() -> None:
    """ledger._hear_event returns before hear() for types not `of_interest`, so `awaiting` is never cleared."""

    @on(order.OrderOpened)
    async def assign_clerk(opened: order.OrderOpened) -> ClerkAssigned: ...  # type: ignore[empty-body]

    desk = Bench(DESK, flow_with((DESK, assign_clerk)))
    desk.hears(opened())
    while "assign_clerk" not in desk.running:
        assert desk.starts()
        for step in [step for step in desk.running if step != "assign_clerk"]:
            desk.ends(step, Waits(BEGIN + 3_600))
    desk.says("assign_clerk", ClerkAssigned(saga_id=SAGA))
    desk.hears_itself()
    desk.hears(order.CancelOrder(saga_id=SAGA), "cancel")
    assert desk.starts() == ["cancel_order"]


@pytest.mark.parametrize("name", ["ce_type", "content-type", "x-anything", "ce_time"])
@pytest.mark.parametrize("participant", [*EVERYBODY, "order.tracker"])
def test_a_header_without_a_value_stops_nobody(name: str, participant: str) -> None:
    """Kafka allows headers with a null value, aiokafka hands them over as None; three places call .decode() on it."""
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


def test_no_number_that_anyone_can_write_stops_the_tracker() -> None:
    """pydantic takes an int of any size, msgpack only 64 bits: take() raises for ever."""
    tracker = TrackerLedger(ORDER, 0)
    tracker.hear(record("order.events", opened(), "o"), BEGIN)
    failed = StepFailed(
        saga_id=SAGA, participant=STORE, step="reserve_stock", item="i", attempts=2**70, cause="c", policy="end"
    )
    tracker.hear(record("order.events", failed, "f", "order.step.failed"), BEGIN)
    tracker.take()


def test_an_attempt_after_a_backoff_that_kills_its_worker_spends_its_budget() -> None:
    """reopen() counts `running` and `ready` only. An item that was `delayed` in the last snapshot, came due and killed
    the worker within a second is found `delayed` by every next life, started uncommitted, and kills it again."""
    store = Bench(STORE)
    store.hears(opened())
    store.starts()
    store.breaks("reserve_stock")
    store.commit()
    attempts = []
    for _ in range(6):
        store.now += 60
        store = store.reopened(died=True)
        store.commit()
        store.starts(acquitted=False)
        if store.ledger.has_suspects():
            # The lane commits before a suspect starts.
            store.starts()
            store.commit()
        attempts += [work.item.attempt for work in store.running.values() if work.item.step == "reserve_stock"]
    assert attempts != [2] * 6


def test_an_undo_waits_for_an_attempt_that_a_former_life_may_have_begun() -> None:
    """A life that died may have started what stands in its backlog: such an item is unsure, not only suspect."""
    store = Bench(STORE)
    store.hears(opened(), suspects=True)
    store.hears(order.OrderExpired(saga_id=SAGA), suspects=True)
    assert store.starts() == []
    assert store.item("tear_label").due == BEGIN + 5


def test_an_undo_waits_for_an_attempt_that_may_have_begun_when_its_backoff_was_over() -> None:
    store = Bench(STORE)
    store.hears(opened())
    store.starts()
    store.breaks("reserve_stock")
    store.breaks("print_label")
    store.commit()
    store.now += 60
    store = store.reopened(died=True)
    store.hears(order.OrderExpired(saga_id=SAGA), suspects=True)
    assert store.starts() == []


def test_a_step_that_forgets_to_return_does_not_halt_its_saga_in_silence() -> None:
    """None is taken as `nothing to say` also from a step that does not declare it."""

    async def forgets(*_: Any, **__: Any) -> None:
        return None

    assert not isinstance(_call(STORE, "print_label", forgets), Spoke)


def test_an_effect_whose_step_said_nothing_is_undone_all_the_same() -> None:
    """_spoke returns before it notes the step as done when there is no event."""
    store = Bench(STORE)
    store.hears(opened())
    store.starts()
    store.says("print_label", None)
    store.says("reserve_stock", order.StockRefused(saga_id=SAGA, reason="sold out"))
    store.hears_itself()
    assert store.starts() == ["tear_label"]


def _call(participant: str, step: str, function: StepFunction) -> Any:
    """The outcome of the step, were this its function."""
    bench = Bench(participant)
    bench.hears(opened())
    bench.starts()
    work = bench.running[step]
    owner = replace(work.owner, function=function)
    ports: dict[type, object] = {kind: object() for kind in (order.Shelves, order.Printer, order.Cards, order.Post)}

    async def called() -> Any:
        caller = Caller(ORDER, ports, lambda: BEGIN)
        return await asyncio.wait_for(asyncio.create_task(caller(Work(work.journal, work.item, owner))), 5)

    return asyncio.run(called())


class Panic(BaseException):
    """As pyo3's PanicException: not an Exception, and no wish to stop the program either."""


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize("error", [asyncio.CancelledError(), Panic("rust"), GeneratorExit(), Unspeakable()])
def test_nothing_a_step_raises_leaves_its_item_running_for_ever(error: BaseException) -> None:
    """Lane._run has no net: what the Caller lets through ends the task, and finish() is never called."""

    async def raises(*_: Any, **__: Any) -> None:
        raise error

    try:
        outcome = _call(STORE, "print_label", raises)
    except BaseException as escaped:
        raise AssertionError(f"the caller let {escaped!r:.50} through") from None
    assert outcome is not None


@pytest.mark.parametrize("moment", [datetime.max, datetime.max.replace(tzinfo=UTC), datetime.min], ids=repr)
def test_a_step_that_waits_for_an_impossible_time_has_failed(moment: datetime) -> None:
    """Later(datetime.max).at.timestamp() or iso_time(until) raise, in the Caller or in finish(): running for ever."""

    async def waits(*_: Any, **__: Any) -> Later:
        return Later(moment)

    outcome = _call(DESK, "expire_order", waits)
    desk = Bench(DESK)
    desk.hears(opened())
    desk.starts()
    desk.ends("expire_order", outcome)


@pytest.mark.parametrize(
    "weighed",
    [
        Weighed(saga_id=SAGA, remarks=object()),
        Weighed(saga_id=SAGA, remarks="\ud800"),
        Weighed(saga_id=SAGA, kilograms=float("nan")),
        Weighed(saga_id=SAGA, kilograms=float("inf")),
    ],
    ids=["an object", "a surrogate", "not a number", "infinite"],
)
def test_an_event_that_cannot_be_read_back_is_the_failure_of_its_step(weighed: Weighed) -> None:
    """model_dump_json raises inside finish(), or writes null for NaN, which every hearer then throws away."""

    @on(order.OrderOpened)
    async def weigh(opened: order.OrderOpened) -> Weighed: ...  # type: ignore[empty-body]

    store = Bench(STORE, flow_with((STORE, weigh)))
    store.hears(opened())
    store.starts()
    store.says("weigh", weighed)
    assert store.commit() == ["order.step.failed"]


def test_a_record_that_was_compressed_makes_no_dead_letter_that_kafka_refuses() -> None:
    """max.message.bytes counts the compressed batch: a megabyte of gzip holds a gigabyte of zeros."""
    desk = Bench(DESK)
    desk.hears_raw("order.place", b"\0" * 9_000_000)
    (letter,) = desk.ledger.take().said
    assert size_of(letter) < LARGE_BYTES_MAX


def test_a_command_that_is_too_large_is_not_forwarded() -> None:
    """misplaced() comes before the check of the size."""
    desk = Bench(DESK, partitions=4)
    key = next(f"o-{n}" for n in range(99) if partition_of(f"o-{n}".encode(), 4) != 0).encode()
    desk.hears_raw("order.place", b'"' + b"x" * 9_000_000 + b'"', key)
    assert [size_of(one) < EVENTS_BYTES_MAX or one.topic for one in desk.ledger.take().said] == [True]


@pytest.mark.parametrize("header", ["ce_tenant", "ce_correlationid"])
def test_a_commands_headers_cannot_make_its_answer_too_large(header: str) -> None:
    """Tenant and correlation go from the command into every event, status and journal; nothing measures them."""
    desk = Bench(DESK)
    headers = (("ce_type", b"order.place"), (header, b"x" * (EVENTS_BYTES_MAX - 200)))
    desk.hears_record("order.commands", SAGA.encode(), b'{"item":"tulip"}', headers)
    if desk.starts():
        desk.says("place_order", opened())
    assert [one.topic for one in desk.ledger.take().said if size_of(one) > EVENTS_BYTES_MAX] == []


def test_the_largest_event_makes_no_status_that_kafka_refuses() -> None:
    """A failing end's reason stands in the status twice: as the cause, and in the outcome."""
    tracker = TrackerLedger(ORDER, 0)
    tracker.hear(record("order.events", opened(), "o"), BEGIN)
    refused = order.StockRefused(saga_id=SAGA, reason="x" * 524_000)
    tracker.hear(record("order.events", refused, "r"), BEGIN)
    assert max(size_of(one) for one in tracker.take().said) < EVENTS_BYTES_MAX


def test_forged_settlements_do_not_swell_a_journal_until_kafka_refuses_it() -> None:
    """Names that are no participants of the saga are collected in `settled`; held items in `standing` alike."""
    store = Bench(STORE)
    store.hears(opened())
    for number in range(10):
        store.hears(Settled(saga_id=SAGA, participant=f"{number}" + "x" * 900_000, undone=0), f"forged {number}")
    assert max(len(value or b"") for value in store.ledger.take().state.values()) < LARGE_BYTES_MAX


def test_settlements_end_no_saga_that_has_not_failed() -> None:
    """Four forged records close a running saga: no end stands in its log, and nobody hears of it again."""
    store = Bench(STORE)
    store.hears(opened())
    for name in EVERYBODY:
        store.hears(Settled(saga_id=SAGA, participant=name, undone=0), f"settled {name}")
    assert store.starts() != []


def test_refused_commands_do_not_swell_a_journal_until_kafka_refuses_it() -> None:
    """`answered` keeps the id of every command for ever, of a closed saga as well: 16,000 of the longest are 8 MB."""
    desk = Bench(DESK)
    desk.hears(opened())
    desk.hears(order.OrderCompleted(saga_id=SAGA))
    for number in range(3_000):
        headers = (("ce_type", b"order.cancel"), ("ce_id", f"{number:0490}".encode()))
        desk.hears_record("order.commands", SAGA.encode(), b"{}", headers)
        desk.starts()
    assert len(desk.ledger.take().state[SAGA] or b"") < 1_000_000


def test_a_renamed_step_keeps_its_key_and_its_undo_has_the_same() -> None:
    """The step is called with a key from its new name, its undo with one from the name in the journal."""
    store = Bench(STORE)
    store.hears(opened())
    item = store.item("reserve_stock")
    store.journal.items = {item.id: Item(item.id, "book_stock", item.message, budget=3)}
    keys: list[str] = []

    async def reserve(reserved: Any = None, call: Any = None, **_: Any) -> order.StockReserved:
        keys.append(call.key)
        return order.StockReserved(saga_id=SAGA)

    async def release(reserved: Any = None, call: Any = None, **_: Any) -> order.StockReleased:
        keys.append(call.key)
        return order.StockReleased(saga_id=SAGA)

    def run(step: str, function: StepFunction) -> None:
        work = store.running[step]
        caller = Caller(ORDER, {order.Shelves: object()}, lambda: BEGIN)
        store.ends(step, asyncio.run(caller(Work(work.journal, work.item, replace(work.owner, function=function)))))

    assert store.starts() == ["book_stock"]
    run("book_stock", reserve)
    store.hears(order.OrderExpired(saga_id=SAGA))
    for name in (DESK, TILL):
        store.hears(Settled(saga_id=SAGA, participant=name, undone=0), f"settled {name}")
    assert store.starts() == ["release_stock"]
    run("release_stock", release)
    assert keys[0] == keys[1]


def test_an_effect_whose_undo_is_no_longer_deployed_stands_still_visibly() -> None:
    """settle() drops a Done whose step or undo is unknown, and says Settled: the saga is `compensated`, and is not."""
    before = Bench(STORE)
    before.hears(opened())
    before.starts()
    before.says("print_label", order.LabelPrinted(saga_id=SAGA))
    before.says("reserve_stock", order.StockRefused(saga_id=SAGA, reason="sold out"))
    before.commit()
    graph = flow_with(undos=(order.release_stock, order.refund_card))
    after = Bench(STORE, graph)
    after.ledger.load(SAGA, before.state[SAGA])
    after.ledger.reopen(died=False, now=after.now)
    after.hears(order.OrderExpired(saga_id=SAGA))
    after.starts()
    assert "order.participant.settled" not in after.commit()


def test_a_held_command_that_is_resumed_does_not_block_the_door() -> None:
    """_resume makes it ready, but asks for no barrier: it never starts, and as the oldest item it lets none start."""

    @on(PauseOrder, failure="hold", retry=Retry(attempts=1))
    async def pause_order(pause: PauseOrder, call: Call) -> OrderPaused: ...  # type: ignore[empty-body]

    desk = Bench(DESK, flow_with((DESK, pause_order)))
    desk.hears(opened())
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 3_600))
    desk.hears(PauseOrder(saga_id=SAGA), "pause")
    desk.starts()
    desk.breaks("pause_order")
    desk.hears_itself()
    desk.hears(RetryItem(saga_id=SAGA, participant=DESK, step="pause_order", item="pause_order/pause"), "retry")
    desk.starts()
    assert "order.item.resumed" in desk.hears_itself()
    assert desk.starts() == ["pause_order"]


def test_a_held_join_hears_the_leg_that_came_too_late_and_can_be_resumed() -> None:
    """_join looks at items in state `joining` only, and _resume makes ready what still lacks a leg: KeyError."""
    steps = {name: replace(step, policy="hold") if name == "clear_order" else step for name, step in ORDER.steps.items()}
    desk = Bench(DESK, replace(ORDER, steps=steps))
    desk.hears(opened())
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 90_000))
    desk.hears(order.LabelPrinted(saga_id=SAGA))
    desk.now += 7_201
    desk.starts()
    assert "order.step.failed" in desk.hears_itself()
    desk.hears(order.CardCharged(saga_id=SAGA))
    desk.hears(ItemResumed(saga_id=SAGA, participant=DESK, step="clear_order", item="clear_order/join"), "resumed")
    assert desk.starts() == ["clear_order"]
    assert sorted(desk.running["clear_order"].item.legs) == [0, 1]


def test_an_unreadable_event_that_the_door_does_not_hear_is_dead_lettered_all_the_same() -> None:
    """The door looks only at types of its own interest, the others say nothing of what they cannot read."""
    letters: list[Outgoing] = []
    for participant in EVERYBODY:
        bench = Bench(participant)
        bench.hears_raw("order.stock.reserved", b"not json", topic="order.events")
        letters += bench.ledger.take().said
    assert len(letters) == 1


def test_a_command_among_the_events_is_not_carried_out() -> None:
    """A command type is `of_interest` to the door: it becomes an item without barrier and judgement, or nothing."""
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
    """A copy with another id (a command `order.place` among the events is enough) replaces the brief, and runs all."""
    store = Bench(STORE)
    store.hears(opened(), "opening")
    assert len(store.starts()) == 2
    for step in list(store.running):
        store.breaks(step, permanent=False)
    store.hears(opened(), "another opening")
    assert len(store.journal.items) == 2


def test_a_command_whose_step_has_failed_says_so_once_when_it_is_published_again() -> None:
    """_give_up drops the item without noting the command as answered; the attempts and so the causation repeat."""
    desk = Bench(DESK)
    for _ in range(2):
        desk.hears(order.PlaceOrder(saga_id=SAGA, item="tulip"), "place")
        if desk.starts():
            desk.breaks("place_order", permanent=True)
        desk.commit()
    said = [(type_in(one), causation_in(one)) for one in desk.said if one.topic == "order.events"]
    assert len(said) == len(set(said))


def test_two_compensations_of_one_name_are_refused() -> None:
    """graph.undos and view.undos are keyed by name: one of the two would be called for both."""

    @undo(order.LabelPrinted)
    async def release_stock(printed: order.LabelPrinted | None, call: Call) -> order.LabelTorn: ...  # type: ignore[empty-body]

    with pytest.raises((TypeError, AssertionError)):
        assert not list(
            mistakes_in(graph_of(order.FLOW, (order.release_stock, release_stock, order.refund_card), order.SCHEMA))
        )


def test_a_step_that_hears_something_else_than_its_first_parameter_says_is_refused() -> None:
    """The annotation of the first parameter is never compared with the mark: the step is handed another class."""

    @on(order.OrderOpened)
    async def misread(stock: order.StockReserved, call: Call) -> ClerkAssigned: ...  # type: ignore[empty-body]

    @on(ClerkAssigned)
    async def go_on(assigned: ClerkAssigned, call: Call) -> order.OrderExpired: ...  # type: ignore[empty-body]

    with pytest.raises((TypeError, AssertionError)):
        assert not [line for line in mistakes_in(flow_with((STORE, misread), (STORE, go_on))) if "misread" in line]


def test_a_compensation_that_cannot_take_none_is_refused() -> None:
    """It will be handed None where nobody knows what its step did, and be stuck."""

    @undo(order.LabelPrinted)
    async def tear_label(printed: order.LabelPrinted, call: Call) -> order.LabelTorn: ...  # type: ignore[empty-body]

    with pytest.raises((TypeError, AssertionError)):
        assert not list(
            mistakes_in(graph_of(order.FLOW, (order.release_stock, tear_label, order.refund_card), order.SCHEMA))
        )


def test_a_compensation_that_recalls_what_need_not_have_been_said_is_refused() -> None:
    """_recalls looks at steps only; at run time it is FactMissing: permanent, stuck, and no retry helps."""

    @undo(order.LabelPrinted)
    async def tear_label(
        printed: order.LabelPrinted | None, cleared: order.OrderCleared, call: Call
    ) -> order.LabelTorn: ...  # type: ignore[empty-body]

    with pytest.raises((TypeError, AssertionError)):
        assert not list(
            mistakes_in(graph_of(order.FLOW, (order.release_stock, tear_label, order.refund_card), order.SCHEMA))
        )


def test_every_participant_takes_the_same_type_from_a_structured_event() -> None:
    """With another ce_type header only the door opens the envelope: it alone would hear the end, and wait for ever."""
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
    """The copy carries a ce_id header, which a structured record does not read."""
    away, home = Bench(DESK, partitions=4), Bench(DESK, partitions=1)
    key = next(f"o-{n}" for n in range(99) if partition_of(f"o-{n}".encode(), 4) != 0)
    envelope = {"specversion": "1.0", "type": "order.place", "data": {"item": "tulip"}}
    headers = (("content-type", b"application/cloudevents+json"),)
    away.offsets["order.commands"] = 7
    away.hears_record("order.commands", key.encode(), json.dumps(envelope).encode(), headers)
    (copy,) = away.ledger.take().said
    home.hears_record(copy.topic, copy.key, copy.value, copy.headers)
    assert next(iter(home.ledger.journals[key].items)) == "place_order/order.commands/0/7"


def test_a_step_that_asks_for_a_time_in_the_past_does_not_spin() -> None:
    """Later(now or before) costs no attempt and no pause: the lane asks Kafka for its ends and runs it without end."""
    desk = Bench(DESK)
    desk.hears(opened())
    assert desk.starts() == ["expire_order"]
    desk.ends("expire_order", Waits(BEGIN - 1))
    assert desk.starts() == []


def test_a_failed_attempt_after_the_end_of_the_saga_leaves_no_step_delayed() -> None:
    """A step that was blocked after a failing end says StepDelayed, is dropped at once, and shows `delayed` for ever."""
    store = Bench(STORE)
    store.hears(opened())
    store.starts()
    store.hears(order.OrderExpired(saga_id=SAGA))
    store.ends("print_label", Blocked("the printer is down", BEGIN + 30))
    assert "order.step.delayed" not in store.commit()


async def test_the_no_op_that_settles_a_hanging_transaction_has_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state and status topics are compacted: Kafka refuses a record without key there (INVALID_RECORD)."""
    written: list[Outgoing] = []

    class Producer:
        def __init__(self, *_: Any) -> None:
            pass

        async def start(self) -> None:
            pass

        async def write(self, records: list[Outgoing], commit: bool = True) -> None:
            written.extend(records)

    async def state(*_: Any) -> str:
        return "CompleteCommit"

    def reader(end: int) -> Any:
        async def end_offsets(partitions: list[Any]) -> dict[Any, int]:
            return dict.fromkeys(partitions, end)

        return SimpleNamespace(end_offsets=end_offsets, _client=None)

    monkeypatch.setattr(kafka_transport, "TransactionalProducer", Producer)
    monkeypatch.setattr(kafka_transport, "transaction_state", state)
    monkeypatch.setattr(kafka_transport, "HANGING_AFTER_SECONDS", -1.0)
    writes = (("order.store.state", 0), ("order.status", 0))
    transport = kafka_transport.KafkaTransport(
        {}, STORE, 0, reader(1), reader(2), ("order.events",), "order.store.state", writes
    )
    await transport.open()
    assert [one.topic for one in written if one.key is None] == []


def test_a_call_that_is_cut_off_by_its_timeout_counts_for_the_breaker() -> None:
    """A timeout reaches the port as CancelledError, which is no Exception: a dependency that hangs never opens it."""
    from consumers.runtime.breakers import FAILURES_IN_A_ROW, Breaker

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def story() -> bool:
        breaker = Breaker("printer", lambda: BEGIN)
        for _ in range(FAILURES_IN_A_ROW):
            try:
                async with asyncio.timeout(0.001):
                    await breaker.calling(hangs)
            except TimeoutError:
                pass
        return breaker.is_open

    assert asyncio.run(story())


def test_a_saga_that_has_ended_is_forgotten_in_the_end() -> None:
    """No marker is ever dropped: memory, state topic and restore grow with every saga that ever was."""
    desk = Bench(DESK)
    desk.hears(opened())
    desk.hears(order.OrderCompleted(saga_id=SAGA))
    desk.commit()
    desk.now += 366 * 86_400
    desk.starts()
    desk = desk.reopened()
    desk.commit()
    assert SAGA not in desk.ledger.journals
