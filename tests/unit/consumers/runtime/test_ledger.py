"""The door's commands and their answers."""

import msgspec
import pytest

from consumers.runtime.finishing import Waits
from consumers.runtime.steps import Call, Retry, on
from schemas.engine import CompensationStuck, RetryItem
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench, causation_in, opened_desk
from tests.unit.consumers.runtime.other_flows import ClerkAssigned, OrderPaused, PauseOrder, flow_with
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    STORE,
    TILL,
    CancelOrder,
    CardNotWanted,
    LabelPrinted,
    OrderCancelled,
    OrderCleared,
    OrderCompleted,
    OrderOpened,
    PlaceOrder,
)

PLACE, CANCEL = PlaceOrder(saga_id=SAGA, item="tulip"), CancelOrder(saga_id=SAGA)


def refusals(desk: Bench) -> list[str]:
    desk.starts()
    desk.commit()
    return [body["reason"] for body in desk.bodies("order.command.refused")]


def test_the_opening_names_the_participants_and_the_flow_it_was_opened_under() -> None:
    desk = opened_desk()
    (body,) = desk.bodies("order.opened")
    assert (tuple(body["participants"]), body["graph"]) == (EVERYBODY, desk.graph.fingerprint)


def test_a_start_command_published_twice_starts_one_saga() -> None:
    desk = Bench(DESK)
    desk.hears(PLACE, "place")
    desk.hears(PLACE, "place")
    assert desk.starts() == ["place_order"]
    desk.says("place_order", OrderOpened(saga_id=SAGA))
    desk.hears(PLACE, "place")
    desk.hears_itself()
    desk.starts()
    desk.hears(PLACE, "place")
    assert "place_order" not in desk.starts()
    assert refusals(desk) == []


def test_the_same_command_is_known_in_another_life_as_well() -> None:
    desk = opened_desk().reopened()
    desk.hears(PLACE, "place")
    desk.starts()
    assert desk.commit() == []


def test_starting_a_saga_that_was_started_before_is_refused() -> None:
    desk = opened_desk()
    desk.hears(PLACE, "place again")
    assert refusals(desk) == [f"order {SAGA} was started before"]
    assert [causation_in(one) for one in desk.said if causation_in(one) == "place again"] == ["place again"]


def test_a_command_for_a_saga_that_is_not_is_refused() -> None:
    desk = Bench(DESK)
    desk.hears(CANCEL, "cancel")
    assert refusals(desk) == [f"there is no order {SAGA}"]


def test_a_saga_can_begin_after_a_command_for_it_was_refused() -> None:
    desk = Bench(DESK)
    desk.hears(CANCEL, "cancel")
    desk.starts()
    desk.commit()
    desk.hears(PLACE, "place")
    assert desk.starts() == ["place_order"]


@pytest.mark.parametrize("again", [PLACE, CANCEL])
def test_a_command_for_a_saga_that_has_ended_is_refused(again: PlaceOrder | CancelOrder) -> None:
    desk = opened_desk()
    desk.hears(OrderCompleted(saga_id=SAGA))
    desk.hears(again, "again")
    (reason,) = refusals(desk)
    assert "has ended: completed" in reason or "was started before" in reason


def test_a_refusal_names_the_state_in_which_the_saga_has_ended() -> None:
    desk = opened_desk()
    desk.hears(OrderCancelled(saga_id=SAGA))
    desk.hears(CANCEL, "cancel")
    assert refusals(desk) == [f"order {SAGA} has ended: cancelled"]


def test_a_command_that_was_heard_before_the_end_is_answered_after_it() -> None:
    desk = opened_desk()
    desk.hears(CANCEL, "cancel")
    desk.hears(OrderCompleted(saga_id=SAGA))
    assert refusals(desk) == [f"order {SAGA} has ended: completed"]


RETRY = RetryItem(saga_id=SAGA, participant=STORE, step="release_stock", item="release_stock/x")


def stuck_desk() -> Bench:
    desk = opened_desk()
    desk.expires()
    stuck = CompensationStuck(
        saga_id=SAGA, participant=STORE, step="release_stock", item="release_stock/x", attempts=2, cause="no answer"
    )
    desk.hears(stuck, "stuck", STORE)
    return desk


def test_the_door_passes_on_that_a_stuck_compensation_shall_be_tried_again() -> None:
    desk = stuck_desk()
    desk.hears(RETRY, "retry")
    desk.starts()
    assert "order.item.resumed" in desk.commit()
    (body,) = desk.bodies("order.item.resumed")
    assert (body["participant"], body["step"], body["item"]) == (STORE, "release_stock", "release_stock/x")


def test_two_redrives_in_a_row_resume_an_item_once() -> None:
    desk = stuck_desk()
    desk.hears(RETRY, "one")
    desk.hears(RETRY, "two")
    desk.starts()
    desk.starts()
    desk.commit()
    assert len(desk.bodies("order.item.resumed")) == 1
    assert [body["reason"] for body in desk.bodies("order.command.refused")] == [
        f"nothing stands still under {STORE} release_stock/x"
    ]


@pytest.mark.parametrize("field", ["participant", "step", "item"])
def test_what_does_not_stand_still_cannot_be_redriven(field: str) -> None:
    desk = stuck_desk()
    desk.hears(RETRY.model_copy(update={field: "another"}), "retry")
    assert len(refusals(desk)) == 1


def test_the_door_goes_on_after_an_event_of_its_own_that_it_does_not_hear() -> None:
    @on(OrderOpened)
    async def assign_clerk(opened: OrderOpened) -> ClerkAssigned:
        raise NotImplementedError

    desk = Bench(DESK, flow_with((DESK, assign_clerk), words=(ClerkAssigned,)))
    desk.opens()
    while "assign_clerk" not in desk.running:
        assert desk.starts()
        for step in [step for step in desk.running if step != "assign_clerk"]:
            desk.ends(step, Waits(BEGIN + 3_600))
    desk.says("assign_clerk", ClerkAssigned(saga_id=SAGA))
    desk.hears_itself()
    desk.hears(CancelOrder(saga_id=SAGA), "cancel")
    assert desk.starts() == ["cancel_order"]


def test_a_held_command_that_is_resumed_does_not_block_the_door() -> None:
    @on(PauseOrder, failure="hold", retry=Retry(attempts=1))
    async def pause_order(pause: PauseOrder, call: Call) -> OrderPaused:
        raise NotImplementedError

    desk = Bench(DESK, flow_with((DESK, pause_order), words=(PauseOrder, OrderPaused)))
    desk.opens()
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 3_600))
    desk.hears(PauseOrder(saga_id=SAGA), "pause")
    desk.starts()
    desk.breaks("pause_order")
    desk.hears_itself()
    desk.hears(RetryItem(saga_id=SAGA, participant=DESK, step="pause_order", item="pause_order/pause"), "retry")
    desk.starts()
    assert "order.item.resumed" in desk.hears_itself()
    assert desk.starts() == ["pause_order"]


def test_the_door_hears_its_own_last_word_after_the_end_too_and_nothing_else() -> None:
    desk = opened_desk()
    desk.hears(LabelPrinted(saga_id=SAGA), "label", STORE)
    desk.hears(CardNotWanted(saga_id=SAGA), "card", TILL)
    desk.starts()
    desk.says("clear_order", OrderCleared(saga_id=SAGA))
    desk.hears(OrderCompleted(saga_id=SAGA), "completed", TILL)
    assert desk.journal.ended_at() is None
    desk.hears_itself()
    assert desk.journal.ended_at() is not None
    marker = msgspec.msgpack.encode(desk.journal)
    desk.hears(LabelPrinted(saga_id=SAGA), "another label", STORE)
    assert msgspec.msgpack.encode(desk.journal) == marker


def test_no_message_is_kept_decoded_longer_than_a_transaction() -> None:
    store = Bench(STORE)
    store.opens()
    assert store.ledger._decoded
    store.commit()
    assert not store.ledger._decoded


def test_a_ledger_says_whether_there_is_anything_to_commit() -> None:
    store = Bench(STORE)

    def is_to_commit() -> tuple[bool, bool]:
        return store.ledger.has_news(), store.ledger.is_touched()

    assert is_to_commit() == (False, False)
    store.opens()
    assert is_to_commit() == (False, True)
    store.starts()
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    assert is_to_commit() == (True, True)
    store.commit()
    assert is_to_commit() == (False, False)


def test_an_event_without_a_saga_id_is_a_dead_letter_of_the_door() -> None:
    desk = opened_desk()
    desk.hears_raw("order.label.printed", b"{}", key=None, topic="order.events")
    desk.commit()
    assert len(desk.dead_letters()) == 1
