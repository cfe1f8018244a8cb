"""Once a pivot may have begun, the saga can only go forward: no failing end is said, no spent budget ends it."""

import asyncio

import pytest

from consumers.runtime.calling import Caller
from consumers.runtime.drawing import as_json, as_text
from consumers.runtime.finishing import Outcome, Spoke, Waits
from consumers.runtime.graph import Graph
from consumers.runtime.steps import on
from schemas.engine import CommandRefused
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import BEGIN, SAGA, Bench
from tests.unit.consumers.runtime.other_flows import ClerkAssigned, flow_with
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, CancelOrder, OrderCancelled, OrderCleared


@on(CancelOrder, until=OrderCleared)
async def cancel_order(cancel: CancelOrder) -> OrderCancelled:
    return OrderCancelled(saga_id=cancel.saga_id)


@on(order.OrderOpened, until=OrderCleared)
async def expire_order(opened: order.OrderOpened) -> order.OrderExpired:
    return order.OrderExpired(saga_id=opened.saga_id)


CARELESS = flow_with((DESK, cancel_order), (DESK, expire_order), without=("cancel_order", "expire_order"))


def desk_at_work(graph: Graph, cleared: bool) -> Bench:
    """A door that is asked to cancel, with the way to the pivot open or not."""
    desk = Bench(DESK, graph)
    desk.opens()
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 3_600))
    if cleared:
        desk.hears(OrderCleared(saga_id=SAGA))
    desk.hears(CancelOrder(saga_id=SAGA), "cancel")
    assert desk.starts() == ["cancel_order"]
    return desk


def outcome_of(desk: Bench, step: str) -> Outcome:
    async def call() -> Outcome:
        return await asyncio.create_task(Caller(desk.graph, {}, lambda: BEGIN)(desk.running[step]))

    return asyncio.run(call())


def test_a_cancel_is_accepted_before_the_event_of_its_until_and_refused_after_it() -> None:
    before = outcome_of(desk_at_work(CARELESS, cleared=False), "cancel_order")
    assert isinstance(before, Spoke) and isinstance(before.event, OrderCancelled)
    after = outcome_of(desk_at_work(CARELESS, cleared=True), "cancel_order")
    assert isinstance(after, Spoke) and isinstance(after.event, CommandRefused)
    assert after.event.command_id == "cancel"
    assert "order.cleared stands" in after.event.reason and "order.cancelled is refused" in after.event.reason


def test_a_deadline_passes_in_silence_after_the_event_of_its_until() -> None:
    for cleared, said in ((False, order.OrderExpired), (True, None)):
        desk = desk_at_work(CARELESS, cleared)
        desk.says("cancel_order", CommandRefused(saga_id=SAGA, command_id="cancel", reason="no"))
        desk.hears_itself()
        desk.now += 7_200
        assert desk.starts() == ["expire_order"]
        outcome = outcome_of(desk, "expire_order")
        assert isinstance(outcome, Spoke)
        assert type(outcome.event) is (said or type(None))


def test_a_step_that_recalls_the_event_and_ignores_it_is_refused_by_the_engine() -> None:
    @on(CancelOrder)
    async def cancel_order(cancel: CancelOrder, cleared: OrderCleared | None) -> OrderCancelled:
        return OrderCancelled(saga_id=cancel.saga_id)

    graph = flow_with((DESK, cancel_order), without=("cancel_order",))
    outcome = outcome_of(desk_at_work(graph, cleared=True), "cancel_order")
    assert isinstance(outcome, Spoke) and isinstance(outcome.event, CommandRefused)


def test_a_command_that_fails_ends_the_saga_before_the_pivot_and_is_refused_after_it() -> None:
    for cleared, policy in ((False, "end"), (True, "ignore")):
        desk = desk_at_work(ORDER, cleared)
        desk.breaks("cancel_order", permanent=True)
        assert desk.hears_itself()[-2:] == ["order.step.failed", "order.command.refused"]
        assert desk.bodies("order.step.failed")[0]["policy"] == policy
        assert desk.journal.is_failing == (policy == "end")


def test_a_deadline_that_fails_ends_the_saga_before_the_pivot_and_is_held_after_it() -> None:
    for cleared, policy in ((False, "end"), (True, "hold")):
        desk = desk_at_work(ORDER, cleared)
        desk.says("cancel_order", CommandRefused(saga_id=SAGA, command_id="cancel", reason="no"))
        desk.hears_itself()
        desk.now += 7_200
        assert desk.starts() == ["expire_order"]
        desk.breaks("expire_order", permanent=True)
        assert desk.hears_itself() == ["order.step.failed"]
        assert desk.bodies("order.step.failed")[0]["policy"] == policy
        assert desk.journal.is_failing == (policy == "end")


def test_the_door_keeps_the_event_of_an_until_that_no_step_recalls() -> None:
    assert "order.cleared" in CARELESS.kept_by(DESK)


def test_what_can_fail_after_a_pivot_is_forward_only_wherever_it_stands() -> None:
    @on(order.StockReserved)
    async def assign_clerk(stock: order.StockReserved) -> ClerkAssigned:
        raise NotImplementedError

    graph = flow_with((STORE, assign_clerk), words=(ClerkAssigned,))
    forward_only = {name for name, step in graph.steps.items() if step.forward_only}
    assert forward_only == {"assign_clerk", "close_books", "greet_customer"}
    assert graph.steps["assign_clerk"].policy == "hold"
    assert graph.steps["greet_customer"].policy == "ignore", "what may fail ends nothing"
    assert {graph.steps[name].policy for name in ("reserve_stock", "print_label", "charge_card", "clear_order")} == {
        "end"
    }


def test_what_the_door_can_still_end_has_the_doors_last_event_before_the_pivot_as_its_until() -> None:
    until = {name: step.until for name, step in ORDER.steps.items() if step.until}
    assert until == {"cancel_order": {"order.cleared"}, "expire_order": {"order.cleared"}}


def test_a_flow_without_a_pivot_has_no_forward_only_step() -> None:
    graph = flow_with(without=("ship_parcel",))
    assert not any(step.forward_only or step.until for step in graph.steps.values())
    assert "Forward only" not in as_text(graph)


@pytest.mark.parametrize(
    ("step", "words"), [("close_books", "held if it fails"), ("cancel_order", "not after cleared")]
)
def test_a_map_shows_what_is_forward_only_and_what_is_refused_from_where(step: str, words: str) -> None:
    (line,) = [line for line in as_text(ORDER).splitlines() if f"─ {step}" in line]
    assert line.endswith(words)
    assert "Forward only" in as_text(ORDER) and "forward only\n" in as_text(ORDER)


def test_json_tells_what_is_forward_only_and_what_is_refused_from_where() -> None:
    told = {step["name"]: (step["forward_only"], step["until"]) for step in as_json(ORDER)["steps"]}
    assert told["close_books"] == (True, [])
    assert told["cancel_order"] == (False, ["order.cleared"])
    assert told["reserve_stock"] == (False, [])
