"""Two builds of the small saga, as composition roots: the newer one has renamed a step and does not say so."""

from unittest.mock import AsyncMock

from consumers.kinds import SagaKind, saga_kind
from consumers.runtime.steps import Call, Flow, Participant, Retry, on
from producers.settings import Settings
from tests.unit.consumers.runtime import small_saga as order


@on(order.OrderOpened, retry=Retry(attempts=2), timeout="5s")
async def print_sticker(opened: order.OrderOpened, printer: order.Printer, call: Call) -> order.LabelPrinted:
    """Print the label, under another name than before."""
    await printer.print(call.key)
    return order.LabelPrinted(saga_id=call.saga_id)


def ports(settings: Settings) -> dict[type, object]:
    """Adapters that do nothing."""
    return dict.fromkeys((order.Shelves, order.Printer, order.Cards, order.Post), AsyncMock())


def older() -> tuple[SagaKind, ...]:
    """The saga as it is."""
    return (saga_kind(order.FLOW, order.UNDOS, order.SCHEMA, ports),)


def newer() -> tuple[SagaKind, ...]:
    """The same with the renamed step."""
    desk, store, till = order.FLOW.participants
    store = Participant(store.name, (order.reserve_stock, print_sticker))
    return (saga_kind(Flow("order", (desk, store, till)), order.UNDOS, order.SCHEMA, ports),)
