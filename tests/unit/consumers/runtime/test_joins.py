"""Joins that are resumed, undone, or found in the backlog of another life."""

import sys
from dataclasses import replace

from consumers.runtime.finishing import Waits
from consumers.runtime.graph import Graph, graph_of
from consumers.runtime.steps import Flow, join, undo
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
