"""What the review of the engine found, second round. Each test states a promise that the engine breaks today."""

import asyncio
import sys
from dataclasses import replace
from typing import Any

import pytest

from consumers.runtime.calling import Caller
from consumers.runtime.finishing import Spoke, Waits
from consumers.runtime.graph import Graph, graph_of
from consumers.runtime.memory import Work
from consumers.runtime.steps import Call, Flow, Participant, join, on, undo
from consumers.tracker.ledger import TrackerLedger
from producers.headers import headers_for, read
from producers.records import Record
from schemas.engine import ItemResumed, Settled
from schemas.message import CompensatingEvent, Event, Message
from schemas.topics import SagaSchema, messages_in
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench, causation_in, type_in
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL

LARGE_BYTES_MAX = 8_388_608
OPENED = order.OrderOpened(saga_id=SAGA, participants=EVERYBODY, graph="g")


class ParcelPacked(Event, type="order.parcel.packed"):
    pass


class ParcelUnpacked(CompensatingEvent, type="order.parcel.unpacked", undoes=ParcelPacked):
    pass


@join(order.LabelPrinted, order.CardCharged, deadline="1h", timeout="20s")
async def pack_parcel(label: order.LabelPrinted, card: order.CardCharged, post: order.Post) -> ParcelPacked: ...


@undo(ParcelPacked)
async def unpack_parcel(packed: ParcelPacked | None, post: order.Post) -> ParcelUnpacked: ...


def with_packing() -> Graph:
    messages = order.SCHEMA.messages | messages_in(sys.modules[__name__])
    participants = tuple(
        replace(one, steps=(*one.steps, pack_parcel)) if one.name == TILL else one for one in order.FLOW.participants
    )
    schema = SagaSchema("order", order.SCHEMA.topics, messages)
    return graph_of(Flow("order", participants), (*order.UNDOS, unpack_parcel), schema)


def record(message: Message, message_id: str, wire_type: str = "") -> Record:
    headers = headers_for(
        wire_type=wire_type or message.wire_type, message_id=message_id, source=STORE, saga_id=SAGA, at=BEGIN
    )
    return Record("order.events", 0, 0, BEGIN, SAGA.encode(), message.model_dump_json().encode(), headers)


def without(step: str, bench: Bench) -> Bench:
    """The next life of the participant, in which a build without this step is deployed."""
    steps = {name: one for name, one in bench.graph.steps.items() if name != step}
    later = Bench(bench.participant, replace(bench.graph, steps=steps))
    later.now, later.state, later.offsets = bench.now, dict(bench.state), bench.offsets
    later.ledger.load(SAGA, bench.state[SAGA])
    later.ledger.reopen(died=False, now=later.now)
    return later


def test_a_step_that_is_retried_before_it_is_deployed_again_is_not_lost() -> None:
    """_resume deletes an item without owner; for a compensation settle() makes it anew, for a step nobody does."""
    store = Bench(STORE)
    store.opens()
    store.commit()
    store = without("print_label", store)
    store.starts()
    store.commit()
    store.hears(ItemResumed(saga_id=SAGA, participant=STORE, step="print_label", item="print_label/opening"))
    store.commit()
    assert "print_label" in store.open_items


def test_a_compensation_that_is_retried_before_it_is_deployed_again_says_once_more_that_it_is_stuck() -> None:
    """It says so under the same id as before, which the tracker takes for the first one: the status is no longer stuck."""
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.says("print_label", order.LabelPrinted(saga_id=SAGA))
    store.says("reserve_stock", order.StockRefused(saga_id=SAGA, reason="sold out"))
    store.commit()
    undo_gone = {name: replace(step, undo=None) for name, step in ORDER.steps.items() if name == "print_label"}
    later = Bench(STORE, replace(ORDER, steps=ORDER.steps | undo_gone))
    later.ledger.load(SAGA, store.state[SAGA])
    later.ledger.reopen(died=False, now=later.now)
    later.expires()
    later.commit()
    (item,) = later.journal.items
    later.hears(ItemResumed(saga_id=SAGA, participant=STORE, step="print_label", item=item))
    later.commit()
    causes = [causation_in(one) for one in later.said if type_in(one) == "order.compensation.stuck"]
    assert len(causes) == 2
    assert len(set(causes)) == 2


def test_the_failure_of_a_command_with_a_long_id_can_be_heard() -> None:
    """An id may have 500 characters, and so may a causation; but StepFailed is caused by `<step>/<id>/<attempt>`."""
    desk = Bench(DESK)
    desk.opens()
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 60))
    desk.hears(order.CancelOrder(saga_id=SAGA), "x" * 500)
    desk.starts()
    desk.breaks("cancel_order", permanent=True)
    desk.hears_itself()
    assert desk.journal.is_failing


def test_the_dead_letter_of_a_command_with_a_long_id_can_be_read() -> None:
    """Its own id is `<saga>/<step>/<id>/<attempt>`, longer than `read` allows."""
    desk = Bench(DESK)
    desk.hears(order.PlaceOrder(saga_id=SAGA, item="tulip"), "x" * 500)
    desk.starts()
    desk.breaks("place_order", permanent=True)
    for one in desk.ledger.take().said:
        read(Record(one.topic, 0, 0, 0.0, one.key, one.value, one.headers), "")


@pytest.mark.parametrize("participant", [STORE, TILL, "order.tracker"])
def test_events_of_any_size_swell_neither_journal_nor_status_until_kafka_refuses_it(participant: str) -> None:
    """Only what we say is measured. What others put among the events is compressed on the wire, or 8 MB as it is."""
    memory = TrackerLedger(ORDER, 0) if participant == "order.tracker" else Bench(participant).ledger
    memory.hear(record(OPENED.model_copy(update={"item": "x" * 8_000_000}), "opening"), BEGIN)
    memory.hear(record(OPENED, "small opening"), BEGIN)
    memory.hear(record(order.StockReserved(saga_id=SAGA, shelf="x" * 8_000_000), "reserved"), BEGIN)
    memory.hear(record(order.StockRefused(saga_id=SAGA, reason="x" * 8_388_000), "refused"), BEGIN)
    snapshot = memory.take()
    assert max(len(value or b"") for value in snapshot.state.values()) < LARGE_BYTES_MAX
    assert max([len(one.value or b"") for one in snapshot.said] + [0]) < 1_000_000


def test_a_join_that_is_resumed_without_all_its_legs_has_a_deadline_again() -> None:
    """_resume puts it back to `joining` with no due time: if the leg never comes, the saga stands still unseen."""
    steps = ORDER.steps | {"clear_order": replace(ORDER.steps["clear_order"], policy="hold")}
    desk = Bench(DESK, replace(ORDER, steps=steps))
    desk.opens()
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 90_000))
    desk.hears(order.LabelPrinted(saga_id=SAGA))
    desk.now += 7_201
    desk.starts()
    desk.hears_itself()
    desk.hears(ItemResumed(saga_id=SAGA, participant=DESK, step="clear_order", item="clear_order/join"), "resumed")
    assert desk.item("clear_order").due is not None


def test_an_undo_waits_for_a_join_that_a_former_life_may_have_begun() -> None:
    """Only items that are new in `seen` become unsure; a join is in it since its first leg."""
    till = Bench(TILL, with_packing())
    till.opens()
    till.hears(order.LabelPrinted(saga_id=SAGA))
    till.commit()
    till = till.reopened(died=True)
    till.hears(order.CardCharged(saga_id=SAGA), suspects=True)
    till.hears(order.OrderExpired(saga_id=SAGA), suspects=True)
    till.hears_settled(DESK, STORE)
    assert till.starts() == []


def test_a_join_that_never_had_all_its_legs_is_not_undone() -> None:
    """It was not triggered; dropping it notes a Done without fact, and an undo is run for nothing."""
    till = Bench(TILL, with_packing())
    till.opens()
    till.hears(order.LabelPrinted(saga_id=SAGA))
    till.expires()
    till.hears_settled(DESK, STORE)
    assert till.starts() == []


def test_a_command_whose_step_says_nothing_is_answered_all_the_same() -> None:
    """`-> X | None` is allowed of a step that hears a command: nothing is said, and who asked waits for ever."""
    desk = Bench(DESK)
    desk.opens()
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 60))
    desk.hears_itself()
    desk.hears(order.CancelOrder(saga_id=SAGA), "cancel")
    desk.starts()
    desk.says("cancel_order", None)
    assert desk.commit() == ["order.command.refused"]


def test_a_saga_that_never_began_is_forgotten_in_the_end() -> None:
    """A refused command leaves a journal with `answered` only. It is not closed, so no retention ever drops it."""
    desk = Bench(DESK)
    desk.hears(order.CancelOrder(saga_id=SAGA), "cancel")
    desk.starts()
    desk.commit()
    desk.now += 366 * 86_400
    desk = desk.reopened()
    desk.commit()
    assert SAGA not in desk.ledger.journals


def test_a_command_that_came_before_the_deadline_beats_it_on_its_second_attempt_too() -> None:
    """A delayed item is ordered by the end of its backoff, not by its message."""
    desk = Bench(DESK)
    desk.opens()
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 60))
    desk.commit()
    desk.hears(order.CancelOrder(saga_id=SAGA), "cancel", at=BEGIN + 59.9)
    desk.now += 59.95
    assert desk.starts() == ["cancel_order"]
    desk.breaks("cancel_order")
    desk.now += 60
    assert desk.starts() == ["cancel_order"]


def test_the_tracker_counts_no_settlement_before_the_end_and_none_of_strangers() -> None:
    """The participants do not either; a forged one makes the status `compensated` while they still undo."""
    tracker = TrackerLedger(ORDER, 0)
    tracker.hear(record(OPENED, "opening"), BEGIN)
    for name in (*EVERYBODY, "stranger"):
        settled = Settled(saga_id=SAGA, participant=name, undone=0)
        tracker.hear(record(settled, f"settled {name}", "order.participant.settled"), BEGIN)
    tracker.hear(record(order.OrderExpired(saga_id=SAGA), "expired"), BEGIN)
    assert [b'"state":"compensating"' in (one.value or b"") for one in tracker.take().said] == [True]


def test_a_copy_of_an_opening_brings_no_saga_back_to_life_in_the_status() -> None:
    """The tracker forgets a saga that has ended, altogether: the copy makes it `running` again, for ever."""
    tracker = TrackerLedger(ORDER, 0)
    tracker.hear(record(OPENED, "opening"), BEGIN)
    tracker.hear(record(order.OrderCompleted(saga_id=SAGA), "completed"), BEGIN)
    tracker.take()
    tracker.hear(record(OPENED, "opening"), BEGIN)
    assert tracker.take().said == []


def test_a_step_without_parameters_is_refused_when_the_graph_is_made() -> None:
    """It is called with what it hears, and fails with IndexError on every attempt."""

    @on(order.StockReserved)
    async def stand_idle() -> ParcelPacked: ...

    participants = (*order.FLOW.participants[:2], Participant(TILL, (*order.FLOW.participants[2].steps, stand_idle)))
    with pytest.raises(TypeError):
        graph_of(Flow("order", participants), order.UNDOS, order.SCHEMA)


def test_a_step_that_returns_what_has_no_repr_has_failed() -> None:
    """_outcome() is outside the net of __call__: what it raises leaves the item running for ever."""

    class Mute:
        def __repr__(self) -> str:
            raise ValueError("no words")

    async def returns_it(*_: Any, **__: Any) -> Mute:
        return Mute()

    store = Bench(STORE)
    store.opens()
    store.starts()
    work = store.running["print_label"]
    caller = Caller(ORDER, {order.Printer: object()}, lambda: BEGIN)
    outcome = asyncio.run(caller(Work(work.journal, work.item, replace(work.owner, function=returns_it))))
    assert not isinstance(outcome, Spoke)
