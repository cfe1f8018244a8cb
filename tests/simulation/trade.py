"""A saga made for the simulator: two effects side by side, a deadline, a cancellation, a completion that races both.

desk    open_trade -> TradeOpened    cancel_trade    expire_trade
seller  deliver_goods -> GoodsDelivered
buyer   pay_price -> PricePaid       close_trade (join) -> TradeCompleted
"""

import sys
from datetime import datetime
from functools import cache
from typing import Protocol

from consumers.runtime.graph import Graph, graph_of
from consumers.runtime.steps import Call, Flow, Later, Participant, ReadOnly, Retry, join, on, undo
from schemas.engine import CommandRefused
from schemas.message import Command, CompensatingEvent, Completion, Event, FailingEnd, Opening
from schemas.topics import schema_of

DESK, SELLER, BUYER = "trade.desk", "trade.seller", "trade.buyer"
PATIENT = Retry(attempts=3, first="1s", most="1s")


class OpenTrade(Command, type="trade.open"):
    firm: bool = True
    due_at: datetime


class CancelTrade(Command, type="trade.cancel"):
    pass


class TradeOpened(Opening, type="trade.opened"):
    firm: bool = True
    due_at: datetime


class GoodsDelivered(Event, type="trade.goods.delivered"):
    pass


class GoodsReturned(CompensatingEvent, type="trade.goods.returned", undoes=GoodsDelivered):
    pass


class PricePaid(Event, type="trade.price.paid"):
    pass


class PriceRefunded(CompensatingEvent, type="trade.price.refunded", undoes=PricePaid):
    pass


class TradeCompleted(Completion, type="trade.completed"):
    pass


class TradeCancelled(FailingEnd, type="trade.cancelled", ends_as="cancelled"):
    pass


class TradeExpired(FailingEnd, type="trade.expired", ends_as="expired"):
    pass


class Far(Protocol):
    """A far side that remembers no undo: what is done late stays."""

    async def do(self, what: str, key: str) -> None: ...

    async def undo(self, what: str, key: str) -> None: ...


class Bell(ReadOnly, Protocol):
    """Takes a moment, and changes nothing."""

    async def ring(self) -> None: ...


@on(OpenTrade)
async def open_trade(asked: OpenTrade) -> TradeOpened:
    return TradeOpened(saga_id=asked.saga_id, firm=asked.firm, due_at=asked.due_at)


@on(CancelTrade)
async def cancel_trade(
    asked: CancelTrade, opened: TradeOpened, paid: PricePaid | None, call: Call
) -> TradeCancelled | CommandRefused:
    if opened.firm and paid:
        return call.refused("the price is paid")
    return TradeCancelled(saga_id=asked.saga_id)


@on(TradeOpened)
async def expire_trade(opened: TradeOpened, paid: PricePaid | None, call: Call) -> TradeExpired | Later | None:
    if paid:
        return None
    return call.later(opened.due_at) if call.now < opened.due_at else TradeExpired(saga_id=call.saga_id)


@on(TradeOpened, retry=PATIENT, timeout="5s")
async def deliver_goods(opened: TradeOpened, far: Far, call: Call) -> GoodsDelivered:
    await far.do("goods", f"{call.saga_id}/{call.key}")
    return GoodsDelivered(saga_id=opened.saga_id)


@on(TradeOpened, retry=PATIENT, timeout="5s")
async def pay_price(opened: TradeOpened, far: Far, call: Call) -> PricePaid:
    await far.do("price", f"{call.saga_id}/{call.key}")
    return PricePaid(saga_id=opened.saga_id)


@join(GoodsDelivered, PricePaid, deadline="1h")
async def close_trade(delivered: GoodsDelivered, paid: PricePaid, bell: Bell) -> TradeCompleted:
    await bell.ring()
    return TradeCompleted(saga_id=delivered.saga_id)


@undo(GoodsDelivered)
async def return_goods(delivered: GoodsDelivered | None, far: Far, call: Call) -> GoodsReturned:
    await far.undo("goods", f"{call.saga_id}/{call.key}")
    return GoodsReturned(saga_id=call.saga_id)


@undo(PricePaid)
async def refund_price(paid: PricePaid | None, far: Far, call: Call) -> PriceRefunded:
    await far.undo("price", f"{call.saga_id}/{call.key}")
    return PriceRefunded(saga_id=call.saga_id)


FLOW = Flow(
    "trade",
    (
        Participant(DESK, (open_trade, cancel_trade, expire_trade), door=True),
        Participant(SELLER, (deliver_goods,)),
        Participant(BUYER, (pay_price, close_trade)),
    ),
)


@cache
def trade_graph() -> Graph:
    """The trade's flow."""
    return graph_of(FLOW, [return_goods, refund_price], schema_of("trade", sys.modules[__name__]))
