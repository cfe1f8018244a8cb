"""All journals of one partition: commands and their answers, snapshots, and what another life finds."""

from collections.abc import Callable

import msgspec
import pytest

from consumers.runtime.finishing import Blocked, Waits
from consumers.runtime.steps import Call, Retry, on
from schemas.engine import CompensationStuck, RetryItem
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench, causation_in
from tests.unit.consumers.runtime.other_flows import ClerkAssigned, OrderPaused, PauseOrder, flow_with
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    STORE,
    TILL,
    CancelOrder,
    CardCharged,
    LabelPrinted,
    OrderCancelled,
    OrderCleared,
    OrderCompleted,
    OrderOpened,
    ParcelShipped,
    PlaceOrder,
    StockReserved,
)

PLACE, CANCEL = PlaceOrder(saga_id=SAGA, item="tulip"), CancelOrder(saga_id=SAGA)
OPENED = OrderOpened(saga_id=SAGA)


def opened_desk() -> Bench:
    desk = Bench(DESK)
    desk.hears(PLACE, "place")
    assert desk.starts() == ["place_order"]
    desk.says("place_order", OPENED)
    desk.hears_itself()
    assert desk.starts() == ["expire_order"]
    desk.ends("expire_order", Waits(BEGIN + 60))
    desk.hears_itself()
    return desk


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
    desk.says("place_order", OPENED)
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


def test_a_snapshot_has_only_what_was_touched_since_the_last_one() -> None:
    store = Bench(STORE)
    store.opens()
    assert set(store.ledger.take().state) == {SAGA}
    assert store.ledger.take() == store.ledger.take()
    assert not store.ledger.is_touched()
    assert not store.ledger.has_news()


def test_a_journal_whose_record_was_deleted_is_forgotten() -> None:
    store = Bench(STORE)
    store.opens()
    store.commit()
    other = Bench(STORE)
    other.ledger.load(SAGA, store.state[SAGA])
    other.ledger.load(SAGA, None)
    assert other.ledger.journals == {}


def test_of_two_records_of_one_journal_the_later_one_counts() -> None:
    store = Bench(STORE)
    store.opens()
    store.commit()
    older = store.state[SAGA]
    store.expires()
    store.commit()
    other = Bench(STORE)
    for value in (older, store.state[SAGA]):
        other.ledger.load(SAGA, value)
    assert other.journal.is_failing


def compensated(bench: Bench) -> list[Callable[[], object]]:
    return [
        bench.opens,
        bench.starts,
        lambda: bench.says("reserve_stock", StockReserved(saga_id=SAGA)),
        lambda: bench.breaks("print_label"),
        bench.hears_itself,
        bench.expires,
        lambda: bench.hears_settled(TILL),
        bench.starts,
        lambda: bench.hears_settled(DESK),
        lambda: bench.breaks("tear_label"),
        lambda: bench.hears_settled(STORE),
    ]


def completed(bench: Bench) -> list[Callable[[], object]]:
    return [
        bench.opens,
        lambda: bench.hears(StockReserved(saga_id=SAGA)),
        bench.starts,
        lambda: bench.ends("charge_card", Blocked("down", BEGIN + 5)),
        lambda: setattr(bench, "now", BEGIN + 6),
        bench.starts,
        lambda: bench.says("charge_card", CardCharged(saga_id=SAGA)),
        bench.hears_itself,
        lambda: bench.hears(OrderCleared(saga_id=SAGA)),
        bench.starts,
        lambda: bench.says("ship_parcel", ParcelShipped(saga_id=SAGA)),
        bench.hears_itself,
        bench.starts,
        lambda: bench.says("close_books", OrderCompleted(saga_id=SAGA)),
        bench.hears_itself,
    ]


def judged(bench: Bench) -> list[Callable[[], object]]:
    return [
        lambda: bench.hears(PLACE, "place"),
        bench.starts,
        lambda: bench.says("place_order", OPENED),
        bench.hears_itself,
        bench.starts,
        lambda: bench.ends("expire_order", Waits(BEGIN + 60)),
        lambda: bench.hears(LabelPrinted(saga_id=SAGA)),
        lambda: bench.hears(CANCEL, "cancel"),
        bench.starts,
        lambda: bench.breaks("cancel_order"),
        lambda: setattr(bench, "now", BEGIN + 5),
        bench.starts,
        lambda: bench.says("cancel_order", OrderCancelled(saga_id=SAGA)),
        bench.hears_itself,
    ]


@pytest.mark.parametrize(
    ("participant", "story"),
    [(STORE, compensated), (TILL, completed), (DESK, judged)],
    ids=["compensated", "completed", "judged"],
)
def test_what_is_loaded_is_what_was_remembered_at_every_point_of_a_story(
    participant: str, story: Callable[[Bench], list[Callable[[], object]]]
) -> None:
    bench = Bench(participant)
    for turn in story(bench):
        turn()
        bench.commit()
        restored = Bench(participant)
        for key, value in bench.state.items():
            restored.ledger.load(key, value)
        assert restored.ledger.journals == bench.ledger.journals


@pytest.mark.parametrize(
    ("participant", "story"),
    [(STORE, compensated), (TILL, completed), (DESK, judged)],
    ids=["compensated", "completed", "judged"],
)
def test_a_new_life_at_any_point_of_a_story_starts_what_the_old_one_would_have(
    participant: str, story: Callable[[Bench], list[Callable[[], object]]]
) -> None:
    for point in range(len(story(Bench(participant)))):
        bench = Bench(participant)
        for turn in story(bench)[: point + 1]:
            turn()
        bench.commit()
        running = {item.step for item in bench.items if item.state == "running"}
        due = {item.id: item.due for item in bench.items if item.due is not None}
        later = bench.reopened()
        assert {item.id: item.due for item in later.items if item.due is not None} == due
        assert later.ledger.next_due() == min(due.values(), default=None)
        assert set(later.starts()) >= running


@pytest.mark.parametrize(
    ("participant", "story"),
    [(STORE, compensated), (TILL, completed), (DESK, judged)],
    ids=["compensated", "completed", "judged"],
)
def test_a_journal_that_is_kept_encoded_while_it_is_idle_says_and_starts_the_same(
    participant: str, story: Callable[[Bench], list[Callable[[], object]]]
) -> None:
    decoded, encoded = Bench(participant), Bench(participant, decoded_most=0)
    were_idle = 0
    for turn, same_turn in zip(story(decoded), story(encoded), strict=True):
        turn()
        same_turn()
        assert encoded.commit() == decoded.commit()
        assert (encoded.state, list(encoded.running)) == (decoded.state, list(decoded.running))
        were_idle += set(encoded.ledger.journals) < set(decoded.ledger.journals)
    assert [one.value for one in encoded.said] == [one.value for one in decoded.said]
    assert (were_idle > 0) == (participant != STORE)
    reopened = Bench(participant, decoded_most=0)
    for key, value in encoded.state.items():
        reopened.ledger.load(key, value)
    assert all(journal.items or journal.is_failing for journal in reopened.ledger.journals.values())


def test_timers_are_not_lost_when_the_lane_is_opened_anew() -> None:
    desk = opened_desk()
    desk.hears(LabelPrinted(saga_id=SAGA))
    desk.commit()
    desk = desk.reopened()
    assert desk.starts() == []
    desk.now += 61
    assert desk.starts() == ["expire_order"]
    desk.says("expire_order", None)
    desk.now += 7_200
    desk.starts()
    assert desk.commit() == ["order.step.failed"], "the join's deadline"


def test_a_command_that_was_not_judged_yet_is_judged_in_the_next_life() -> None:
    desk = opened_desk()
    desk.hears(CANCEL, "cancel")
    desk.commit()
    assert desk.reopened().starts() == ["cancel_order"]


def test_what_ran_when_the_worker_said_farewell_runs_again_as_the_same_attempt() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.commit()
    store = store.reopened(died=False)
    assert store.starts(acquitted=False) == ["reserve_stock", "print_label"]
    assert {work.item.attempt for work in store.running.values()} == {1}


def test_what_ran_when_the_worker_died_runs_only_on_trial_and_spends_an_attempt_if_it_dies_again() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.commit()
    for attempt in (1, 2):
        store = store.reopened(died=True)
        assert store.starts(acquitted=False) == []
        assert store.ledger.has_suspects()
        assert store.starts() == ["reserve_stock", "print_label"]
        assert {work.item.attempt for work in store.running.values()} == {attempt}
        store.commit()


def test_who_was_released_spends_no_attempt_by_another_death() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.commit()
    for _ in range(3):
        store = store.reopened(died=True)
        store.starts(acquitted=False)
        mark = store.ledger.acquit(all_of_them=False)
        assert mark is not None
        (step,) = store.starts(acquitted=False)
        assert store.running[step].item.attempt == 1
        store.ledger.release(mark)
        assert not store.ledger.is_suspect(mark)
        store.commit()


def test_a_suspect_is_acquitted_one_at_a_time_the_one_with_most_deaths_first() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.breaks("reserve_stock")
    store.now += 60
    store.starts()
    store.commit()
    store = store.reopened(died=True)
    assert store.starts(acquitted=False) == []
    mark = store.ledger.acquit(all_of_them=False)
    assert mark is not None
    assert store.starts(acquitted=False) == ["reserve_stock"]
    assert store.ledger.is_suspect(mark)
    store.breaks("reserve_stock")
    assert not store.ledger.is_suspect(mark)


def test_a_step_that_kills_its_worker_each_time_fails_when_its_budget_is_spent() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.says("reserve_stock", StockReserved(saga_id=SAGA))
    for _ in range(3):
        assert "print_label" in store.running
        store.commit()
        store = store.reopened(died=True)
        store.commit()
        store.starts()
    assert store.commit() == ["order.step.failed"]
    assert "worker died" in store.bodies("order.step.failed")[0]["cause"]


def test_what_stands_in_the_backlog_of_a_life_that_died_is_suspect() -> None:
    store = Bench(STORE)
    store.hears(OrderOpened(saga_id=SAGA, participants=EVERYBODY), "opening", suspects=True)
    assert store.starts(acquitted=False) == []
    assert store.starts() == ["reserve_stock", "print_label"]


def test_a_suspect_that_has_ended_is_none_any_more_in_the_next_life() -> None:
    store = Bench(STORE)
    store.hears(OrderOpened(saga_id=SAGA, participants=EVERYBODY), "opening", suspects=True)
    store.starts()
    store.ends("print_label", Blocked("down", BEGIN + 5))
    store.commit()
    assert not any(item.suspect for item in store.journal.items.values() if item.step == "print_label")


def test_journals_are_small_and_plain_msgpack() -> None:
    store = Bench(STORE)
    store.opens()
    store.commit()
    assert msgspec.msgpack.decode(store.state[SAGA])["saga_id"] == SAGA


def test_an_attempt_after_a_backoff_that_kills_its_worker_spends_its_budget() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.breaks("reserve_stock")
    store.commit()
    attempts = []
    for _ in range(6):
        store.now += 60
        store = store.reopened(died=True)
        store.commit()
        store.starts(acquitted=False)
        if store.ledger.has_suspects():
            # The lane commits before a suspect starts.
            store.starts()
            store.commit()
        attempts += [work.item.attempt for work in store.running.values() if work.item.step == "reserve_stock"]
    assert attempts != [2] * 6


def test_a_saga_that_has_ended_is_forgotten_in_the_end() -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.hears(OrderCompleted(saga_id=SAGA))
    desk.commit()
    desk.now += 366 * 86_400
    desk.starts()
    desk = desk.reopened()
    desk.commit()
    assert SAGA not in desk.ledger.journals


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


def test_a_saga_that_never_began_is_forgotten_in_the_end() -> None:
    desk = Bench(DESK)
    desk.hears(CancelOrder(saga_id=SAGA), "cancel")
    desk.starts()
    desk.commit()
    desk.now += 366 * 86_400
    desk = desk.reopened()
    desk.commit()
    assert SAGA not in desk.ledger.journals
