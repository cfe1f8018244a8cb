"""The steps of an errand, and how they are undone.

desk   open_errand -> ErrandOpened     cancel_errand     close_errand (on GoodsDelivered) -> ErrandCompleted
shop   buy_goods -> wrap_goods -> book_slot
road   hire_rider (beside book_slot)   deliver_goods (join of both)

Budgets are so wide that the deaths of a run do not spend them: an errand ends as its wish says, or the proof fails.
"""

import asyncio

from consumers.runtime.steps import Call, Flow, Participant, Retry, join, on, undo
from schemas.engine import CommandRefused
from tests.prove.errand.words import (
    CancelErrand,
    DeliveryRefused,
    ErrandCancelled,
    ErrandCompleted,
    ErrandOpened,
    GoodsBought,
    GoodsDelivered,
    GoodsFetchedBack,
    GoodsReturned,
    GoodsUnwrapped,
    GoodsWrapped,
    RiderDismissed,
    RiderHired,
    SlotBooked,
    SlotFreed,
    StartErrand,
)
from tests.prove.errand.world import World

EFFECTS = ("buy_goods", "wrap_goods", "hire_rider", "book_slot", "deliver_goods")
PATIENT = Retry(attempts=1_000, first="50ms", most="1s")
# A broken errand spends it soon; eight deaths in this one step are more than any plain errand meets.
BRIEF = Retry(attempts=8, first="20ms", most="100ms")
DAWDLE_SECONDS = 1.0


class GoodsDropped(Exception):
    """A broken errand's delivery, each time."""


@on(StartErrand, retry=PATIENT)
async def open_errand(start: StartErrand) -> ErrandOpened:
    return ErrandOpened(saga_id=start.saga_id, wish=start.wish)


@on(CancelErrand, retry=PATIENT)
async def cancel_errand(
    cancel: CancelErrand, opened: ErrandOpened | None, call: Call
) -> ErrandCancelled | CommandRefused:
    return ErrandCancelled(saga_id=call.saga_id) if opened else call.refused("there is no such errand")


@on(ErrandOpened, retry=PATIENT, timeout="5s")
async def buy_goods(opened: ErrandOpened, world: World, call: Call) -> GoodsBought:
    await world.do(f"{call.saga_id} buy_goods {call.key}")
    return GoodsBought(saga_id=call.saga_id)


@on(GoodsBought, retry=PATIENT, timeout="5s")
async def wrap_goods(bought: GoodsBought, world: World, call: Call) -> GoodsWrapped:
    await world.do(f"{call.saga_id} wrap_goods {call.key}")
    return GoodsWrapped(saga_id=call.saga_id)


@on(GoodsWrapped, retry=PATIENT, timeout="5s")
async def hire_rider(wrapped: GoodsWrapped, world: World, call: Call) -> RiderHired:
    await world.do(f"{call.saga_id} hire_rider {call.key}")
    return RiderHired(saga_id=call.saga_id)


@on(GoodsWrapped, retry=PATIENT, timeout="5s")
async def book_slot(wrapped: GoodsWrapped, opened: ErrandOpened, world: World, call: Call) -> SlotBooked:
    if opened.wish == "slow":
        await asyncio.sleep(DAWDLE_SECONDS)
    await world.do(f"{call.saga_id} book_slot {call.key}")
    return SlotBooked(saga_id=call.saga_id)


@join(RiderHired, SlotBooked, deadline="2h", retry=BRIEF, timeout="5s")
async def deliver_goods(
    hired: RiderHired, booked: SlotBooked, opened: ErrandOpened, world: World, call: Call
) -> GoodsDelivered | DeliveryRefused:
    if opened.wish == "refused":
        return DeliveryRefused(saga_id=call.saga_id, reason="nobody is at home")
    await world.do(f"{call.saga_id} deliver_goods {call.key}")
    if opened.wish == "broken":
        raise GoodsDropped
    return GoodsDelivered(saga_id=call.saga_id)


@on(GoodsDelivered, retry=PATIENT)
async def close_errand(delivered: GoodsDelivered) -> ErrandCompleted:
    return ErrandCompleted(saga_id=delivered.saga_id)


@undo(GoodsDelivered, retry=PATIENT, timeout="5s")
async def fetch_goods_back(delivered: GoodsDelivered | None, world: World, call: Call) -> GoodsFetchedBack:
    await world.undo(f"{call.saga_id} deliver_goods {call.key}")
    return GoodsFetchedBack(saga_id=call.saga_id)


@undo(SlotBooked, retry=PATIENT, timeout="5s")
async def free_slot(booked: SlotBooked | None, world: World, call: Call) -> SlotFreed:
    await world.undo(f"{call.saga_id} book_slot {call.key}")
    return SlotFreed(saga_id=call.saga_id)


@undo(RiderHired, retry=PATIENT, timeout="5s")
async def dismiss_rider(hired: RiderHired | None, world: World, call: Call) -> RiderDismissed:
    await world.undo(f"{call.saga_id} hire_rider {call.key}")
    return RiderDismissed(saga_id=call.saga_id)


@undo(GoodsWrapped, retry=PATIENT, timeout="5s")
async def unwrap_goods(wrapped: GoodsWrapped | None, world: World, call: Call) -> GoodsUnwrapped:
    await world.undo(f"{call.saga_id} wrap_goods {call.key}")
    return GoodsUnwrapped(saga_id=call.saga_id)


@undo(GoodsBought, retry=PATIENT, timeout="5s")
async def return_goods(bought: GoodsBought | None, world: World, call: Call) -> GoodsReturned:
    await world.undo(f"{call.saga_id} buy_goods {call.key}")
    return GoodsReturned(saga_id=call.saga_id)


UNDOS = (fetch_goods_back, free_slot, dismiss_rider, unwrap_goods, return_goods)
FLOW = Flow(
    "errand",
    participants=(
        Participant("errand.desk", steps=(open_errand, cancel_errand, close_errand), door=True),
        Participant("errand.shop", steps=(buy_goods, wrap_goods, book_slot)),
        Participant("errand.road", steps=(hire_rider, deliver_goods)),
    ),
)
