"""Every rule that a flow must keep, and a flow that breaks just this one."""

import re
from dataclasses import replace

import pytest
from pydantic import AliasChoices, Field

from compensations.campaign import UNDOS
from consumers.campaign import FLOW
from consumers.runtime.checks import checked, mistakes_in
from consumers.runtime.graph import Graph, graph_of
from consumers.runtime.steps import Flow, Participant, ReadOnly, join, on, undo
from producers.errors import FlowError
from schemas.engine import CommandRefused
from schemas.message import Event
from schemas.topics import catalogue
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.other_flows import (
    ClerkAssigned,
    ClerkDismissed,
    OrderFinished,
    OrderLost,
    OrderReopened,
    PauseOrder,
    Weighed,
    flow_with,
)
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL


class Scales(ReadOnly):
    """A port that only looks."""


@on(ClerkAssigned, until=order.OrderCleared)
async def lose_order(assigned: ClerkAssigned) -> OrderLost:
    raise NotImplementedError


@on(order.StockReserved)
async def assign_clerk(stock: order.StockReserved) -> ClerkAssigned:
    raise NotImplementedError


@undo(ClerkAssigned)
async def dismiss_clerk(assigned: ClerkAssigned | None) -> ClerkDismissed:
    raise NotImplementedError


@join(order.ParcelShipped, ClerkAssigned, deadline="1h")
async def finish_with_clerk(shipped: order.ParcelShipped, assigned: ClerkAssigned) -> OrderFinished:
    raise NotImplementedError


ASSIGNING = ((STORE, assign_clerk), (DESK, lose_order))
WORDS = (ClerkAssigned, OrderLost)
USING = ("lose_order", "assign_clerk")


def mistakes(graph: Graph) -> list[str]:
    return list(mistakes_in(graph))


def assert_mistakes(graph: Graph, *expected: str) -> None:
    """Exactly these mistakes are told, each with a place and with more words: what to write instead."""
    found = mistakes(graph)
    for line, beginning in zip(found, expected, strict=False):
        place, _, words = line.partition(": ")
        assert re.fullmatch(r"\S+\.py:\d+", place), line
        assert words.startswith(beginning) and len(words) > len(beginning), line
    assert len(found) == len(expected), found


def test_the_order_breaks_no_rule() -> None:
    assert checked(ORDER) is ORDER


def test_the_campaign_breaks_no_rule() -> None:
    assert_mistakes(graph_of(FLOW, UNDOS, catalogue()["campaign"]))


def test_further_steps_that_keep_the_rules_are_no_mistake() -> None:
    assert_mistakes(flow_with(*ASSIGNING, words=WORDS))


def test_all_mistakes_are_reported_at_once_under_the_name_of_the_saga() -> None:
    graph = flow_with(words=(ClerkAssigned, PauseOrder))
    with pytest.raises(FlowError, match="the flow of order cannot run") as wrong:
        checked(graph)
    assert sorted(line.partition(": ")[2].partition(":")[0] for line in wrong.value.mistakes) == [
        "no step hears order.clerk.assigned",
        "no step hears the command order.pause",
        "no step says order.clerk.assigned",
    ]


def test_a_loop_that_is_not_declared_repeatable() -> None:
    @on(order.StockReserved | Weighed)
    async def assign_again(stock: order.StockReserved | Weighed) -> ClerkAssigned:
        raise NotImplementedError

    @on(ClerkAssigned)
    async def weigh(assigned: ClerkAssigned) -> Weighed:
        raise NotImplementedError

    assert_mistakes(
        flow_with((STORE, assign_again), (STORE, weigh), words=(ClerkAssigned, Weighed)),
        "a loop that is not declared repeatable: assign_again -> weigh -> assign_again",
    )


def test_a_command_with_two_consumers() -> None:
    @on(order.CancelOrder, until=order.OrderCleared)
    async def lose_instead(cancel: order.CancelOrder) -> OrderLost:
        raise NotImplementedError

    assert_mistakes(
        flow_with((DESK, lose_instead), words=(OrderLost,)),
        "the command order.cancel has 2 consumers: cancel_order, lose_instead",
    )


def test_a_command_that_nobody_hears() -> None:
    assert_mistakes(flow_with(words=(PauseOrder,)), "no step hears the command order.pause")


def test_a_step_that_hears_a_command_and_an_event() -> None:
    @on(PauseOrder | order.StockReserved, until=order.OrderCleared)
    async def lose_it(pause: PauseOrder | order.StockReserved) -> OrderLost | CommandRefused:
        raise NotImplementedError

    assert_mistakes(
        flow_with((DESK, lose_it), words=(PauseOrder, OrderLost)),
        "lose_it hears commands and events; it must hear one or the other",
    )


def test_a_command_that_another_participant_than_the_door_hears() -> None:
    @on(PauseOrder)
    async def lose_it(pause: PauseOrder) -> OrderLost | CommandRefused:
        raise NotImplementedError

    assert_mistakes(
        flow_with((STORE, lose_it), words=(PauseOrder, OrderLost)),
        "lose_it hears a command, but order.store is not the door",
    )


def test_a_saga_that_two_steps_open() -> None:
    @on(PauseOrder)
    async def reopen_order(pause: PauseOrder) -> OrderReopened:
        raise NotImplementedError

    @on(OrderReopened, until=order.OrderCleared)
    async def lose_it(reopened: OrderReopened) -> OrderLost:
        raise NotImplementedError

    assert_mistakes(
        flow_with((DESK, reopen_order), (DESK, lose_it), words=(PauseOrder, OrderReopened, OrderLost)),
        "exactly one step must hear a command and say the Opening, not place_order, reopen_order",
        "OrderReopened is a second Opening beside OrderOpened",
    )


def test_a_saga_that_no_step_opens() -> None:
    found = mistakes(flow_with(without=("place_order",)))
    assert any(line.startswith("exactly one step must hear a command and say the Opening, not none") for line in found)


def test_a_saga_that_an_event_opens() -> None:
    @on(order.StockReserved)
    async def reopen_order(stock: order.StockReserved) -> order.OrderOpened:
        raise NotImplementedError

    found = "\n".join(mistakes(flow_with((DESK, reopen_order), without=("place_order",))))
    assert "exactly one step must hear a command and say the Opening, not reopen_order" in found
    assert "a loop that is not declared repeatable: reopen_order -> reserve_stock -> reopen_order" in found


def test_a_compensating_event_that_no_compensation_says() -> None:
    assert_mistakes(flow_with(*ASSIGNING, words=(*WORDS, ClerkDismissed)), "no compensation says order.clerk.dismissed")


def test_an_event_that_nobody_says() -> None:
    assert_mistakes(flow_with((DESK, lose_order), words=WORDS), "no step says order.clerk.assigned")


def test_an_end_that_nobody_says() -> None:
    assert_mistakes(flow_with(words=(OrderLost,)), "no step says order.lost")


def test_an_event_that_nobody_hears() -> None:
    assert_mistakes(flow_with((STORE, assign_clerk), words=(ClerkAssigned,)), "no step hears order.clerk.assigned")


def test_an_event_that_is_only_recalled_is_no_mistake() -> None:
    assert "order.customer.greeted" not in ORDER.hearers
    assert_mistakes(ORDER)


def test_a_dead_end() -> None:
    @on(ClerkAssigned)
    async def greet_again(assigned: ClerkAssigned) -> order.CustomerGreeted:
        raise NotImplementedError

    assert_mistakes(
        flow_with((STORE, assign_clerk), (STORE, greet_again), words=(ClerkAssigned,)),
        "a dead end: nothing that follows order.clerk.assigned ends the saga",
    )


def test_a_step_that_hears_an_end() -> None:
    @on(order.OrderExpired)
    async def mourn(expired: order.OrderExpired) -> OrderLost:
        raise NotImplementedError

    assert_mistakes(flow_with((STORE, mourn), words=(OrderLost,)), "mourn hears order.expired, which ends the saga")


def test_a_word_that_is_used_but_not_declared() -> None:
    lines = [f"{name} uses ClerkAssigned (order.clerk.assigned), which order does not declare" for name in USING]
    assert_mistakes(flow_with(*ASSIGNING, words=(OrderLost,)), *lines)


def test_a_word_that_is_only_recalled_must_be_declared_as_well() -> None:
    @on(order.StockReserved)
    async def assign_another(stock: order.StockReserved, weighed: Weighed | None) -> ClerkAssigned:
        raise NotImplementedError

    graph = flow_with((STORE, assign_another), (DESK, lose_order), words=WORDS)
    assert_mistakes(graph, "assign_another uses Weighed (order.weighed), which order does not declare")


def test_a_word_that_is_undone_but_not_declared() -> None:
    found = mistakes(flow_with(*ASSIGNING, undos=(*order.UNDOS, dismiss_clerk), words=(OrderLost, ClerkDismissed)))
    assert any("uses ClerkAssigned (order.clerk.assigned), which order does not declare" in line for line in found)


def test_two_steps_of_one_participant_that_would_say_the_same_of_the_same() -> None:
    @on(order.StockReserved)
    async def assign_another(stock: order.StockReserved) -> ClerkAssigned:
        raise NotImplementedError

    assert_mistakes(
        flow_with(*ASSIGNING, (STORE, assign_another), words=WORDS),
        "assign_clerk and assign_another both answer order.stock.reserved with order.clerk.assigned:"
        " it could be said twice",
    )


def test_two_steps_of_two_participants_that_would_say_the_same_of_the_same() -> None:
    @on(order.StockReserved)
    async def assign_another(stock: order.StockReserved) -> ClerkAssigned:
        raise NotImplementedError

    assert_mistakes(
        flow_with(*ASSIGNING, (TILL, assign_another), words=WORDS),
        "assign_clerk and assign_another both answer order.stock.reserved with order.clerk.assigned",
    )


def test_two_steps_may_say_the_same_of_different_messages() -> None:
    @on(order.LabelPrinted)
    async def assign_another(label: order.LabelPrinted) -> ClerkAssigned:
        raise NotImplementedError

    assert_mistakes(flow_with(*ASSIGNING, (TILL, assign_another), words=WORDS))


def test_an_effect_that_can_neither_be_undone_nor_is_a_pivot() -> None:
    assert_mistakes(
        flow_with(undos=(order.release_stock, order.refund_card)),
        "no compensation says order.label.torn",
        "print_label has an effect, but neither an undo nor the mark pivot",
    )


def test_a_step_that_only_looks_needs_no_undo() -> None:
    @on(order.StockReserved)
    async def weigh(stock: order.StockReserved, scales: Scales) -> ClerkAssigned:
        raise NotImplementedError

    assert_mistakes(flow_with((STORE, weigh), (DESK, lose_order), words=WORDS))


def test_a_pivot_that_has_an_undo() -> None:
    @on(order.OrderCleared, pivot=True)
    async def ring(cleared: order.OrderCleared) -> ClerkAssigned:
        raise NotImplementedError

    graph = flow_with(
        (TILL, ring),
        (TILL, finish_with_clerk),
        undos=(*order.UNDOS, dismiss_clerk),
        words=(ClerkAssigned, ClerkDismissed, OrderFinished),
    )
    assert_mistakes(graph, "ring is a pivot, and has an undo")


def test_a_step_that_says_nothing() -> None:
    @on(order.StockReserved)
    async def stare(stock: order.StockReserved) -> None:
        raise NotImplementedError

    assert_mistakes(flow_with((STORE, stare)), "stare says nothing")


def test_a_step_that_recalls_what_need_not_have_been_said() -> None:
    @on(order.StockReserved)
    async def assign(stock: order.StockReserved, label: order.LabelPrinted) -> ClerkAssigned:
        raise NotImplementedError

    assert_mistakes(
        flow_with((STORE, assign), (DESK, lose_order), words=WORDS),
        "assign recalls order.label.printed, which need not have been said by then: allow None",
    )


def test_a_compensation_that_recalls_what_need_not_have_been_said() -> None:
    @undo(order.LabelPrinted, after=())
    async def tear_label(printed: order.LabelPrinted | None, cleared: order.OrderCleared) -> order.LabelTorn:
        raise NotImplementedError

    assert_mistakes(
        flow_with(undos=(order.release_stock, tear_label, order.refund_card)),
        "tear_label recalls order.cleared, which need not have been said by then: allow None",
    )


@pytest.mark.parametrize("optional", [True, False])
def test_what_must_have_been_said_or_may_be_none_can_be_recalled(optional: bool) -> None:
    @on(order.StockReserved)
    async def assign_optional(stock: order.StockReserved, label: order.LabelPrinted | None) -> ClerkAssigned:
        raise NotImplementedError

    @on(order.StockReserved)
    async def assign_certain(stock: order.StockReserved, opened: order.OrderOpened) -> ClerkAssigned:
        raise NotImplementedError

    step = assign_optional if optional else assign_certain
    assert_mistakes(flow_with((STORE, step), (DESK, lose_order), words=WORDS))


def test_what_all_ways_of_a_step_say_together_can_be_recalled() -> None:
    @on(order.OrderCleared)
    async def assign_both(cleared: order.OrderCleared, card: order.CardCharged | order.CardNotWanted) -> ClerkAssigned:
        raise NotImplementedError

    assert_mistakes(flow_with((TILL, assign_both), (TILL, finish_with_clerk), words=(ClerkAssigned, OrderFinished)))


def test_the_one_word_that_led_here_can_be_recalled_though_its_step_might_have_said_another() -> None:
    @on(order.CustomerGreeted)
    async def assign_charged(greeted: order.CustomerGreeted, card: order.CardCharged) -> ClerkAssigned:
        raise NotImplementedError

    assert_mistakes(flow_with((TILL, assign_charged), (DESK, lose_order), words=WORDS))


def test_a_saga_that_no_step_completes() -> None:
    found = mistakes(flow_with(without=("close_books",)))
    assert "no step completes the saga: let a last step say a Completion" in found


def test_a_completion_that_does_not_wait_for_a_branch_with_an_effect() -> None:
    @on(order.OrderOpened)
    async def finish_early(opened: order.OrderOpened) -> OrderFinished:
        raise NotImplementedError

    steps = ("reserve_stock", "print_label", "charge_card", "ship_parcel")
    lines = [f"finish_early completes the saga without waiting for {name}, which has an effect" for name in steps]
    assert_mistakes(flow_with((STORE, finish_early), words=(OrderFinished,)), *lines)


def test_a_completion_that_joins_every_branch_is_no_mistake() -> None:
    @join(order.ParcelShipped, order.LabelPrinted, deadline="1h")
    async def finish_late(shipped: order.ParcelShipped, label: order.LabelPrinted) -> OrderFinished:
        raise NotImplementedError

    assert_mistakes(flow_with((TILL, finish_late), words=(OrderFinished,)))


def test_a_compensation_that_takes_back_another_fact_than_it_says() -> None:
    @undo(order.LabelPrinted, after=())
    async def tear_label(printed: order.LabelPrinted | None) -> order.StockReleased | order.LabelTorn:
        raise NotImplementedError

    assert_mistakes(
        flow_with(undos=(order.release_stock, tear_label, order.refund_card)),
        "tear_label must say exactly the event that takes back order.label.printed",
    )


def test_a_compensation_that_waits_for_nobody_there_is() -> None:
    @undo(order.LabelPrinted, after=("order.attic",))
    async def tear_label(printed: order.LabelPrinted | None) -> order.LabelTorn:
        raise NotImplementedError

    assert_mistakes(
        flow_with(undos=(order.release_stock, tear_label, order.refund_card)),
        "tear_label waits for order.attic, which is no participant",
    )


def test_a_cycle_of_compensations() -> None:
    @undo(order.CardCharged, after=(STORE,))
    async def refund_card(charged: order.CardCharged | None) -> order.CardRefunded:
        raise NotImplementedError

    assert_mistakes(
        flow_with(undos=(order.release_stock, order.tear_label, refund_card)),
        *(f"a cycle of compensations: {name} would wait for itself to settle" for name in (STORE, TILL)),
    )


def test_a_flow_without_its_other_participants_is_reported_not_crashed_upon() -> None:
    alone = Flow("order", (Participant(DESK, (order.place_order,), door=True),))
    assert len(mistakes(graph_of(alone, (), order.SCHEMA))) > 5


def test_a_recall_of_what_only_one_of_the_ways_says_is_not_taken_for_certain() -> None:
    @on(order.OrderCleared)
    async def assign_one(cleared: order.OrderCleared, card: order.CardCharged) -> ClerkAssigned:
        raise NotImplementedError

    graph = flow_with((TILL, assign_one), (TILL, finish_with_clerk), words=(ClerkAssigned, OrderFinished))
    assert_mistakes(graph, "assign_one recalls order.card.charged, which need not have been said by then: allow None")


def test_a_step_that_recalls_what_it_says_itself_is_refused() -> None:
    @on(order.StockReserved)
    async def assign_again(stock: order.StockReserved, assigned: ClerkAssigned) -> ClerkAssigned:
        raise NotImplementedError

    assert_mistakes(
        flow_with((STORE, assign_again), (DESK, lose_order), words=WORDS),
        "assign_again recalls order.clerk.assigned, which need not have been said by then",
    )


@on(order.StockReserved)
async def quarantine(stock: order.StockReserved) -> ClerkAssigned:
    raise NotImplementedError


@on(order.StockReserved, formerly=("flow",))
async def assign_clerk_now(stock: order.StockReserved) -> ClerkAssigned:
    raise NotImplementedError


def test_a_step_that_has_or_has_had_a_name_of_the_engine() -> None:
    for step, name in ((quarantine, "quarantine"), (assign_clerk_now, "flow")):
        graph = flow_with((STORE, step), (DESK, lose_order), words=WORDS)
        assert_mistakes(graph, f"{name} is the engine's own name")


class Coloured(Event, type="order.coloured"):
    colour: str = Field(validation_alias="color")


class Painted(Event, type="order.painted"):
    colour: str = Field(validation_alias=AliasChoices("colour", "color"))


def test_a_field_that_is_not_read_by_the_name_by_which_it_is_written() -> None:
    messages = ORDER.schema.messages | {kind.wire_type: kind for kind in (Coloured, Painted)}
    graph = replace(ORDER, schema=ORDER.schema._replace(messages=messages))
    beginning = "the field colour of Coloured is written by its name"
    assert [line.partition(": ")[2][: len(beginning)] for line in mistakes(graph) if "field" in line] == [beginning]
