"""What a saga's status says when the build lacks its step or participant, or calls it otherwise; and how it goes on."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.runtime.flow_record import FLOW
from consumers.runtime.gone import GONE, item_of
from consumers.runtime.quarantine import QUARANTINE
from deploy.cli.stuck import standing_in
from schemas.campaign import AssetsDesigned
from schemas.engine import CompensationStuck, ItemResolved, ItemResumed, ItemSkipped, StepDelayed, StepFailed
from schemas.status import SagaStatus
from tests.simulation.campaign_world import campaign_graph
from tests.unit.consumers.runtime.bench import EVERYBODY, SAGA
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    ORDER,
    STORE,
    TILL,
    CardCharged,
    LabelTorn,
    OrderCancelled,
    OrderCleared,
    OrderCompleted,
    OrderExpired,
    StockReleased,
    StockReserved,
)
from tests.unit.consumers.tracker.builds import (
    later_build,
    looked_after,
    renamed_step,
    without_participant,
    without_step,
)
from tests.unit.consumers.tracker.log import PRINTED, RESERVED, at, failed, step
from tests.unit.consumers.tracker.test_folding import campaign_log
from tests.unit.consumers.tracker.test_stalling import Watched, opened

MISSING = {"saga_id": SAGA, "participant": STORE, "step": "print_label", "item": "print_label/order.opened"}
NO_STEP = CompensationStuck(**MISSING, attempts=1, cause="no step is called print_label", forward=True)


def stuck_at(
    participant: str, name: str, item: str, cause: str = "a fault", forward: bool = False
) -> CompensationStuck:
    return CompensationStuck(
        saga_id=SAGA, participant=participant, step=name, item=item, attempts=1, cause=cause, forward=forward
    )


def freed_by(status: dict[str, Any]) -> set[tuple[str, str, str]]:
    """What `soma stuck retry` would name: participant, step and item of all that stands still."""
    return {(one.participant, one.step, one.item) for one in standing_in(SagaStatus.model_validate(status))}


def held_by_flow(participant: str = STORE) -> StepFailed:
    named = {"participant": participant, "step": FLOW, "item": f"{FLOW}/{participant}"}
    return StepFailed(saga_id=SAGA, **named, attempts=1, cause="flow changed: the join has another leg", policy="hold")


def test_a_saga_that_a_participant_cannot_carry_is_held_with_the_cause_and_verbs_until_it_is_resumed() -> None:
    log = opened()
    status = log.hears(held_by_flow(), STORE, "x")
    assert (status["state"], status["cause"]) == ("held", "flow changed: the join has another leg")
    (standing,) = standing_in(SagaStatus.model_validate(status))
    assert [verb.split()[2] for verb in standing.freed_by.split(" | ")] == ["retry", "skip"]
    log.hears(held_by_flow(TILL), TILL, "x", "held in the till too")
    expected = {(who, "flow", f"flow/{who}") for who in (STORE, TILL)}
    for who in (STORE, TILL):
        assert (log.statuses[-1]["state"], freed_by(log.statuses[-1])) == ("held", expected)
        expected -= {(who, "flow", f"flow/{who}")}
        resumed = ItemResumed(saga_id=SAGA, participant=who, step="flow", item=f"flow/{who}")
        status = log.hears(resumed, who, "x", f"resumed {who}")
    assert (status["state"], status["cause"]) == ("running", None)
    assert all(one["participant"] and FLOW not in one["name"] for one in status["steps"])
    log.hears(PRINTED, STORE, "order.opened")
    log.hears(RESERVED, STORE, "order.opened")
    log.hears(CardCharged(saga_id=SAGA), TILL, "order.stock.reserved")
    log.hears(OrderCleared(saga_id=SAGA), DESK, "order.label.printed")
    # Nothing but a timer is left to be heard.
    log.hears(failed("ship_parcel", TILL, "ignore"), TILL, "x")
    assert looked_after(log)["state"] == "running"


def test_a_saga_that_a_participant_cannot_undo_is_held_after_its_end() -> None:
    log = opened()
    log.hears(held_by_flow(), STORE, "x")
    assert log.hears(OrderCancelled(saga_id=SAGA), DESK, "cancel")["state"] == "compensating"
    assert log.hears(held_by_flow(), STORE, "x", "again")["state"] == "held"
    assert log.settles(STORE)["state"] == "compensating"
    assert log.settles(*EVERYBODY)["state"] == "cancelled"


def rolled_back() -> Watched:
    """A saga inside a step that the older build, which is deployed now, lacks."""
    log = later_build(opened(), without_step("print_label"))
    log.hears(NO_STEP, STORE, "x")
    return log


def test_a_step_that_an_older_build_lacks_stands_stuck_under_the_participant_that_has_it() -> None:
    status = rolled_back().statuses[-1]
    assert (status["state"], step(status, "print_label")["participant"]) == ("stuck", STORE)
    assert freed_by(status) == {(STORE, "print_label", "print_label/order.opened")}


def test_it_runs_again_when_the_newer_build_is_back_and_goes_on() -> None:
    log = later_build(rolled_back())
    status = log.hears(ItemResumed(**MISSING), STORE, "x")
    assert (status["state"], status["cause"], step(status, "print_label")["state"]) == ("running", None, "running")
    assert step(log.hears(PRINTED, STORE, "order.opened"), "print_label")["state"] == "done"


def test_a_step_that_has_spoken_stands_still_no_more_even_if_nothing_else_was_told() -> None:
    log = later_build(rolled_back())
    assert log.hears(PRINTED, STORE, "order.opened")["state"] == "running"


def test_a_stuck_saga_that_is_cancelled_compensates_and_ends() -> None:
    log = rolled_back()
    status = log.hears(OrderCancelled(saga_id=SAGA), DESK, "cancel")
    assert (status["state"], step(status, "print_label")["state"]) == ("compensating", "skipped")
    assert freed_by(status) == set()
    assert log.settles(*EVERYBODY)["state"] == "cancelled"


def test_a_held_saga_that_fails_owes_its_settlements_and_stalls_without_them() -> None:
    log = opened()
    held = StepFailed(**MISSING, attempts=2, cause="no ink", policy="hold")
    log.hears(held, STORE, "x")
    log.hears(OrderExpired(saga_id=SAGA), DESK, "order.opened")
    assert log.wakes(10_000)["stalled"]["missing"] == ["order.participant.settled"]


@pytest.mark.parametrize("policy", ["hold", "stuck"])
def test_what_a_participant_said_before_it_heard_the_end_holds_the_ended_saga_no_more(policy: str) -> None:
    log = later_build(opened(), without_step("print_label"))
    log.hears(OrderCancelled(saga_id=SAGA), DESK, "cancel")
    late = StepFailed(**MISSING, attempts=2, cause="no ink", policy="hold") if policy == "hold" else NO_STEP
    assert log.hears(late, STORE, "x")["state"] == "compensating"
    assert log.settles(*EVERYBODY)["state"] == "cancelled"


def test_an_end_that_a_participant_cannot_apply_holds_the_saga_after_the_end() -> None:
    log = opened()
    log.hears(OrderCancelled(saga_id=SAGA), DESK, "cancel")
    fault = stuck_at(STORE, QUARANTINE, f"{QUARANTINE}/{STORE}/end", forward=True)
    status = log.hears(fault, STORE, "x")
    assert (status["state"], freed_by(status)) == ("stuck", {(STORE, QUARANTINE, f"{QUARANTINE}/{STORE}/end")})


def test_a_saga_that_all_have_settled_is_never_stuck() -> None:
    log = opened()
    log.hears(OrderCancelled(saga_id=SAGA), DESK, "cancel")
    log.settles(DESK, STORE)
    log.hears(stuck_at(STORE, QUARANTINE, f"{QUARANTINE}/{STORE}/late", forward=True), STORE, "x")
    assert log.settles(TILL)["state"] == "cancelled"


def test_a_completed_saga_is_never_stuck() -> None:
    log = rolled_back()
    status = log.hears(OrderCompleted(saga_id=SAGA), TILL, "order.parcel.shipped")
    assert (status["state"], freed_by(status)) == ("completed", set())


def test_each_item_that_stands_still_can_be_freed_though_several_participants_have_one_of_that_name() -> None:
    log = opened()
    for who in EVERYBODY:
        fault = stuck_at(who, QUARANTINE, f"{QUARANTINE}/{who}/x", forward=True)
        log.hears(fault, who, "x", f"stuck {who}")
    expected = {(who, QUARANTINE, f"{QUARANTINE}/{who}/x") for who in EVERYBODY}
    for who in EVERYBODY:
        assert freed_by(log.statuses[-1]) == expected
        item = f"{QUARANTINE}/{who}/x"
        resumed = ItemResumed(saga_id=SAGA, participant=who, step=QUARANTINE, item=item)
        log.hears(resumed, DESK, "retry", f"resumed {who}")
        expected -= {(who, QUARANTINE, item)}
    assert log.statuses[-1]["state"] == "running"


def test_of_two_items_of_one_step_the_second_shows_when_the_first_is_freed() -> None:
    log = opened()
    for item in ("print_label/one", "print_label/two"):
        stands = StepFailed(**MISSING | {"item": item}, attempts=2, cause="no ink", policy="hold")
        log.hears(stands, STORE, "x", f"held {item}")
    log.hears(ItemResumed(**MISSING | {"item": "print_label/two"}), DESK, "retry")
    assert freed_by(log.statuses[-1]) == {(STORE, "print_label", "print_label/one")}


def test_no_saga_is_stuck_by_what_no_participant_of_it_says() -> None:
    log = opened()
    foreign = NO_STEP.model_copy(update={"participant": "order.stranger"})
    assert log.hears(foreign, "order.stranger", "x")["state"] == "running"


def test_a_renamed_step_is_shown_under_its_name_of_now_and_stalls_like_any_other() -> None:
    log = later_build(opened(), renamed_step("print_label", "print_sticker"))
    status = log.hears(RESERVED, STORE, "order.opened")
    names = [one["name"] for one in status["steps"]]
    assert "print_sticker" in names and "print_label" not in names
    assert log.wakes(10_000)["stalled"]["step"] == "print_sticker"
    assert step(log.hears(PRINTED, STORE, "order.opened"), "print_sticker")["state"] == "done"


def test_an_item_that_has_its_step_s_former_name_shows_at_the_step() -> None:
    log = later_build(opened(), renamed_step("print_label", "print_sticker"))
    status = log.hears(StepFailed(**MISSING, attempts=2, cause="no ink", policy="hold"), STORE, "x")
    assert [one["name"] for one in status["steps"] if one["state"] == "held"] == ["print_sticker"]
    assert freed_by(status) == {(STORE, "print_label", "print_label/order.opened")}
    assert log.hears(ItemResumed(**MISSING), DESK, "retry")["state"] == "running"


def test_a_stuck_compensation_with_its_former_name_is_over_when_the_renamed_one_has_spoken() -> None:
    log = opened()
    log.hears(PRINTED, STORE, "order.opened")
    log.hears(OrderExpired(saga_id=SAGA), DESK, "order.opened")
    log.hears(stuck_at(STORE, "tear_label", "tear_label/order.opened"), STORE, "x")
    log = later_build(log, renamed_step("print_label", "print_sticker", undo="tear_sticker"))
    status = log.hears(LabelTorn(saga_id=SAGA), STORE, "order.label.printed")
    assert (status["state"], step(status, "print_sticker")["state"]) == ("compensating", "undone")


def test_a_saga_that_waits_for_a_step_that_no_participant_has_is_held_with_the_cause() -> None:
    log = opened()
    log.hears(PRINTED, STORE, "order.opened")
    log.hears(RESERVED, STORE, "order.opened")
    later = later_build(log, without_participant(TILL))
    status = looked_after(later)
    assert status["state"] == "held"
    assert status["cause"].startswith("flow changed: this build has no step charge_card")
    assert step(status, "charge_card")["state"] == "held"
    # The store belongs to this build, and owes nothing; what it says all the same changes nothing of that.
    assert later.hears(failed("print_label", STORE, "ignore"), STORE, "x")["state"] == "held"
    back = later_build(later)
    assert looked_after(back)["state"] == "running"
    assert looked_after(back)["cause"] is None


def test_a_saga_that_is_held_for_a_step_is_held_no_more_when_another_step_has_something_to_do() -> None:
    log = opened()
    log.hears(PRINTED, STORE, "order.opened")
    log.hears(RESERVED, STORE, "order.opened")
    later = later_build(log, without_step("charge_card"))
    assert looked_after(later)["state"] == "held"
    status = later.hears(OrderCleared(saga_id=SAGA), DESK, "order.label.printed")
    assert (status["state"], step(status, "ship_parcel")["state"]) == ("running", "running")


def test_a_saga_that_waits_for_a_person_is_not_held_for_a_step_that_is_gone() -> None:
    graph = campaign_graph()
    log = Watched(graph)
    campaign_log(log)
    log.hears(AssetsDesigned(saga_id=SAGA, banners={}), "campaign.studio", "x")
    assert log.statuses[-1]["state"] == "waiting"
    steps = {name: one for name, one in graph.steps.items() if name in ("open_campaign", "approve_campaign")}
    # Nothing has changed, and so nothing is told.
    assert looked_after(later_build(log, replace(graph, steps=steps))) == {}


def test_a_saga_that_goes_on_without_the_step_that_is_missing_is_not_held() -> None:
    later = later_build(opened(), without_step("expire_order"))
    later.hears(PRINTED, STORE, "order.opened")
    assert looked_after(later)["state"] == "running"
    assert later.hears(RESERVED, STORE, "order.opened")["state"] == "running"


def settling_without_the_till() -> Watched:
    log = opened()
    log.hears(RESERVED, STORE, "order.opened")
    log.hears(CardCharged(saga_id=SAGA), TILL, "order.stock.reserved")
    log.hears(OrderCancelled(saga_id=SAGA), DESK, "cancel")
    later = later_build(log, without_participant(TILL))
    later.hears(stuck_at(TILL, GONE, item_of(TILL), cause="flow changed: no till"), DESK, "x")
    later.settles(DESK)
    return later


def test_a_participant_that_is_gone_leaves_its_saga_stuck_with_the_cause() -> None:
    status = settling_without_the_till().statuses[-1]
    assert (status["state"], freed_by(status)) == ("stuck", {(TILL, GONE, item_of(TILL))})
    assert "flow changed: no till" in status["cause"]


@pytest.mark.parametrize("freed", [ItemResolved, ItemSkipped])
def test_who_answers_for_a_participant_that_is_gone_lets_the_saga_end(freed: type[Any]) -> None:
    log = settling_without_the_till()
    words = {"evidence": "refunded by hand"} if freed is ItemResolved else {"reason": "let it be"}
    status = log.hears(freed(saga_id=SAGA, participant=TILL, step=GONE, item=item_of(TILL), **words), DESK, "free")
    assert (status["state"], freed_by(status)) == ("compensating", set())
    log.hears(StockReleased(saga_id=SAGA), STORE, "order.stock.reserved")
    assert log.settles(STORE)["state"] == "cancelled"


def test_a_participant_that_is_back_and_settles_lets_the_saga_end() -> None:
    log = later_build(settling_without_the_till(), ORDER)
    assert log.settles(TILL)["state"] == "compensating"
    assert freed_by(log.statuses[-1]) == set()
    assert log.settles(STORE)["state"] == "cancelled"


Said = StepFailed | CompensationStuck | ItemResumed | StepDelayed | StockReserved
STEPS = [*ORDER.steps, *ORDER.undos, "no_such_step", "book_stock"]


@st.composite
def standing(draw: st.DrawFn) -> tuple[str, Said]:
    """Something that a participant says of an item of its own, of a step that this build may have or not."""
    who = draw(st.sampled_from(EVERYBODY))
    name = draw(st.sampled_from([*STEPS, FLOW, QUARANTINE]))
    item = f"{name}/{who}" if name in (FLOW, QUARANTINE) else f"{name}/{who} {draw(st.integers(1, 2))}"
    named = {"saga_id": SAGA, "participant": who, "step": name, "item": item}
    if draw(st.booleans()):
        return who, StepFailed.model_validate(named | {"attempts": 1, "cause": "no", "policy": "hold"})
    if draw(st.integers(0, 3)) == 0:
        return who, ItemResumed.model_validate(named)
    if draw(st.integers(0, 3)) == 0:
        other = {"item": f"{name}/another", "attempt": 2, "cause": "no answer", "next_at": at(90)}
        return who, StepDelayed.model_validate(named | other)
    if draw(st.integers(0, 3)) == 0:
        return STORE, RESERVED
    return who, CompensationStuck.model_validate(named | {"attempts": 1, "cause": "no", "forward": draw(st.booleans())})


@settings(max_examples=300, deadline=None)
@given(st.lists(standing(), max_size=12), st.booleans(), st.sampled_from(["print_label", ""]))
def test_whatever_stands_still_can_be_freed_by_what_the_status_names(
    story: list[tuple[str, Said]], ends: bool, lacking: str
) -> None:
    log = later_build(opened(), without_step(lacking))
    if ends:
        log.hears(OrderCancelled(saga_id=SAGA), DESK, "cancel")
    stands: dict[str, tuple[str, str, str]] = {}
    for number, (who, event) in enumerate(story):
        cause = "order.opened" if isinstance(event, StockReserved) else "x"
        log.hears(event, who, cause, f"event {number}")
        if isinstance(event, ItemResumed):
            stands.pop(event.item, None)
        elif isinstance(event, StepFailed | CompensationStuck):
            # The end has given up all that goes forward.
            if not ends or event.step in (FLOW, QUARANTINE) or not getattr(event, "forward", True):
                stands[event.item] = (who, event.step, event.item)
    for number in range(len(story)):
        if not stands:
            break
        assert log.statuses[-1]["state"] in ("held", "stuck")
        found = freed_by(log.statuses[-1])
        assert found and found <= set(stands.values())
        participant, name, item = sorted(found)[0]
        resumed = ItemResumed(saga_id=SAGA, participant=participant, step=name, item=item)
        log.hears(resumed, DESK, "retry", f"resumed {number}")
        del stands[item]
    assert not stands
    if log.statuses:
        assert log.statuses[-1]["state"] == ("compensating" if ends else "running")
