"""What is derived from the marks of the steps."""

import re
from dataclasses import replace

import pytest

from compensations.campaign import UNDOS
from consumers.campaign import FLOW
from consumers.runtime.graph import graph_of, signature_of
from consumers.runtime.steps import Flow, Participant, Retry, on, undo
from consumers.runtime.view import view_of
from producers.errors import FlowMisdeclared
from schemas.message import Completion, FailingEnd, Opening
from schemas.topics import catalogue
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.other_flows import ClerkAssigned, flow_with
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL


def test_who_hears_and_who_says_follows_from_the_signatures() -> None:
    hearers = {kind: [step.name for step in steps] for kind, steps in ORDER.hearers.items()}
    assert hearers["order.opened"] == ["expire_order", "reserve_stock", "print_label"]
    assert [step.name for step in ORDER.sayers["order.stock.refused"]] == ["reserve_stock"]
    assert ORDER.steps["clear_order"].legs == (
        ("order.label.printed",),
        ("order.card.charged", "order.card.not_wanted"),
    )


def test_what_the_engine_says_is_no_word_of_a_step() -> None:
    assert ORDER.steps["cancel_order"].says == ("order.cancelled",)


def test_a_participant_keeps_what_its_steps_and_undos_recall_and_the_legs_of_its_joins() -> None:
    legs = {"order.label.printed", "order.card.charged", "order.card.not_wanted"}
    assert ORDER.kept_by(DESK) == legs | {"order.cleared"}
    assert ORDER.kept_by(STORE) == set()
    assert ORDER.kept_by(TILL) == {"order.opened", "order.customer.greeted"}


def test_a_step_has_an_effect_if_it_is_handed_a_port_that_is_not_read_only() -> None:
    effects = {name for name, step in ORDER.steps.items() if step.has_effect}
    assert effects == {"reserve_stock", "print_label", "charge_card", "ship_parcel"}
    campaign = graph_of(FLOW, UNDOS, catalogue()["campaign"])
    assert not campaign.steps["collect_delivery"].has_effect


def test_an_undo_waits_for_the_other_participants_downstream_of_its_fact() -> None:
    waits = {name: one.waits_for for name, one in ORDER.undos.items()}
    assert waits["release_stock"] == {DESK, TILL}
    assert waits["refund_card"] == {DESK}


def test_an_undo_can_opt_out_of_the_order() -> None:
    assert ORDER.undos["tear_label"].waits_for == set()


def test_an_undo_can_name_whom_it_waits_for() -> None:
    @undo(order.LabelPrinted, after=(TILL, STORE))
    async def tear_label(printed: order.LabelPrinted | None) -> order.LabelTorn:
        raise NotImplementedError

    graph = flow_with(undos=(order.release_stock, tear_label, order.refund_card))
    assert graph.undos["tear_label"].waits_for == {TILL}, "never for itself"


def renamed(name: str, *formerly: str, of: str = TILL) -> Flow:
    """The order's flow with another name for one participant."""
    participants = tuple(
        replace(one, name=name, formerly=formerly) if one.name == of else one for one in order.FLOW.participants
    )
    return Flow("order", participants)


def test_a_renamed_participant_goes_on_under_its_first_name() -> None:
    flow = renamed("order.cashier", TILL, "order.desk_of_money")
    graph = graph_of(flow, order.UNDOS, order.SCHEMA)
    assert graph.participants == ORDER.participants and graph.fingerprint == ORDER.fingerprint
    assert graph.steps["charge_card"].participant == TILL and graph.undos["refund_card"].participant == TILL


@pytest.mark.parametrize("name", ["order.cashier", "order.desk_of_money", TILL])
def test_an_undo_may_name_a_renamed_participant_by_each_of_its_names(name: str) -> None:
    @undo(order.LabelPrinted, after=(name,))
    async def tear_label(printed: order.LabelPrinted | None) -> order.LabelTorn:
        raise NotImplementedError

    undos = (order.release_stock, tear_label, order.refund_card)
    graph = graph_of(renamed("order.cashier", TILL, "order.desk_of_money"), undos, order.SCHEMA)
    assert graph.undos["tear_label"].waits_for == {TILL}


@pytest.mark.parametrize(
    ("formerly", "words"),
    [
        (("order.purse", STORE), f"two participants are or were called {STORE}"),
        (TILL, f"the participant order.cashier has formerly={TILL!r}: write a tuple of names"),
    ],
)
def test_a_wrong_former_name_of_a_participant_is_a_mistake(formerly: tuple[str, ...], words: str) -> None:
    flow = renamed("order.cashier")
    flow = replace(flow, participants=(*flow.participants[:2], replace(flow.participants[2], formerly=formerly)))
    with pytest.raises(FlowMisdeclared, match=re.escape(words)):
        graph_of(flow, order.UNDOS, order.SCHEMA)


def test_downstream_of_a_fact_are_all_steps_that_run_because_of_it() -> None:
    assert ORDER.downstream_of("order.card.charged") == {"clear_order", "greet_customer", "ship_parcel", "close_books"}
    assert ORDER.downstream_of("order.completed") == set()


def test_a_type_that_is_not_declared_is_of_no_kind() -> None:
    assert not ORDER.is_a("order.imagined", Opening)
    assert ORDER.is_a("order.opened", Opening)
    assert ORDER.is_a("order.stock.refused", FailingEnd)
    assert not ORDER.is_a("order.stock.refused", Completion)


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    assert graph_of(order.FLOW, order.UNDOS, order.SCHEMA).fingerprint == ORDER.fingerprint


def test_the_fingerprint_changes_when_a_step_is_added_moved_or_loses_its_undo() -> None:
    @on(order.StockReserved)
    async def assign_clerk(stock: order.StockReserved) -> ClerkAssigned:
        raise NotImplementedError

    moved = tuple(
        Participant(one.name, tuple(step for step in one.steps if step is not order.greet_customer), one.door)
        for one in order.FLOW.participants
    )
    moved = (moved[0], Participant(STORE, (*moved[1].steps, order.greet_customer)), moved[2])
    prints = [
        ORDER.fingerprint,
        flow_with((TILL, assign_clerk), words=(ClerkAssigned,)).fingerprint,
        flow_with((STORE, assign_clerk), words=(ClerkAssigned,)).fingerprint,
        flow_with(without=("greet_customer",)).fingerprint,
        flow_with(undos=order.UNDOS[:2]).fingerprint,
        graph_of(Flow("order", moved), order.UNDOS, order.SCHEMA).fingerprint,
    ]
    assert len(set(prints)) == len(prints)


def test_a_changed_retry_leaves_the_fingerprint_as_it_is() -> None:
    step = replace(ORDER.steps["print_label"], retry=Retry(attempts=9))
    assert replace(ORDER, steps=ORDER.steps | {"print_label": step}).fingerprint == ORDER.fingerprint


def test_a_renamed_step_answers_to_its_former_name_and_is_listed_under_its_own() -> None:
    view = view_of(ORDER, STORE)
    assert view.steps["book_stock"] is view.steps["reserve_stock"]
    assert "book_stock" not in ORDER.steps


def test_only_the_door_hears_commands() -> None:
    assert [name for name in ORDER.participants if view_of(ORDER, name).is_door] == [DESK]


def test_a_participant_looks_only_at_what_concerns_it() -> None:
    interest = view_of(ORDER, STORE).of_interest
    assert {"order.opened", "order.completed", "order.expired", "order.step.failed"} <= interest
    assert not interest & {"order.card.charged", "order.cleared", "order.step.delayed", "order.place"}


@pytest.mark.parametrize("doors", [0, 2])
def test_a_flow_has_exactly_one_door(doors: int) -> None:
    participants = tuple(replace(one, door=number < doors) for number, one in enumerate(order.FLOW.participants))
    with pytest.raises(TypeError, match="exactly one participant that is its door"):
        graph_of(Flow("order", participants), order.UNDOS, order.SCHEMA)


def test_two_steps_of_one_name_are_refused() -> None:
    @on(order.StockReserved)
    async def print_label(stock: order.StockReserved) -> ClerkAssigned:
        raise NotImplementedError

    with pytest.raises(TypeError, match="two steps of order are called print_label"):
        flow_with((TILL, print_label))


def test_two_compensations_of_one_name_are_refused() -> None:
    @undo(order.LabelPrinted)
    async def release_stock(printed: order.LabelPrinted | None) -> order.LabelTorn:
        raise NotImplementedError

    with pytest.raises(TypeError, match="called release_stock"):
        flow_with(undos=(order.release_stock, release_stock, order.refund_card))


def test_a_function_without_a_mark_is_refused() -> None:
    async def unmarked(stock: order.StockReserved) -> ClerkAssigned:
        raise NotImplementedError

    with pytest.raises(TypeError, match="none of @on, @join, @undo"):
        flow_with((TILL, unmarked))


def test_an_undo_among_the_steps_and_a_step_among_the_undos_are_refused() -> None:
    with pytest.raises(TypeError, match="stands among the steps"):
        flow_with((STORE, order.tear_label))
    with pytest.raises(TypeError, match="stands among the compensations"):
        flow_with(undos=(order.print_label,))


def test_an_undo_of_what_nobody_or_more_than_one_step_says_is_refused() -> None:
    @on(order.StockReserved)
    async def print_another(stock: order.StockReserved) -> order.LabelPrinted:
        raise NotImplementedError

    with pytest.raises(TypeError, match="which 2 steps say"):
        flow_with((STORE, print_another))
    with pytest.raises(TypeError, match="which 0 steps say"):
        flow_with(without=("print_label",))


def test_a_step_whose_first_parameter_is_another_message_than_it_is_marked_to_hear_is_refused() -> None:
    @on(order.OrderOpened)
    async def misread(stock: order.StockReserved) -> ClerkAssigned:
        raise NotImplementedError

    with pytest.raises(TypeError, match="misread"):
        flow_with((STORE, misread))


def test_a_compensation_that_cannot_take_none_is_refused() -> None:
    @undo(order.LabelPrinted)
    async def tear_label(printed: order.LabelPrinted) -> order.LabelTorn:
        raise NotImplementedError

    with pytest.raises(TypeError, match="tear_label: its first parameter must be"):
        flow_with(undos=(order.release_stock, tear_label, order.refund_card))


def test_a_signature_tells_what_is_heard_recalled_handed_in_and_said() -> None:
    signature = signature_of(order.charge_card, heard_parameters=1)
    assert signature.heard == ("stock",)
    assert [(one.parameter, one.types, one.optional) for one in signature.recalls] == [
        ("opened", ("order.opened",), False)
    ]
    assert signature.ports == (("cards", order.Cards),)
    assert signature.call == "call"
    assert signature.says == (order.CardCharged, order.CardNotWanted)


def test_a_signature_tells_whether_a_step_may_wait_or_be_silent() -> None:
    expire, charge = (signature_of(one, heard_parameters=1) for one in (order.expire_order, order.charge_card))
    assert (expire.may_wait, expire.may_be_silent) == (True, True)
    assert (charge.may_wait, charge.may_be_silent) == (False, False)


def test_a_parameter_or_result_that_says_nothing_of_its_type_or_a_wrong_one_is_refused() -> None:
    async def untyped(stock: order.StockReserved, shelves) -> ClerkAssigned:  # type: ignore[no-untyped-def]
        raise NotImplementedError

    async def two_ports(stock: order.StockReserved, port: order.Shelves | order.Post) -> ClerkAssigned:
        raise NotImplementedError

    async def number(stock: order.StockReserved) -> int:
        raise NotImplementedError

    for function, words in (
        (untyped, "says nothing about its type"),
        (two_ports, "neither a message, a port nor a Call"),
        (number, "may return events, Later and None only"),
    ):
        with pytest.raises(TypeError, match=words):
            signature_of(function, heard_parameters=1)


def test_a_step_is_tried_at_least_once_and_its_durations_have_a_unit() -> None:
    with pytest.raises(ValueError, match="at least once"):
        Retry(attempts=0)
    for duration in ("5", "5 s", "-5s", "", "5w", "1e3s"):
        with pytest.raises(ValueError, match="not a duration"):
            Retry(first=duration)


def test_a_step_without_parameters_is_refused() -> None:
    @on(order.StockReserved)
    async def stand_idle() -> ClerkAssigned:
        raise NotImplementedError

    with pytest.raises(TypeError):
        flow_with((TILL, stand_idle))
