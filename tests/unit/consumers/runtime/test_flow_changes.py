"""What may change in a flow while sagas run: a test for each rule of `flow_changes`, and for what is carried."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from pydantic import AliasChoices, Field

from consumers.runtime.flow_changes import Comparison, differences
from consumers.runtime.flow_record import record_of
from consumers.runtime.graph import Graph, graph_of
from consumers.runtime.signatures import Recall
from consumers.runtime.steps import Flow
from schemas.message import Command, Event, Message
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import SAGA, Bench
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL

LABEL, CARD, NO_CARD, STOCK = (
    "order.label.printed",
    "order.card.charged",
    "order.card.not_wanted",
    "order.stock.reserved",
)


def step(name: str, /, **changes: Any) -> Graph:
    """The flow with another step of this name."""
    return replace(ORDER, steps=ORDER.steps | {name: replace(ORDER.steps[name], **changes)})


def without(name: str) -> Graph:
    return replace(ORDER, steps={one: kept for one, kept in ORDER.steps.items() if one != name})


def renamed(name: str, formerly: tuple[str, ...] = ()) -> Graph:
    steps = dict(ORDER.steps)
    steps[f"{name}_now"] = replace(steps.pop(name), name=f"{name}_now", formerly=formerly)
    return replace(ORDER, steps=steps)


def undo(name: str, /, **changes: Any) -> Graph:
    former = ORDER.steps[name].undo
    assert former is not None
    return step(name, undo=replace(former, **changes))


def with_types(**kinds: type[Message]) -> Graph:
    """The flow whose schema has these classes for the types of the classes that they replace."""
    messages = ORDER.schema.messages | {kind.wire_type: kind for kind in kinds.values()}
    return replace(ORDER, schema=ORDER.schema._replace(messages=messages))


class Opened(order.OrderOpened, type="order.opened"):
    colour: str


class OpenedInGreen(order.OrderOpened, type="order.opened"):
    colour: str = "green"


class Charged(order.CardCharged, type=CARD):
    cents: str = ""  # type: ignore[assignment]


class ChargedEuros(Event, type=CARD):
    euro_cents: int = Field(default=0, validation_alias=AliasChoices("euro_cents", "cents"))


class Cancel(Command, type="order.cancel"):
    why: str = ""


class LabelStamped(Event, type="order.stamped"):
    pass


def with_a_stamp(heard: str = LABEL, participant: str = STORE) -> Graph:
    """The join waits for one more event, which a new step says that hears this one."""
    stamp = ORDER.steps["print_label"]
    says = replace(stamp.signature, says=(LabelStamped,))
    stamp = replace(stamp, name="stamp", legs=((heard,),), signature=says, participant=participant)
    join = replace(ORDER.steps["clear_order"], legs=((LABEL,), (CARD, NO_CARD), ("order.stamped",)))
    return replace(ORDER, steps=ORDER.steps | {"stamp": stamp, "clear_order": join})


def recalling(name: str, *types: str, optional: bool = False) -> Graph:
    signature = ORDER.steps[name].signature
    recalls = (*signature.recalls, Recall("more", types, optional))
    return step(name, signature=replace(signature, recalls=recalls))


def with_speaker(name: str, participant: str) -> Graph:
    changed = step(name, participant=participant)
    return replace(changed, participants=(*ORDER.participants, participant))


def without_participant(name: str) -> Graph:
    return replace(ORDER, participants=tuple(one for one in ORDER.participants if one != name))


def with_participant_renamed(name: str, now: str) -> Graph:
    participants = tuple(
        replace(one, name=now, formerly=(name,)) if one.name == name else one for one in order.FLOW.participants
    )
    return graph_of(Flow("order", participants), order.UNDOS, order.SCHEMA)


CARRIED: dict[str, tuple[str, Graph]] = {
    "the same": (DESK, ORDER),
    "a new step": (STORE, replace(ORDER, steps=ORDER.steps | {"t": replace(ORDER.steps["print_label"], name="t")})),
    "a step renamed, with its former name": (TILL, renamed("ship_parcel", ("ship_parcel",))),
    "legs in another order": (DESK, step("clear_order", legs=((CARD, NO_CARD), (LABEL,)))),
    "an alternative for a leg": (DESK, step("clear_order", legs=((LABEL, STOCK), (CARD, NO_CARD)))),
    "an alternative trigger": (TILL, step("charge_card", legs=((STOCK, LABEL),))),
    "an optional recall": (TILL, recalling("ship_parcel", "order.stock.reserved", optional=True)),
    "a recall of what was kept": (TILL, recalling("ship_parcel", "order.opened")),
    "an undo renamed": (STORE, undo("print_label", name="shred_label")),
    "other times": (STORE, step("reserve_stock", timeout_seconds=1.0)),
    "an optional field": (DESK, with_types(a=OpenedInGreen)),
    "a field renamed, read by its former name": (TILL, with_types(a=ChargedEuros)),
    "a new undo": (TILL, step("greet_customer", undo=ORDER.steps["charge_card"].undo)),
    "a participant renamed, with its former name": (DESK, with_participant_renamed(TILL, "order.cashier")),
    "a new participant": (DESK, replace(ORDER, participants=(*ORDER.participants, "order.mail"))),
}


@pytest.mark.parametrize(("participant", "now"), CARRIED.values(), ids=CARRIED.keys())
def test_such_a_change_stops_no_saga(participant: str, now: Graph) -> None:
    assert differences(record_of(ORDER, participant), record_of(now, participant)) == []


def opened(participant: str) -> Bench:
    bench = Bench(participant)
    bench.opens()
    return bench


def desk_with_label() -> Bench:
    desk = opened(DESK)
    desk.hears(order.LabelPrinted(saga_id=SAGA), "label", STORE)
    return desk


def desk_cleared() -> Bench:
    desk = desk_with_label()
    desk.starts()
    desk.says("expire_order", None)
    desk.hears(order.CardCharged(saga_id=SAGA), "card", TILL)
    desk.starts()
    desk.says("clear_order", order.OrderCleared(saga_id=SAGA))
    desk.hears_itself()
    return desk


def till_charging() -> Bench:
    till = opened(TILL)
    till.hears(order.StockReserved(saga_id=SAGA), "stock", STORE)
    return till


def till_charged() -> Bench:
    till = till_charging()
    till.starts()
    till.says("charge_card", order.CardCharged(saga_id=SAGA))
    till.hears_itself()
    return till


def till_shipping() -> Bench:
    till = opened(TILL)
    till.hears(order.OrderCleared(saga_id=SAGA), "cleared", DESK)
    return till


def desk_cancelling() -> Bench:
    desk = opened(DESK)
    desk.hears(order.CancelOrder(saga_id=SAGA), "cancel")
    return desk


def desk_expired_settled() -> Bench:
    desk = opened(DESK)
    desk.expires()
    desk.hears_settled(STORE)
    return desk


Case = tuple[Graph, Callable[[], Bench], str, str, Callable[[], Bench] | None]
LEGS_AND_STOCK = step("clear_order", legs=((LABEL,), (CARD, NO_CARD), (STOCK,)))
# The flow now, a saga that is held, the rule, the sentence, and a saga that is carried.
STOPPED: dict[str, Case] = {
    "a step removed": (
        without("ship_parcel"),
        till_shipping,
        "step",
        "no step of order.till is called ship_parcel",
        till_charged,
    ),
    "a step renamed": (
        renamed("ship_parcel"),
        till_shipping,
        "step",
        "no step of order.till is called ship_parcel",
        till_charged,
    ),
    "a leg added that may have passed": (
        LEGS_AND_STOCK,
        lambda: opened(DESK),
        "legs",
        f"clear_order waits for {LABEL} and {CARD} or {NO_CARD} and {STOCK}, and no longer for"
        f" {LABEL} and {CARD} or {NO_CARD}",
        desk_cleared,
    ),
    "a leg added while the join waits": (LEGS_AND_STOCK, desk_with_label, "legs", "clear_order waits", desk_cleared),
    "a leg added that was not said before": (
        with_a_stamp(),
        desk_with_label,
        "legs",
        "clear_order waits",
        lambda: opened(DESK),
    ),
    "a leg added that follows from what may have passed": (
        with_a_stamp("order.opened"),
        lambda: opened(DESK),
        "legs",
        "clear_order waits",
        desk_cleared,
    ),
    "a leg added that a new participant says": (
        with_a_stamp(participant="order.mail"),
        lambda: opened(DESK),
        "legs",
        "clear_order waits",
        desk_cleared,
    ),
    "a leg added that nothing says": (
        step("clear_order", legs=((LABEL,), (CARD, NO_CARD), ("order.weighed",))),
        lambda: opened(DESK),
        "legs",
        "clear_order waits",
        desk_cleared,
    ),
    "a leg removed": (step("clear_order", legs=((LABEL,),)), desk_with_label, "legs", "clear_order waits", None),
    "a leg retyped": (
        step("clear_order", legs=((LABEL,), (NO_CARD,))),
        desk_with_label,
        "legs",
        "clear_order waits",
        desk_cleared,
    ),
    "another trigger": (
        step("charge_card", legs=(("order.opened",),)),
        till_charging,
        "trigger",
        f"charge_card is started by order.opened, and no longer by {STOCK}",
        till_charged,
    ),
    "another trigger that may have passed": (
        step("charge_card", legs=((LABEL,),)),
        lambda: opened(TILL),
        "trigger",
        f"charge_card is started by {LABEL}, and no longer by {STOCK}",
        till_charged,
    ),
    "a recall of what was not kept": (
        recalling("ship_parcel", LABEL),
        till_shipping,
        "recall",
        f"ship_parcel recalls {LABEL}, which was not kept for sagas that began before",
        till_charging,
    ),
    "an event of a new participant": (
        with_speaker("reserve_stock", "order.shop"),
        lambda: opened(TILL),
        "speaker",
        f"{STOCK} is said by order.shop alone, which older sagas do not have",
        till_charged,
    ),
    "a required field": (
        with_types(a=Opened),
        till_charging,
        "field",
        "order.opened has a new required field colour",
        None,
    ),
    "another type of a field": (
        with_types(a=Charged),
        till_charged,
        "field",
        f"{CARD} takes string as cents, and no longer integer",
        till_charging,
    ),
    "a field gone from a command": (
        with_types(a=Cancel),
        desk_cancelling,
        "field",
        "order.cancel has no field reason any more",
        lambda: opened(DESK),
    ),
    "an undo removed": (
        step("charge_card", undo=None),
        till_charged,
        "undo",
        "no compensation of charge_card is deployed",
        till_charging,
    ),
    "an undo of another event": (
        undo("charge_card", fact=NO_CARD),
        till_charged,
        "undone",
        f"refund_card undoes {NO_CARD}, and no longer {CARD}",
        till_charging,
    ),
    "a participant gone": (
        without_participant(STORE),
        lambda: opened(DESK),
        "participant",
        "no participant is called order.store, and sagas that have it need it to the end",
        desk_expired_settled,
    ),
}


@pytest.mark.parametrize(("now", "make", "rule", "sentence", "carried"), STOPPED.values(), ids=STOPPED.keys())
def test_such_a_change_stops_the_sagas_that_have_it_before_them_and_no_other(
    now: Graph, make: Callable[[], Bench], rule: str, sentence: str, carried: Callable[[], Bench] | None
) -> None:
    bench = make()
    then = record_of(ORDER, bench.participant)
    comparison = Comparison(then, record_of(now, bench.participant), now.schema.messages)
    (change,) = comparison.hindering(bench.journal)
    assert change.rule == rule
    assert change.sentence.startswith(sentence)
    if carried is not None:
        assert comparison.hindering(carried().journal) == []


def test_a_saga_that_is_being_undone_is_stopped_by_what_concerns_its_undoing_alone() -> None:
    till = till_shipping()
    till.expires()
    till_record = record_of(ORDER, TILL)
    assert Comparison(till_record, record_of(without("ship_parcel"), TILL), {}).hindering(till.journal) == []


def test_a_type_that_is_gone_concerns_the_sagas_that_have_it_to_undo() -> None:
    till = till_charged()
    gone = {name: kind for name, kind in ORDER.schema.messages.items() if name != CARD}
    steps = {name: one for name, one in ORDER.steps.items() if CARD not in one.says and (CARD,) not in one.legs}
    now = replace(ORDER, steps=steps, schema=ORDER.schema._replace(messages=gone))
    comparison = Comparison(record_of(ORDER, TILL), record_of(now, TILL), gone)
    assert "type" in {change.rule for change in comparison.hindering(till.journal)}
    assert "type" not in {change.rule for change in comparison.hindering(till_charging().journal)}


def test_a_saga_that_has_ended_is_stopped_by_nothing() -> None:
    journal = msgspec.structs.replace(opened(DESK).journal, closed_at=1.0)
    now = without_participant(STORE)
    comparison = Comparison(record_of(ORDER, DESK), record_of(now, DESK), now.schema.messages)
    assert comparison.changes and comparison.hindering(journal) == []
