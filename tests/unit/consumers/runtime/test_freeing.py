"""What frees a stuck compensation besides another try: a person has undone it by hand, or lets it be."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from schemas import engine
from schemas.engine import (
    CompensationStuck,
    EngineCommand,
    EngineEvent,
    ItemResolved,
    ItemSkipped,
    ResolveItem,
    RetryItem,
    SkipItem,
    StepFailed,
)
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import SAGA, Bench
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL

STUCK = {"saga_id": SAGA, "participant": STORE, "step": "release_stock", "item": "release_stock/x"}
RESOLVE, SKIP = ResolveItem(**STUCK, evidence="ticket 7"), SkipItem(**STUCK, reason="sold anyway")
VERBS = pytest.mark.parametrize(
    ("command", "answer"), [(RESOLVE, "order.item.resolved"), (SKIP, "order.item.skipped")], ids=["resolve", "skip"]
)


def stuck_desk() -> Bench:
    """The door, which has heard that the store's compensation is stuck."""
    desk = Bench(DESK)
    desk.hears(order.PlaceOrder(saga_id=SAGA, item="tulip"), "place")
    desk.starts()
    desk.says("place_order", order.OrderOpened(saga_id=SAGA))
    desk.hears_itself()
    desk.expires()
    desk.hears(CompensationStuck(**STUCK, attempts=2, cause="no answer", forward=False), "stuck", STORE)
    desk.commit()
    return desk


def refusals(desk: Bench) -> list[str]:
    return [body["reason"] for body in desk.bodies("order.command.refused")]


@VERBS
def test_the_door_passes_on_with_its_words_that_a_stuck_compensation_is_freed(
    command: EngineCommand, answer: str
) -> None:
    desk = stuck_desk()
    desk.hears(command, "free")
    desk.starts()
    assert answer in desk.commit()
    assert desk.bodies(answer) == [command.model_dump()]


@VERBS
def test_of_two_commands_in_a_row_only_the_first_frees(command: EngineCommand, answer: str) -> None:
    desk = stuck_desk()
    for message_id in ("one", "one", "two"):
        desk.hears(command, message_id)
        desk.starts()
    desk.commit()
    assert len(desk.bodies(answer)) == 1
    assert refusals(desk) == [f"nothing stands still under {STORE} release_stock/x"]


@pytest.mark.parametrize("command", [RESOLVE, SKIP])
def test_a_held_step_is_neither_resolved_nor_skipped_and_still_can_be_retried(command: EngineCommand) -> None:
    desk = Bench(DESK)
    desk.opens()
    held = {"saga_id": SAGA, "participant": TILL, "step": "ship_parcel", "item": "ship_parcel/x"}
    failed = StepFailed(**held, attempts=2, cause="no van", policy="hold")
    desk.hears(failed, "held", TILL)
    desk.hears(command.model_copy(update=held), "free")
    for _ in range(3):
        desk.starts()
        if "expire_order" in desk.running:
            desk.says("expire_order", None)
    desk.hears(RetryItem(**held), "retry")
    desk.starts()
    desk.commit()
    assert refusals(desk) == [
        "ship_parcel is a step, no compensation: it can only be retried, once its cause is mended"
    ]
    assert len(desk.bodies("order.item.resumed")) == 1


def test_a_step_that_was_not_deployed_is_given_up_by_an_end_that_its_participant_had_not_heard() -> None:
    desk = stuck_desk()
    gone = STUCK | {"step": "wrap_parcel", "item": "wrap_parcel/x"}
    desk.hears(StepFailed(**gone, attempts=1, cause="flow changed: no step", policy="hold"), "held late", STORE)
    desk.hears(CompensationStuck(**gone, attempts=1, cause="no step is called wrap_parcel", forward=True), "s2", STORE)
    assert "wrap_parcel/x" not in desk.journal.standing


def test_a_step_that_was_held_before_the_end_no_longer_stands_still_after_it() -> None:
    desk = Bench(DESK)
    desk.opens()
    held = {"saga_id": SAGA, "participant": TILL, "step": "ship_parcel", "item": "ship_parcel/x"}
    desk.hears(StepFailed(**held, attempts=2, cause="no van", policy="hold"), "held", TILL)
    desk.expires()
    desk.hears(StepFailed(**held, attempts=2, cause="no van", policy="hold"), "held late", TILL)
    assert desk.journal.standing == {}


def stuck_store() -> Bench:
    """The store, whose last compensation is stuck; one more is to come after it."""
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.says("print_label", order.LabelPrinted(saga_id=SAGA))
    store.says("reserve_stock", order.StockReserved(saga_id=SAGA))
    store.hears_itself()
    store.expires()
    store.hears_settled(DESK, TILL)
    for _ in range(2):
        store.starts()
        store.breaks("release_stock")
        store.now += 60
    assert store.hears_itself()[-1] == "order.compensation.stuck"
    assert store.starts() == []
    return store


def answers(item: str, participant: str = STORE) -> list[EngineEvent]:
    named = {"saga_id": SAGA, "participant": participant, "step": "release_stock", "item": item}
    return [ItemResolved(**named, evidence="ticket 7"), ItemSkipped(**named, reason="sold anyway")]


@pytest.mark.parametrize("freed", answers("release_stock/opening"), ids=["resolved", "skipped"])
def test_a_participant_goes_on_undoing_after_its_stuck_compensation_was_freed(freed: EngineEvent) -> None:
    store = stuck_store()
    store.hears(freed, "freed", DESK)
    assert store.starts() == ["tear_label"]
    store.says("tear_label", order.LabelTorn(saga_id=SAGA))
    assert store.hears_itself() == ["order.label.torn", "order.participant.settled"]
    assert store.journal.closed_at is not None
    store.hears(freed, "freed again", DESK)
    assert (store.commit(), store.starts()) == ([], [])


@pytest.mark.parametrize("freed", [*answers("release_stock/opening", TILL), *answers("release_stock/another")])
def test_only_the_participants_own_stuck_item_is_freed(freed: EngineEvent) -> None:
    store = stuck_store()
    store.hears(freed, "freed", DESK)
    assert (store.starts(), store.commit()) == ([], [])


def test_a_compensation_that_is_running_again_is_not_freed() -> None:
    store = stuck_store()
    store.hears(engine.ItemResumed(**(STUCK | {"item": "release_stock/opening"})), "resumed", DESK)
    assert store.starts() == ["release_stock"]
    store.hears(answers("release_stock/opening")[0], "freed", DESK)
    store.says("release_stock", order.StockReleased(saga_id=SAGA))
    assert store.commit() == ["order.stock.released"]


@pytest.mark.parametrize("resolve", [True, False], ids=["resolved", "skipped"])
def test_a_compensation_that_is_no_longer_deployed_can_be_freed(resolve: bool) -> None:
    store = stuck_store()
    undo_gone = {name: replace(step, undo=None) for name, step in ORDER.steps.items() if name == "print_label"}
    later = Bench(STORE, replace(ORDER, steps=ORDER.steps | undo_gone))
    later.now = store.now
    later.ledger.load(SAGA, store.state[SAGA])
    later.ledger.reopen("clean", now=later.now)
    later.hears(answers("release_stock/opening")[0], "freed", DESK)
    assert later.commit() == ["order.compensation.stuck"]
    (stuck,) = later.bodies("order.compensation.stuck")
    assert (stuck["step"], stuck["forward"]) == ("print_label", False)
    later.hears(answers(stuck["item"])[0 if resolve else 1], "freed too", DESK)
    assert later.hears_itself() == ["order.participant.settled"]
    assert later.journal.closed_at is not None


@pytest.mark.parametrize("kind", [ResolveItem, SkipItem])
@pytest.mark.parametrize("words", [{}, {"evidence": " "}, {"reason": ""}])
def test_nothing_is_freed_without_a_word(kind: type[EngineCommand], words: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate(STUCK | words)
