"""An order: reserve the stock, print the label, charge the card, clear, ship (no way back), close the books.

desk   place_order -> OrderOpened     expire_order     clear_order (join of label and card) -> OrderCleared
store  reserve_stock -> StockReserved print_label -> LabelPrinted
till   charge_card (on the stock)     greet_customer (may fail)     ship_parcel (pivot)     close_books
"""

import sys
from datetime import datetime, timedelta
from typing import Protocol

from consumers.runtime.graph import Graph, graph_of
from consumers.runtime.steps import Call, Flow, Later, Participant, Retry, join, on, undo
from schemas.engine import CommandRefused
from schemas.message import Command, CompensatingEvent, Completion, Event, FailingEnd, Opening, Refusal
from schemas.topics import SagaSchema, schema_of

DESK, STORE, TILL = "order.desk", "order.store", "order.till"


class PlaceOrder(Command, type="order.place"):
    item: str
    expires_at: datetime | None = None


class CancelOrder(Command, type="order.cancel"):
    reason: str = "no longer wanted"


class OrderOpened(Opening, type="order.opened"):
    item: str = "tulip"
    expires_at: datetime | None = None


class StockReserved(Event, type="order.stock.reserved"):
    shelf: str = "A1"


class StockReleased(CompensatingEvent, type="order.stock.released", undoes=StockReserved):
    pass


class StockRefused(Refusal, type="order.stock.refused"):
    pass


class LabelPrinted(Event, type="order.label.printed"):
    pass


class LabelTorn(CompensatingEvent, type="order.label.torn", undoes=LabelPrinted):
    pass


class CardCharged(Event, type="order.card.charged"):
    cents: int = 100


class CardRefunded(CompensatingEvent, type="order.card.refunded", undoes=CardCharged):
    pass


class CardNotWanted(Event, type="order.card.not_wanted"):
    pass


class CustomerGreeted(Event, type="order.customer.greeted"):
    pass


class OrderCleared(Event, type="order.cleared"):
    pass


class ParcelShipped(Event, type="order.parcel.shipped"):
    pass


class OrderCompleted(Completion, type="order.completed"):
    pass


class OrderCancelled(FailingEnd, type="order.cancelled", ends_as="cancelled"):
    reason: str = "no longer wanted"


class OrderExpired(FailingEnd, type="order.expired", ends_as="expired"):
    pass


class Shelves(Protocol):
    async def reserve(self, key: str) -> str: ...


class Printer(Protocol):
    async def print(self, key: str) -> None: ...


class Cards(Protocol):
    async def charge(self, key: str) -> int: ...


class Post(Protocol):
    async def ship(self, key: str) -> None: ...


@on(PlaceOrder)
async def place_order(place: PlaceOrder) -> OrderOpened:
    return OrderOpened(saga_id=place.saga_id, item=place.item, expires_at=place.expires_at)


@on(CancelOrder, retry=Retry(attempts=2))
async def cancel_order(
    cancel: CancelOrder, cleared: OrderCleared | None, call: Call
) -> OrderCancelled | CommandRefused:
    return call.refused("too late") if cleared else OrderCancelled(saga_id=call.saga_id, reason=cancel.reason)


@on(OrderOpened)
async def expire_order(opened: OrderOpened, cleared: OrderCleared | None, call: Call) -> OrderExpired | Later | None:
    deadline = opened.expires_at or call.now + timedelta(hours=1)
    if cleared is not None:
        return None
    return call.later(deadline) if call.now < deadline else OrderExpired(saga_id=call.saga_id)


@join(LabelPrinted, CardCharged | CardNotWanted, deadline="2h")
async def clear_order(label: LabelPrinted, card: CardCharged | CardNotWanted, call: Call) -> OrderCleared:
    return OrderCleared(saga_id=call.saga_id)


@on(OrderOpened, retry=Retry(attempts=3, first="400ms", most="10s"), timeout="20s", formerly=("book_stock",))
async def reserve_stock(opened: OrderOpened, shelves: Shelves, call: Call) -> StockReserved | StockRefused:
    return StockReserved(saga_id=call.saga_id, shelf=await shelves.reserve(call.key))


@on(OrderOpened, retry=Retry(attempts=2), timeout="5s")
async def print_label(opened: OrderOpened, printer: Printer, call: Call) -> LabelPrinted:
    await printer.print(call.key)
    return LabelPrinted(saga_id=call.saga_id)


@on(StockReserved)
async def charge_card(
    stock: StockReserved, opened: OrderOpened, cards: Cards, call: Call
) -> CardCharged | CardNotWanted:
    return CardCharged(saga_id=call.saga_id, cents=await cards.charge(call.key))


@on(CardCharged, failure="ignore", retry=Retry(attempts=1))
async def greet_customer(charged: CardCharged, call: Call) -> CustomerGreeted:
    return CustomerGreeted(saga_id=call.saga_id)


@on(OrderCleared, pivot=True, retry=Retry(attempts=2))
async def ship_parcel(cleared: OrderCleared, post: Post, call: Call) -> ParcelShipped:
    await post.ship(call.key)
    return ParcelShipped(saga_id=call.saga_id)


@on(ParcelShipped)
async def close_books(shipped: ParcelShipped, greeted: CustomerGreeted | None, call: Call) -> OrderCompleted:
    return OrderCompleted(saga_id=call.saga_id)


@undo(StockReserved, retry=Retry(attempts=2, first="400ms"), timeout="20s")
async def release_stock(reserved: StockReserved | None, shelves: Shelves, call: Call) -> StockReleased:
    return StockReleased(saga_id=call.saga_id)


@undo(LabelPrinted, after=())
async def tear_label(printed: LabelPrinted | None, printer: Printer, call: Call) -> LabelTorn:
    return LabelTorn(saga_id=call.saga_id)


@undo(CardCharged)
async def refund_card(charged: CardCharged | None, cards: Cards, call: Call) -> CardRefunded:
    return CardRefunded(saga_id=call.saga_id)


SCHEMA: SagaSchema = schema_of("order", sys.modules[__name__])
FLOW = Flow(
    "order",
    participants=(
        Participant(DESK, steps=(place_order, cancel_order, expire_order, clear_order), door=True),
        Participant(STORE, steps=(reserve_stock, print_label)),
        Participant(TILL, steps=(charge_card, greet_customer, ship_parcel, close_books)),
    ),
)
UNDOS = (release_stock, tear_label, refund_card)
ORDER: Graph = graph_of(FLOW, UNDOS, SCHEMA)
