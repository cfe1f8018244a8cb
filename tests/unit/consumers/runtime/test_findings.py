"""What the review of the engine found, fourth round. Each test states a promise that the engine breaks today."""

from consumers.runtime.checks import mistakes_in
from consumers.runtime.finishing import Waits
from consumers.runtime.steps import on
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import BEGIN, SAGA, Bench
from tests.unit.consumers.runtime.other_flows import ClerkAssigned, OrderLost, flow_with
from tests.unit.consumers.runtime.small_saga import DESK, STORE


def test_a_timer_that_has_fired_does_not_keep_the_lane_awake_while_its_item_cannot_start() -> None:
    """_schedule puts the timer of an overdue item back: next_due() lies in the past, and the lane turns round once a
    millisecond for as long as the door is busy, awaits its word or waits for a command that is blocked."""
    desk = Bench(DESK)
    desk.opens()
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 60))
    desk.now += 59
    desk.hears(order.CancelOrder(saga_id=SAGA), "cancel")
    assert desk.starts() == ["cancel_order"]
    desk.now += 2
    assert desk.starts() == []
    due = desk.ledger.next_due()
    assert due is None or due > desk.now


def test_a_step_that_recalls_what_it_says_itself_is_refused() -> None:
    """_recalls counts the step among those that must have run before it, with all it says."""

    @on(order.StockReserved)
    async def assign_again(stock: order.StockReserved, assigned: ClerkAssigned) -> ClerkAssigned:
        raise NotImplementedError

    @on(ClerkAssigned)
    async def lose_order(assigned: ClerkAssigned) -> OrderLost:
        raise NotImplementedError

    graph = flow_with((STORE, assign_again), (STORE, lose_order), words=(ClerkAssigned, OrderLost))
    assert list(mistakes_in(graph)) == [
        "assign_again recalls order.clerk.assigned, which need not have been said by then; allow None"
    ]
