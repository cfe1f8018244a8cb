"""Joins that are resumed, undone, or found in the backlog of another life."""

import asyncio
import sys
from dataclasses import replace

import msgspec

from consumers.runtime.calling import Caller
from consumers.runtime.finishing import Spoke, Waits
from consumers.runtime.graph import Graph, graph_of
from consumers.runtime.journal import decoded
from consumers.runtime.steps import Call, Flow, join, undo
from schemas.engine import ItemResumed
from schemas.message import CompensatingEvent, Event
from schemas.topics import SagaSchema, messages_in
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import BEGIN, SAGA, Bench
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL


class ParcelPacked(Event, type="order.parcel.packed"):
    pass


class ParcelUnpacked(CompensatingEvent, type="order.parcel.unpacked", undoes=ParcelPacked):
    pass


@join(order.LabelPrinted, order.CardCharged, deadline="1h", timeout="20s")
async def pack_parcel(label: order.LabelPrinted, card: order.CardCharged, post: order.Post) -> ParcelPacked:
    raise NotImplementedError


@undo(ParcelPacked)
async def unpack_parcel(packed: ParcelPacked | None, post: order.Post) -> ParcelUnpacked:
    raise NotImplementedError


def with_packing() -> Graph:
    messages = order.SCHEMA.messages | messages_in(sys.modules[__name__])
    participants = tuple(
        replace(one, steps=(*one.steps, pack_parcel)) if one.name == TILL else one for one in order.FLOW.participants
    )
    schema = SagaSchema("order", order.SCHEMA.topics, messages)
    return graph_of(Flow("order", participants), (*order.UNDOS, unpack_parcel), schema)


def test_a_join_that_is_resumed_without_all_its_legs_has_a_deadline_again() -> None:
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
    till = Bench(TILL, with_packing())
    till.opens()
    till.hears(order.LabelPrinted(saga_id=SAGA))
    till.commit()
    till = till.reopened("crashed")
    till.hears(order.CardCharged(saga_id=SAGA), ending="crashed")
    till.hears(order.OrderExpired(saga_id=SAGA), ending="crashed")
    till.hears_settled(DESK, STORE)
    assert till.starts() == []


def test_a_join_that_never_had_all_its_legs_is_not_undone() -> None:
    till = Bench(TILL, with_packing())
    till.opens()
    till.hears(order.LabelPrinted(saga_id=SAGA))
    till.expires()
    till.hears_settled(DESK, STORE)
    assert till.starts() == []


def test_a_join_that_had_all_its_legs_and_did_not_speak_is_undone() -> None:
    till = Bench(TILL, with_packing())
    till.opens()
    till.hears(order.LabelPrinted(saga_id=SAGA))
    till.hears(order.CardCharged(saga_id=SAGA))
    till.expires()
    till.hears_settled(DESK, STORE)
    assert till.starts() == ["unpack_parcel"]


@join(order.CardCharged | order.CardNotWanted, order.LabelPrinted, deadline="2h")
async def clear_order(
    card: order.CardCharged | order.CardNotWanted, label: order.LabelPrinted, call: Call
) -> order.OrderCleared:
    assert isinstance(card, order.CardCharged) and isinstance(label, order.LabelPrinted)
    return order.OrderCleared(saga_id=call.saga_id)


def with_legs_swapped() -> Graph:
    door, *others = order.FLOW.participants
    steps = tuple(clear_order if step is order.clear_order else step for step in door.steps)
    return graph_of(Flow("order", (replace(door, steps=steps), *others)), order.UNDOS, order.SCHEMA)


def test_a_deploy_that_swaps_the_legs_of_a_join_hands_each_to_its_own_parameter() -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.starts()
    desk.hears(order.LabelPrinted(saga_id=SAGA), "label", STORE)
    desk.hears(order.CardCharged(saga_id=SAGA), "card", TILL)
    desk.commit()
    graph = with_legs_swapped()
    later = Bench(DESK, graph)
    later.now, later.offsets = desk.now, dict(desk.offsets)
    later.ledger.load(SAGA, desk.state[SAGA])
    later.ledger.reopen("clean", later.now)
    later.starts()
    later.ends("expire_order", Waits(BEGIN + 60))
    later.hears_itself()
    assert later.starts() == ["clear_order"]
    outcome = asyncio.run(Caller(graph, {}, lambda: BEGIN)(later.running["clear_order"]))
    assert isinstance(outcome, Spoke), outcome


def test_a_journal_whose_legs_were_kept_by_their_places_is_still_read() -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.hears(order.LabelPrinted(saga_id=SAGA), "label", STORE)
    desk.commit()
    raw = msgspec.msgpack.decode(desk.state[SAGA])
    (item,) = [one for one in raw["items"].values() if "legs" in one]
    item["legs"] = dict(enumerate(item["legs"].values()))
    journal = decoded(msgspec.msgpack.encode(raw))
    assert journal.items[item["id"]].legs.keys() == {"order.label.printed"}
