"""What a message that stands in the log changes in a participant's journal."""

from dataclasses import replace
from itertools import permutations

import pytest

from consumers.runtime.finishing import Waits
from schemas.engine import CompensationStuck, ItemResumed, ItemSkipped, StepFailed
from schemas.message import Event
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    ORDER,
    STORE,
    TILL,
    CancelOrder,
    CardCharged,
    CardNotWanted,
    LabelPrinted,
    OrderCancelled,
    OrderCleared,
    OrderCompleted,
    OrderExpired,
    ParcelShipped,
    StockRefused,
    StockReserved,
)


def failed(policy: str, step: str = "charge_card", participant: str = TILL) -> StepFailed:
    return StepFailed.model_validate(
        {
            "saga_id": SAGA,
            "participant": participant,
            "step": step,
            "item": f"{step}/x",
            "attempts": 5,
            "cause": "no answer",
            "policy": policy,
        }
    )


def test_the_opening_starts_every_step_that_hears_it() -> None:
    store = Bench(STORE)
    store.opens()
    assert store.starts() == ["reserve_stock", "print_label"]


def test_the_opening_says_who_must_settle_and_under_which_flow_it_began() -> None:
    store = Bench(STORE)
    store.opens()
    assert (store.journal.participants, store.journal.graph) == (EVERYBODY, "g")


def test_a_participant_that_the_opening_does_not_name_owes_the_saga_nothing() -> None:
    store = Bench(STORE)
    store.opens(participants=(DESK, TILL))
    store.expires()
    assert store.starts() == []
    assert store.commit() == []


def test_a_saga_that_was_not_opened_hears_nothing_and_is_not_remembered() -> None:
    store = Bench(STORE)
    store.hears(StockReserved(saga_id=SAGA))
    store.expires()
    assert store.ledger.journals == {}
    assert store.ledger.take().state == {}


def test_a_saga_that_has_ended_hears_nothing() -> None:
    till = Bench(TILL)
    till.opens()
    till.hears(OrderCompleted(saga_id=SAGA))
    till.hears(StockReserved(saga_id=SAGA))
    till.opens("opened again")
    assert till.starts() == []


def test_a_record_that_is_published_twice_starts_its_steps_once() -> None:
    till = Bench(TILL)
    till.opens()
    for _ in range(2):
        till.hears(StockReserved(saga_id=SAGA), "reserved")
    assert till.starts() == ["charge_card"]
    till.says("charge_card", CardNotWanted(saga_id=SAGA))
    till.hears(StockReserved(saga_id=SAGA), "reserved")
    assert till.starts() == []


def test_an_opening_that_is_published_twice_starts_its_steps_once() -> None:
    store = Bench(STORE)
    store.opens()
    store.opens()
    assert store.starts() == ["reserve_stock", "print_label"]
    for step in ("reserve_stock", "print_label"):
        store.says(step, None)
    store.opens()
    assert store.starts() == []


@pytest.mark.parametrize("first_is_failing", [True, False])
def test_the_first_end_wins_over_an_end_of_the_other_kind(first_is_failing: bool) -> None:
    store = Bench(STORE)
    store.opens()
    ends: list[Event] = [OrderExpired(saga_id=SAGA), OrderCompleted(saga_id=SAGA)]
    for end in ends if first_is_failing else reversed(ends):
        store.hears(end)
    assert (store.starts() != []) is first_is_failing


def test_of_two_failing_ends_the_first_one_is_what_participants_settle_about() -> None:
    store = Bench(STORE)
    store.opens()
    store.hears(OrderCancelled(saga_id=SAGA), "first")
    store.hears(OrderExpired(saga_id=SAGA), "second")
    assert store.journal.end is not None
    assert store.journal.end.id == "first"


def test_a_step_that_failed_ends_the_saga_if_its_policy_says_so() -> None:
    store = Bench(STORE)
    store.opens()
    store.hears(failed("end"))
    assert "tear_label" in store.open_items
    assert "reserve_stock" not in store.open_items


@pytest.mark.parametrize("policy", ["hold", "ignore"])
def test_a_step_that_failed_does_not_end_the_saga_under_another_policy(policy: str) -> None:
    store = Bench(STORE)
    store.opens()
    store.hears(failed(policy))
    assert store.starts() == ["reserve_stock", "print_label"]


def test_a_refusal_ends_the_saga() -> None:
    till = Bench(TILL)
    till.opens()
    till.hears(StockRefused(saga_id=SAGA, reason="sold out"))
    till.hears(StockReserved(saga_id=SAGA))
    assert till.starts() == []
    assert till.commit() == ["order.participant.settled"]


def test_after_a_failing_end_no_fact_starts_a_step() -> None:
    till = Bench(TILL)
    till.opens()
    till.expires()
    till.hears(StockReserved(saga_id=SAGA))
    till.hears(OrderCleared(saga_id=SAGA))
    assert till.starts() == []


def test_a_completion_undoes_nothing_and_drops_what_still_waits() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    store.breaks("reserve_stock")
    store.hears(OrderCompleted(saga_id=SAGA))
    store.now += 3_600
    assert store.starts() == []
    assert store.commit() == ["order.label.printed"]


def test_what_a_step_says_after_the_completion_is_not_said_any_more() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.hears(OrderCompleted(saga_id=SAGA))
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    assert store.commit() == []


LEGS: list[Event] = [LabelPrinted(saga_id=SAGA), CardCharged(saga_id=SAGA), CardNotWanted(saga_id=SAGA)]


def desk_without_a_timer() -> Bench:
    desk = Bench(DESK)
    desk.opens()
    assert desk.starts() == ["expire_order"]
    desk.ends("expire_order", Waits(BEGIN + 90_000))
    desk.commit()
    return desk


@pytest.mark.parametrize("legs", list(permutations(LEGS[:2])), ids=lambda legs: legs[0].wire_type)
def test_a_join_starts_on_its_last_leg_whatever_the_order(legs: tuple[Event, ...]) -> None:
    desk = desk_without_a_timer()
    desk.hears(legs[0])
    assert desk.starts() == []
    desk.hears(legs[1])
    assert desk.starts() == ["clear_order"]


def test_a_join_does_not_take_one_leg_heard_twice_for_two() -> None:
    desk = desk_without_a_timer()
    desk.hears(LabelPrinted(saga_id=SAGA), "one")
    desk.hears(LabelPrinted(saga_id=SAGA), "two")
    assert desk.starts() == []


def test_two_alternatives_of_one_leg_are_one_leg_and_the_first_one_counts() -> None:
    desk = desk_without_a_timer()
    for leg in (LEGS[2], LEGS[1]):
        desk.hears(leg)
    assert desk.starts() == []
    desk.hears(LEGS[0])
    assert desk.starts() == ["clear_order"]
    assert desk.running["clear_order"].item.legs.keys() == {"order.label.printed", "order.card.not_wanted"}


def test_a_join_runs_once_in_a_saga() -> None:
    desk = desk_without_a_timer()
    for leg in LEGS[:2]:
        desk.hears(leg)
    assert desk.starts() == ["clear_order"]
    desk.says("clear_order", None)
    for number, leg in enumerate(LEGS):
        desk.hears(leg, f"again {number}")
    assert desk.starts() == []


def test_a_join_whose_legs_have_not_all_come_at_its_deadline_has_failed_and_names_them() -> None:
    desk = desk_without_a_timer()
    desk.hears(LabelPrinted(saga_id=SAGA))
    desk.now += 2 * 3_600 - 1
    desk.starts()
    assert desk.commit() == []
    desk.now += 1
    desk.starts()
    assert desk.commit() == ["order.step.failed"]
    (body,) = desk.bodies("order.step.failed")
    assert body["policy"] == "end"
    assert "order.card.charged or order.card.not_wanted" in body["cause"]


def test_a_join_that_is_complete_has_no_deadline_any_more() -> None:
    desk = desk_without_a_timer()
    for leg in LEGS[:2]:
        desk.hears(leg)
    desk.now += 3 * 3_600
    assert desk.starts() == ["clear_order"]


def test_the_deadline_of_a_join_counts_from_its_first_leg_by_the_brokers_clock() -> None:
    desk = desk_without_a_timer()
    desk.hears(LabelPrinted(saga_id=SAGA), at=BEGIN - 3_600)
    assert desk.item("clear_order").due == BEGIN + 3_600


def stuck(item: str = "charge_card/x") -> CompensationStuck:
    return CompensationStuck(
        saga_id=SAGA, participant=TILL, step="charge_card", item=item, attempts=1, cause="no answer"
    )


@pytest.mark.parametrize("told", [failed("hold"), stuck()], ids=["held", "stuck"])
def test_what_stands_still_anywhere_is_known_until_it_is_resumed(told: Event) -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.hears(told)
    assert [(one.participant, one.step) for one in desk.journal.standing.values()] == [(TILL, "charge_card")]
    desk.hears(ItemResumed(saga_id=SAGA, participant=TILL, step="charge_card", item="charge_card/x"))
    assert desk.journal.standing == {}


def held_till() -> Bench:
    till = Bench(TILL)
    till.opens()
    till.hears(OrderCleared(saga_id=SAGA), "cleared")
    for _ in range(2):
        assert till.starts() == ["ship_parcel"]
        till.breaks("ship_parcel")
        till.now += 60
    assert "order.step.failed" in till.hears_itself()
    assert till.starts() == []
    return till


def resumed(participant: str = TILL, item: str = "ship_parcel/cleared") -> ItemResumed:
    return ItemResumed(saga_id=SAGA, participant=participant, step="ship_parcel", item=item)


def test_a_held_item_that_is_resumed_is_tried_again_with_a_new_budget_and_its_old_message() -> None:
    till = held_till()
    till.hears(resumed())
    assert till.starts() == ["ship_parcel"]
    item = till.running["ship_parcel"].item
    assert (item.attempt, item.budget, item.message.id) == (3, 4, "cleared")


@pytest.mark.parametrize("other", [resumed(participant=STORE), resumed(item="ship_parcel/other")], ids=["who", "what"])
def test_only_the_participants_own_item_is_resumed(other: ItemResumed) -> None:
    till = held_till()
    till.hears(other)
    assert till.starts() == []


def test_resuming_twice_starts_an_item_once() -> None:
    till = held_till()
    till.hears(resumed(), "one")
    assert till.starts() == ["ship_parcel"]
    till.hears(resumed(), "two")
    assert till.starts() == []
    till.says("ship_parcel", ParcelShipped(saga_id=SAGA))
    assert till.commit() == ["order.parcel.shipped"]


def test_an_item_that_neither_is_held_nor_stuck_cannot_be_resumed() -> None:
    till = Bench(TILL)
    till.opens()
    till.hears(OrderCleared(saga_id=SAGA), "cleared")
    till.starts()
    till.breaks("ship_parcel")
    till.hears(resumed())
    assert till.starts() == []
    assert till.item("ship_parcel").attempt == 2


def test_a_held_join_hears_the_leg_that_came_too_late_and_can_be_resumed() -> None:
    steps = ORDER.steps | {"clear_order": replace(ORDER.steps["clear_order"], policy="hold")}
    desk = Bench(DESK, replace(ORDER, steps=steps))
    desk.opens()
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 90_000))
    desk.hears(LabelPrinted(saga_id=SAGA))
    desk.now += 7_201
    desk.starts()
    assert "order.step.failed" in desk.hears_itself()
    desk.hears(CardCharged(saga_id=SAGA))
    desk.hears(ItemResumed(saga_id=SAGA, participant=DESK, step="clear_order", item="clear_order/join"), "resumed")
    assert desk.starts() == ["clear_order"]
    assert len(desk.running["clear_order"].item.legs) == 2


def test_a_failure_that_is_ignored_stands_nowhere() -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.hears(failed("ignore"), "ignored", TILL)
    assert desk.journal.standing == {}
    desk.hears(failed("hold"), "held", TILL)
    assert list(desk.journal.standing) == ["charge_card/x"]


def test_a_participant_forgets_what_stood_still_elsewhere_when_it_is_freed() -> None:
    till = Bench(TILL)
    till.opens()
    till.expires()
    named = {"saga_id": SAGA, "participant": STORE, "step": "release_stock", "item": "release_stock/x"}
    till.hears(CompensationStuck(**named, attempts=2, cause="no answer", forward=False), "stuck", STORE)
    assert list(till.journal.standing) == ["release_stock/x"]
    till.hears(ItemSkipped(**named, reason="sold anyway"), "skipped", DESK)
    assert till.journal.standing == {}


def test_a_step_that_does_not_stand_still_cannot_be_skipped() -> None:
    store = Bench(STORE)
    store.opens()
    item = store.item("print_label")
    named = {"saga_id": SAGA, "participant": STORE, "step": "print_label", "item": item.id}
    store.hears(ItemSkipped(**named, reason="no paper"), "skipped", DESK)
    assert store.open_items == ["reserve_stock", "print_label"]
    store.starts()
    store.breaks("print_label")
    store.hears(ItemSkipped(**named, reason="no paper"), "skipped again", DESK)
    assert store.open_items == ["reserve_stock", "print_label"]


def test_a_saga_that_a_door_has_no_part_in_refuses_its_commands() -> None:
    desk = Bench(DESK)
    desk.opens(participants=(STORE, TILL))
    desk.hears(CancelOrder(saga_id=SAGA), "cancel")
    desk.starts()
    desk.commit()
    (refused,) = desk.bodies("order.command.refused")
    assert refused["reason"] == f"order {SAGA} has ended: closed"
