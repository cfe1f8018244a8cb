"""The guard: what a build cannot carry is held with what arrives for it, and goes on with the first build that can."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import AliasChoices, Field

from consumers.runtime import ledger as ledgers
from consumers.runtime.carrying import Carrier
from consumers.runtime.finishing import Broke, Waits
from consumers.runtime.flow_changes import Change, Comparison
from consumers.runtime.flow_record import FLOW_PREFIX
from consumers.runtime.graph import Graph
from consumers.runtime.journal import Journal
from consumers.runtime.limits import JOURNAL_BYTES_MAX
from producers.headers import headers_for
from producers.identity import fact_id
from schemas.engine import EngineCommand, ItemResumed, ItemSkipped, RetryItem, SkipItem, StepFailed
from schemas.message import Event, Message
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import BEGIN, SAGA, Bench, opened_desk
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL

LABEL, CARD, NO_CARD, STOCK = (
    "order.label.printed",
    "order.card.charged",
    "order.card.not_wanted",
    "order.stock.reserved",
)
HELD, RESUMED = "order.step.failed", "order.item.resumed"


def step(name: str, /, **changes: Any) -> Graph:
    return replace(ORDER, steps=ORDER.steps | {name: replace(ORDER.steps[name], **changes)})


def without(*names: str) -> Graph:
    return replace(ORDER, steps={name: one for name, one in ORDER.steps.items() if name not in names})


def with_type(kind: type[Message]) -> Graph:
    messages = ORDER.schema.messages | {kind.wire_type: kind}
    return replace(ORDER, schema=ORDER.schema._replace(messages=messages))


class PaintedOrderOpened(order.OrderOpened, type="order.opened"):
    colour: str


class PaintedLabelPrinted(order.LabelPrinted, type="order.label.printed"):
    colour: str


LEG_ADDED = step("clear_order", legs=((LABEL,), (CARD, NO_CARD), (STOCK,)))
LEGS_SWAPPED = step("clear_order", legs=((CARD, NO_CARD), (LABEL,)))
PAINTED = with_type(PaintedOrderOpened)
PAINTED_LABEL = with_type(PaintedLabelPrinted)


def desk_joining() -> Bench:
    """The door of a saga whose join has heard the label."""
    desk = opened_desk()
    desk.hears(order.LabelPrinted(saga_id=SAGA), "label", STORE)
    desk.commit()
    return desk


def store_at_work() -> Bench:
    store = Bench(STORE)
    store.opens()
    assert store.starts() == ["reserve_stock", "print_label"]
    store.commit()
    return store


def told(bench: Bench, wire_type: str = HELD) -> list[tuple[str, str]]:
    """The items that were told of, with their causes."""
    return [(body["item"], body.get("cause", "")) for body in bench.bodies(wire_type)]


def says(bench: Bench, event: Event, source: str, causation: str = "c") -> None:
    """An event as the engine itself writes it, whichever class this build has for its type."""
    wire_type = event.wire_type
    headers = headers_for(
        wire_type=wire_type,
        message_id=fact_id(SAGA, wire_type, source, causation),
        source=source,
        saga_id=SAGA,
        at=bench.now,
        causation=causation,
    )
    bench.hears_record(bench.topics.events, SAGA.encode(), event.model_dump_json().encode(), headers)


def asks(desk: Bench, command: type[EngineCommand], participant: str, step_name: str, item: str, **words: str) -> None:
    named = {"saga_id": SAGA, "participant": participant, "step": step_name, "item": item}
    desk.hears(command(**named, **words), f"{command.__name__} {desk.offsets}")


def flows_of(bench: Bench) -> set[str]:
    """The keys of the flows that it has stored."""
    return {key for key in bench.others if key.startswith(FLOW_PREFIX)}


# What is carried.


def test_a_saga_whose_flow_has_not_changed_for_it_goes_on_and_names_the_flow_that_carried_it() -> None:
    desk = desk_joining()
    first = desk.journal.flow
    later = desk.reopened(graph=LEGS_SWAPPED)
    later.hears(order.CardCharged(saga_id=SAGA), "card", TILL)
    assert later.starts() == ["clear_order"]
    later.says("clear_order", order.OrderCleared(saga_id=SAGA))
    assert later.hears_itself() == ["order.cleared"]
    assert first and later.journal.flow not in ("", first)
    assert flows_of(later) == {FLOW_PREFIX + first, FLOW_PREFIX + later.journal.flow}


def test_a_flow_that_no_open_saga_was_carried_with_is_forgotten() -> None:
    desk = desk_joining()
    later = desk.reopened(graph=LEGS_SWAPPED)
    later.hears(order.CardCharged(saga_id=SAGA), "card", TILL)
    later.commit()
    again = later.reopened()
    again.commit()
    assert flows_of(again) == {FLOW_PREFIX + later.journal.flow}


def test_the_flow_is_stored_with_the_first_transaction_of_the_build() -> None:
    store = store_at_work()
    assert flows_of(store) == {FLOW_PREFIX + store.journal.flow}
    later = store.reopened()
    later.commit()
    assert later.others == store.others


# Held as a whole.


def test_a_join_that_has_a_leg_more_holds_its_saga_until_the_former_build_is_back() -> None:
    desk = desk_joining()
    held = desk.reopened(graph=LEG_ADDED)
    assert held.starts() == []
    assert held.hears_itself() == [HELD]
    ((item, cause),) = told(held)
    assert item == f"flow/{DESK}"
    assert cause.startswith("flow changed: clear_order waits for ")
    # The last leg is not lost, and nothing starts.
    held.hears(order.CardCharged(saga_id=SAGA), "card", TILL)
    held.hears(order.CardCharged(saga_id=SAGA), "card", TILL)
    assert (held.starts(), held.hears_itself()) == ([], [])
    assert held.journal.hold is not None and [fact.id for fact in held.journal.hold.parked] == ["card"]
    still = held.reopened(graph=ORDER)
    assert still.starts() == ["clear_order"]
    assert still.hears_itself() == [RESUMED]
    still.says("clear_order", order.OrderCleared(saga_id=SAGA))
    assert still.hears_itself() == ["order.cleared"]
    assert still.journal.standing == {}


def test_an_event_that_arrives_before_its_saga_was_looked_at_is_parked() -> None:
    held = desk_joining().reopened(graph=LEG_ADDED)
    held.hears(order.CardCharged(saga_id=SAGA), "card", TILL)
    assert held.starts() == []
    assert held.journal.hold is not None and [fact.id for fact in held.journal.hold.parked] == ["card"]


def test_a_saga_of_another_flow_is_looked_at_without_delay() -> None:
    held = desk_joining().reopened(graph=LEG_ADDED)
    assert held.ledger.next_due() == 0.0
    held.starts()
    assert held.ledger.next_due() != 0.0


def test_nothing_of_a_saga_of_another_flow_starts_before_it_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_at_work()
    store.breaks("print_label")
    store.says("reserve_stock", order.StockReserved(saga_id=SAGA))
    store.commit()
    held = store.reopened(graph=without("print_label"))
    # As where many sagas are to be looked at, and this one's turn has not come.
    monkeypatch.setattr(ledgers, "CARRIED_AT_ONCE", 0)
    held.now += 60
    held.hears(order.OrderOpened(saga_id="o-2", participants=ORDER.participants), "opening 2", DESK)
    held.hears(order.OrderOpened(saga_id="o-2", participants=ORDER.participants), "opening 2", DESK)
    assert held.starts() == ["reserve_stock"]
    assert held.item("print_label").state == "held"
    assert held.running["reserve_stock"].journal.saga_id == "o-2"
    desk = desk_joining().reopened(graph=LEG_ADDED)
    desk.now += 3_600
    assert desk.starts() == []
    assert desk.journal.hold is not None


def test_a_saga_that_cannot_be_compared_is_looked_at_and_the_fault_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(self: Carrier, journal: Journal) -> bool:
        raise KeyError("half way")

    desk = desk_joining()
    monkeypatch.setattr(Carrier, "must_look_at", fails)
    later = desk.reopened()
    assert later.ledger.next_due() == 0.0
    assert [one.message for one in caplog.records] == ["engine.fault"]
    later.hears(order.CardCharged(saga_id=SAGA), "card", TILL)
    assert later.starts() == ["clear_order"]


def test_a_held_saga_is_told_of_once_by_each_build_that_holds_it() -> None:
    held = desk_joining().reopened(graph=LEG_ADDED)
    held.starts()
    held.hears_itself()
    again = held.reopened(graph=LEG_ADDED)
    assert (again.starts(), again.hears_itself()) == ([], [])
    other = again.reopened(graph=step("clear_order", legs=((LABEL,),)))
    assert (other.starts(), other.hears_itself()) == ([], [HELD])
    assert told(other)[0][1].endswith(f"waits for {LABEL}, and no longer for {LABEL} and {CARD} or {NO_CARD}")


def test_a_saga_beside_a_held_one_is_carried() -> None:
    desk = desk_joining()
    held = desk.reopened(graph=LEG_ADDED)
    held.hears(order.PlaceOrder(saga_id="o-2", item="rose"), "place 2")
    assert held.starts() == ["place_order"]


def test_a_failing_end_of_a_held_saga_is_undone() -> None:
    store = store_at_work()
    store.says("print_label", order.LabelPrinted(saga_id=SAGA))
    store.says("reserve_stock", order.StockReserved(saga_id=SAGA))
    store.hears_itself()
    held = store.reopened(graph=step("reserve_stock", undo=ORDER.steps["print_label"].undo))
    held.starts()
    held.commit()
    held.expires()
    held.hears_settled(DESK, TILL)
    # What this build can undo is undone, and of the rest it says so.
    assert held.starts() == [] and held.hears_itself() == ["order.compensation.stuck"]
    (stuck,) = held.bodies("order.compensation.stuck")
    assert stuck["cause"].startswith("flow changed: tear_label undoes order.label.printed, and this saga has")
    back = held.reopened(graph=ORDER)
    assert back.starts() == ["release_stock"]


def test_a_held_door_still_cancels_where_nothing_that_is_parked_speaks_against_it() -> None:
    held = desk_joining().reopened(graph=LEG_ADDED)
    held.starts()
    held.hears_itself()
    held.hears(order.CancelOrder(saga_id=SAGA), "cancel")
    assert held.starts() == ["cancel_order"]
    held.says("cancel_order", order.OrderCancelled(saga_id=SAGA))
    held.hears_itself()
    assert held.hears_itself() == ["order.participant.settled"]
    assert held.journal.hold is None and held.journal.standing == {}


def test_a_held_door_does_not_cancel_past_a_parked_event_that_its_step_asks_for() -> None:
    held = desk_joining().reopened(graph=LEG_ADDED)
    held.starts()
    held.hears_itself()
    held.hears(order.OrderCleared(saga_id=SAGA), "cleared", DESK)
    held.hears(order.CancelOrder(saga_id=SAGA), "cancel")
    assert held.starts() == []


def test_a_missing_step_of_a_held_saga_is_told_of_again_when_an_operator_retries_it() -> None:
    steps = {name: one for name, one in LEG_ADDED.steps.items() if name != "expire_order"}
    held = desk_joining().reopened(graph=replace(LEG_ADDED, steps=steps))
    held.starts()
    held.hears_itself()
    assert held.journal.hold is not None
    item = held.item("expire_order")
    held.hears(ItemResumed(saga_id=SAGA, participant=DESK, step="expire_order", item=item.id), "resumed", DESK)
    held.commit()
    assert [name for name, _ in told(held)].count(item.id) == 2


def test_a_stuck_compensation_that_was_renamed_is_made_anew_when_an_operator_retries_it() -> None:
    store = store_at_work()
    store.says("print_label", order.LabelPrinted(saga_id=SAGA))
    store.breaks("reserve_stock", permanent=True)
    store.hears_itself()
    store.expires()
    store.hears_settled(DESK, TILL)
    while "tear_label" not in store.running:
        for name in store.starts():
            if name != "tear_label":
                store.says(name, None)
        store.now += 1
    store.breaks("tear_label", permanent=True)
    store.hears_itself()
    item = store.item("tear_label")
    assert item.state == "stuck"
    undo = ORDER.steps["print_label"].undo
    assert undo is not None
    renamed = replace(undo, name="rip_label")
    later = store.reopened(graph=step("print_label", undo=renamed))
    later.hears(ItemResumed(saga_id=SAGA, participant=STORE, step="tear_label", item=item.id), "resumed", DESK)
    assert later.starts() == ["rip_label"]


def test_the_verbs_of_a_held_saga_look_again_or_carry_it_as_it_is() -> None:
    held = desk_joining().reopened(graph=LEG_ADDED)
    held.starts()
    held.hears_itself()
    held.hears(order.StockReserved(saga_id=SAGA), "stock", STORE)
    asks(held, RetryItem, DESK, "flow", f"flow/{DESK}")
    assert held.starts() == []
    assert held.hears_itself() == [RESUMED]
    assert held.hears_itself() == [HELD]
    asks(held, SkipItem, DESK, "flow", f"flow/{DESK}", reason="the stock is there")
    held.starts()
    assert held.hears_itself() == ["order.item.skipped"]
    held.hears(order.CardCharged(saga_id=SAGA), "card", TILL)
    assert held.starts() == ["clear_order"]
    assert len({(one.headers, one.value) for one in held.said}) == len(held.said)


def test_so_much_is_parked_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.runtime.limits.ITEMS_MAX", 3)
    held = desk_joining().reopened(graph=LEG_ADDED)
    held.starts()
    for number in range(5):
        held.hears(order.CardCharged(saga_id=SAGA), f"card {number}", TILL)
    held.commit()
    assert held.journal.hold is not None and len(held.journal.hold.parked) == 3
    assert ["3 events wait for it already" in letter["reason"] for letter in held.dead_letters()] == [True, True]
    # Neither is one that this build cannot read.
    later = held.reopened(graph=replace(LEG_ADDED, schema=PAINTED_LABEL.schema))
    later.starts()
    says(later, order.LabelPrinted(saga_id=SAGA), STORE)
    later.commit()
    assert later.journal.hold is not None and len(later.journal.hold.parked) == 3
    assert ["3 events wait for it already" in letter["reason"] for letter in later.dead_letters()] == [True]


class NotedLabelPrinted(order.LabelPrinted, type="order.label.printed"):
    note: str


def test_what_is_parked_is_bounded_by_its_size() -> None:
    held = desk_joining().reopened(graph=PAINTED_LABEL)
    note = "x" * (JOURNAL_BYTES_MAX // 10)
    for number in range(12):
        says(held, NotedLabelPrinted(saga_id=SAGA, note=note), STORE, f"cause {number}")
    held.commit()
    assert held.journal.hold is not None and len(held.journal.hold.parked) == 9
    assert ["bytes of state already" in letter["reason"] for letter in held.dead_letters()] == [True] * 3


def test_what_a_missing_step_may_have_done_is_undone_though_its_saga_had_failed_before_the_deploy() -> None:
    store = store_at_work()
    store.expires()
    store.commit()
    held = store.reopened("crashed", graph=without("reserve_stock"))
    held.hears_settled(DESK, TILL)
    held.now += 60
    while started := held.starts():
        for name in started:
            held.says(name, None)
    assert held.commit() == ["order.compensation.stuck"]
    (stuck,) = held.bodies("order.compensation.stuck")
    assert stuck["cause"].startswith("flow changed: no compensation of reserve_stock is deployed")


# Events that this build cannot read.


def test_the_door_does_not_wait_for_ever_for_its_own_event_that_it_cannot_read() -> None:
    desk = Bench(DESK)
    desk.hears(order.PlaceOrder(saga_id=SAGA, item="tulip"), "place")
    desk.starts()
    desk.says("place_order", order.OrderOpened(saga_id=SAGA))
    desk.commit()
    opening = next(one for one in desk.said if one.topic == "order.events")
    later = desk.reopened(graph=PAINTED)
    later.hears_record(opening.topic, opening.key, opening.value, opening.headers)
    later.hears_itself()
    ((item, cause),) = told(later)
    assert (item, cause.partition("order.opened")[0]) == (f"flow/{DESK}", "flow changed: ")
    assert "colour: Field required" in cause
    assert later.dead_letters() == [] and later.journal.awaiting == []
    later.hears(order.CancelOrder(saga_id=SAGA), "cancel")
    assert later.starts() == ["cancel_order"]
    later.says("cancel_order", order.OrderCancelled(saga_id=SAGA))
    later.hears_itself()
    assert later.hears_itself() == ["order.participant.settled"]


def test_an_opening_that_a_participant_cannot_read_is_applied_by_the_build_that_can() -> None:
    held = Bench(STORE, PAINTED)
    says(held, order.OrderOpened(saga_id=SAGA, participants=ORDER.participants), DESK)
    assert (held.starts(), held.commit()) == ([], [HELD])
    back = held.reopened(graph=ORDER)
    assert back.starts() == ["reserve_stock", "print_label"]
    assert back.commit() == [RESUMED]


def test_a_saga_that_ended_before_its_opening_could_be_read_is_settled() -> None:
    held = Bench(STORE, PAINTED)
    says(held, order.OrderOpened(saga_id=SAGA, participants=ORDER.participants), DESK)
    held.expires()
    assert held.commit() == [HELD, "order.participant.settled"]


@pytest.mark.parametrize("participant", [DESK, STORE])
def test_what_an_outsider_writes_among_the_events_holds_no_saga(participant: str) -> None:
    bench = Bench(participant)
    bench.opens()
    bench.hears_raw("order.opened", b'{"participants": 7}', topic="order.events")
    bench.hears_raw(LABEL, b"no json", topic="order.events")
    bench.hears_raw("order.unheard.of", b"{}", topic="order.events")
    named = headers_for(wire_type=LABEL, message_id="label 1", source=STORE, saga_id=SAGA, at=bench.now)
    bench.hears_record("order.events", SAGA.encode(), b"[]", named)
    bench.commit()
    assert bench.journal.hold is None and told(bench) == []


def test_an_event_of_a_later_flow_is_kept_for_it_by_the_participant_whose_step_hears_it() -> None:
    till = Bench(TILL)
    till.opens()
    till.commit()
    gone = {name: kind for name, kind in ORDER.schema.messages.items() if name != "order.cleared"}
    older = replace(without("ship_parcel"), schema=ORDER.schema._replace(messages=gone))
    held = till.reopened(graph=older)
    says(held, order.OrderCleared(saga_id=SAGA), DESK)
    assert held.commit() == [HELD]
    assert told(held)[0][1].startswith("flow changed: order.cleared")
    back = held.reopened(graph=ORDER)
    assert back.starts() == ["ship_parcel"]


def test_an_end_that_cannot_be_read_ends_the_saga_all_the_same() -> None:
    class SignedOrderExpired(order.OrderExpired, type="order.expired"):
        signature: str

    store = Bench(STORE, with_type(SignedOrderExpired))
    store.opens()
    says(store, order.OrderExpired(saga_id=SAGA), DESK)
    assert store.starts() == ["tear_label"]


# Items of a step that this build lacks.


def till_shipping() -> Bench:
    till = Bench(TILL)
    till.opens()
    till.hears(order.OrderCleared(saga_id=SAGA), "cleared", DESK)
    till.commit()
    return till


def test_an_item_of_a_missing_step_is_held_by_its_participant_and_goes_on_when_the_step_is_back() -> None:
    held = till_shipping().reopened(graph=without("ship_parcel"))
    assert (held.starts(), held.hears_itself()) == ([], [HELD])
    (body,) = held.bodies(HELD)
    assert (body["participant"], body["step"], body["item"], body["policy"], body["cause"]) == (
        TILL,
        "ship_parcel",
        "ship_parcel/cleared",
        "hold",
        "flow changed: no step of order.till is called ship_parcel",
    )
    # The rest of the saga goes on.
    held.hears(order.StockReserved(saga_id=SAGA), "stock", STORE)
    assert held.starts() == ["charge_card"]
    held.commit()
    back = held.reopened(graph=ORDER)
    assert sorted(back.starts()) == ["charge_card", "ship_parcel"]
    assert back.commit() == [RESUMED]
    assert told(back, RESUMED) == [("ship_parcel/cleared", "")]


def renamed(former: str, name: str, formerly: tuple[str, ...]) -> Graph:
    steps = dict(ORDER.steps)
    steps[name] = replace(steps.pop(former), name=name, formerly=formerly)
    return replace(ORDER, steps=steps)


def test_a_timer_of_a_renamed_step_goes_on_when_the_step_names_it_in_formerly() -> None:
    desk = opened_desk()
    held = desk.reopened(graph=renamed("expire_order", "end_order", ()))
    assert held.starts() == []
    assert held.hears_itself() == [HELD]
    assert held.item("expire_order").state == "held"
    held.now = BEGIN + 61
    assert held.starts() == []
    held.now = BEGIN + 30
    named = held.reopened(graph=renamed("expire_order", "end_order", ("expire_order",)))
    assert named.starts() == [] and named.commit() == [RESUMED]
    named.now = BEGIN + 61
    assert named.starts() == ["expire_order"]


def test_retry_and_skip_work_on_an_item_of_a_missing_step() -> None:
    held = till_shipping().reopened(graph=without("ship_parcel"))
    held.starts()
    held.hears_itself()
    named = {"saga_id": SAGA, "participant": TILL, "step": "ship_parcel", "item": "ship_parcel/cleared"}
    held.hears(ItemResumed(**named), "resumed", DESK)
    assert held.hears_itself() == [HELD]
    held.hears(ItemSkipped(**named, reason="sent by hand"), "skipped", DESK)
    assert held.open_items == []


@pytest.mark.parametrize("command", [RetryItem, SkipItem])
def test_the_door_passes_on_what_frees_an_item_of_a_missing_step(command: type[EngineCommand]) -> None:
    desk = opened_desk()
    named = {"saga_id": SAGA, "participant": TILL, "step": "ship_parcel", "item": "ship_parcel/x"}
    cause = "flow changed: no step of order.till is called ship_parcel"
    desk.hears(StepFailed(**named, attempts=1, cause=cause, policy="hold"), "held", TILL)
    words = {"reason": "sent by hand"} if command is SkipItem else {}
    asks(desk, command, TILL, "ship_parcel", "ship_parcel/x", **words)
    desk.starts()
    assert desk.hears_itself() == ["order.item.skipped" if command is SkipItem else RESUMED]


def test_a_cancelled_saga_gives_up_an_item_of_a_missing_step() -> None:
    held = till_shipping().reopened(graph=without("ship_parcel"))
    held.starts()
    held.commit()
    held.hears(order.OrderCancelled(saga_id=SAGA), "cancelled", DESK)
    assert held.commit() == ["order.participant.settled"]


def test_an_effect_of_a_missing_step_is_owed_and_undone_when_the_step_is_back() -> None:
    store = store_at_work()
    held = store.reopened("crashed", graph=without("print_label"))
    held.expires()
    held.hears_settled(DESK, TILL)
    held.hears_itself()
    (stuck,) = held.bodies("order.compensation.stuck")
    assert stuck["cause"] == "flow changed: no compensation of print_label is deployed"
    back = held.reopened(graph=ORDER)
    back.now += 100.0
    started: list[str] = []
    while names := back.starts():
        for name in names:
            started.append(name)
            event = order.StockReleased if name == "release_stock" else order.LabelTorn
            back.says(name, event(saga_id=SAGA))
        back.hears_itself()
    assert started == ["tear_label", "release_stock"]


def test_a_step_of_a_former_build_that_never_ran_leaves_nothing_to_undo() -> None:
    store = Bench(STORE)
    store.opens()
    store.commit()
    held = store.reopened(graph=without("print_label", "reserve_stock"))
    held.starts()
    held.expires()
    assert held.commit()[-1] == "order.participant.settled"


def test_a_command_whose_step_is_missing_is_refused() -> None:
    desk = opened_desk()
    desk.hears(order.CancelOrder(saga_id=SAGA), "cancel")
    desk.commit()
    later = desk.reopened(graph=without("cancel_order"))
    later.starts()
    assert later.hears_itself() == ["order.command.refused"]
    assert "no step of order.desk is called cancel_order" in later.bodies("order.command.refused")[0]["reason"]
    # It is over: a build that has the step again finds nothing to start.
    again = later.reopened(graph=ORDER)
    assert "cancel_order" not in again.starts()


def test_a_compensation_that_was_renamed_goes_on_under_its_name_of_now() -> None:
    store = store_at_work()
    store.says("print_label", order.LabelPrinted(saga_id=SAGA))
    store.says("reserve_stock", order.StockRefused(saga_id=SAGA, reason="none"))
    store.hears_itself()
    assert store.open_items == ["tear_label"]
    store.commit()
    undo = ORDER.steps["print_label"].undo
    assert undo is not None
    later = store.reopened(graph=step("print_label", undo=replace(undo, name="shred_label")))
    assert (later.starts(), later.hears_itself()) == (["shred_label"], [])


def test_a_compensation_that_is_not_deployed_goes_on_by_itself_when_it_is() -> None:
    store = store_at_work()
    store.says("print_label", order.LabelPrinted(saga_id=SAGA))
    store.says("reserve_stock", order.StockRefused(saga_id=SAGA, reason="none"))
    store.hears_itself()
    for _ in range(2):
        store.commit()
        held = store.reopened(graph=step("print_label", undo=None))
        assert (held.starts(), held.hears_itself()) == ([], ["order.compensation.stuck"])
        store = held.reopened(graph=ORDER)
        assert (store.starts(), store.hears_itself()) == (["tear_label"], [RESUMED])
        store.now += 1.0
    causes = [one.headers for one in store.said + held.said]
    assert len({dict(headers)["ce_id"] for headers in causes}) == len(causes)


def test_an_item_that_failed_by_itself_is_not_tried_again_by_a_deploy() -> None:
    till = till_shipping()
    assert till.starts() == ["ship_parcel"]
    till.ends("ship_parcel", Broke("OSError", "no van", permanent=True))
    till.hears_itself()
    assert till.item("ship_parcel").state == "held"
    away = till.reopened(graph=without("ship_parcel"))
    assert (away.starts(), away.hears_itself()) == ([], [])
    back = away.reopened(graph=ORDER)
    assert (back.starts(), back.hears_itself()) == ([], [])


def test_a_timer_that_came_due_while_its_saga_was_held_fires_afterwards() -> None:
    held = opened_desk().reopened(graph=LEG_ADDED)
    held.now = BEGIN + 61
    assert held.starts() == []
    held.hears_itself()
    back = held.reopened(graph=ORDER)
    assert back.starts() == ["expire_order"]
    back.ends("expire_order", Waits(BEGIN + 90))
    assert back.hears_itself()[0] == RESUMED


def test_what_a_participant_has_said_of_going_on_frees_nothing_that_is_held_again_by_then() -> None:
    for make, graph in ((desk_joining, LEG_ADDED), (till_shipping, without("ship_parcel"))):
        held = make().reopened(graph=graph)
        held.starts()
        held.commit()
        back = held.reopened(graph=ORDER)
        back.starts()
        assert back.commit() == [RESUMED]
        (resumed,) = (one for one in back.said if one.topic == "order.events")
        again = back.reopened(graph=graph)
        again.starts()
        assert again.commit() == [HELD]
        again.hears_record(resumed.topic, resumed.key, resumed.value, resumed.headers)
        assert again.commit() == []


class ColouredOrderOpened(order.OrderOpened, type="order.opened"):
    plant: str = Field(default="", validation_alias=AliasChoices("plant", "item"))


def test_a_renamed_field_is_read_by_its_former_name_from_the_journal_and_from_the_log() -> None:
    till = Bench(TILL)
    till.opens()
    till.hears(order.StockReserved(saga_id=SAGA), "stock", STORE)
    till.commit()
    graph = with_type(ColouredOrderOpened)
    later = till.reopened(graph=graph)
    assert later.starts() == ["charge_card"]
    recalled = ColouredOrderOpened.model_validate_json(later.journal.facts["order.opened"].body)
    assert recalled.plant == "tulip"
    store = Bench(STORE, graph)
    says(store, order.OrderOpened(saga_id=SAGA, participants=ORDER.participants), DESK)
    assert store.starts() == ["reserve_stock", "print_label"]


def test_a_renamed_join_goes_on_with_the_legs_that_it_heard_under_its_former_name() -> None:
    later = desk_joining().reopened(graph=renamed("clear_order", "free_order", ("clear_order",)))
    later.hears(order.LabelPrinted(saga_id=SAGA), "label", STORE)
    later.hears(order.CardCharged(saga_id=SAGA), "card", TILL)
    assert later.starts() == ["clear_order"]
    assert later.open_items.count("free_order") == 0
    later.says("clear_order", order.OrderCleared(saga_id=SAGA))
    assert later.hears_itself() == ["order.cleared"]


def test_a_renamed_step_does_not_run_again_for_an_event_that_is_written_twice() -> None:
    store = store_at_work()
    store.says("print_label", order.LabelPrinted(saga_id=SAGA))
    store.commit()
    later = store.reopened(graph=renamed("print_label", "label_parcel", ("print_label",)))
    later.opens()
    assert later.starts() == ["reserve_stock"]


def test_what_a_crashed_life_may_have_started_keeps_the_name_that_it_had_there() -> None:
    store = Bench(STORE)
    store.commit()
    later = store.reopened("crashed", graph=renamed("print_label", "label_parcel", ("print_label",)))
    opening = order.OrderOpened(saga_id=SAGA, participants=ORDER.participants)
    later.hears(opening, "opening", DESK, ending="crashed")
    assert later.open_items == ["reserve_stock", "print_label"]
    assert later.item("print_label").unknown_until > later.now
    later.hears(opening, "opening", DESK, ending="crashed")
    assert later.open_items == ["reserve_stock", "print_label"]
    assert sorted(later.journal.seen) == ["print_label/opening", "reserve_stock/opening"]


def test_a_join_whose_step_is_missing_holds_its_saga_with_the_legs_that_arrive() -> None:
    desk = desk_joining()
    held = desk.reopened(graph=without("clear_order"))
    held.starts()
    assert held.hears_itself() == [HELD]
    assert told(held)[0] == (f"flow/{DESK}", "flow changed: no step of order.desk is called clear_order")
    held.hears(order.CardCharged(saga_id=SAGA), "card", TILL)
    held.commit()
    back = held.reopened(graph=ORDER)
    assert back.starts() == ["clear_order"]


def test_an_event_that_only_the_former_flow_heard_is_kept_for_a_held_saga() -> None:
    till = Bench(TILL)
    till.opens()
    till.commit()
    held = till.reopened(graph=step("charge_card", legs=((LABEL,),)))
    assert (held.starts(), held.commit()) == ([], [HELD])
    till.hears(order.StockReserved(saga_id=SAGA), "stock", STORE)
    till.starts()
    till.says("charge_card", order.CardCharged(saga_id=SAGA))
    till.commit()
    charged = till.reopened(graph=held.graph)
    record = held.hears(order.StockReserved(saga_id=SAGA), "stock", STORE)
    held.hears(order.StockReserved(saga_id="o-2"), "stock 2", STORE)
    charged.hears(order.StockReserved(saga_id=SAGA), "stock 3", STORE)
    assert charged.journal.hold is None
    assert not held.ledger.ignores(record.headers)
    assert Bench(TILL, held.graph).ledger.ignores(record.headers)
    held.commit()
    back = held.reopened(graph=ORDER)
    assert back.starts() == ["charge_card"]


def test_a_mistake_of_the_engine_over_one_saga_of_another_flow_holds_that_saga(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_joining()
    desk.hears(order.OrderOpened(saga_id="o-2", participants=ORDER.participants), "opening 2", DESK)
    desk.commit()

    def hindering(self: Comparison, journal: Journal) -> list[Change]:
        if journal.saga_id == SAGA:
            raise ZeroDivisionError("half way")
        return []

    monkeypatch.setattr(Comparison, "hindering", hindering)
    held = desk.reopened(graph=LEGS_SWAPPED)
    held.starts()
    assert held.commit() == [HELD]
    assert "ZeroDivisionError" in told(held)[0][1]
    other = held.ledger.journal("o-2")
    assert other is not None and other.hold is None
