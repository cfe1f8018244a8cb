"""A step that fails for too large a share of its sagas is paused: by which rule, what it holds, and how it goes on."""

import pytest

from consumers.runtime.finishing import Waits
from consumers.runtime.pausing import ENDS_LOOKED_AT, FAILURES_MIN, Pauses
from schemas.engine import ResumeStep, Settled, StepResumed
from tests.unit.consumers.runtime.bench import EVERYBODY, Bench
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    STORE,
    TILL,
    CancelOrder,
    LabelPrinted,
    OrderExpired,
    OrderOpened,
    StockRefused,
    StockReserved,
)

PAUSED = "order.step.paused"


def ended(pauses: Pauses, *failed: bool) -> str:
    """The cause after these ends of a step."""
    return [pauses.note("print_label", one, "OSError: no paper") for one in failed][-1]


def test_ten_failures_pause_a_step_and_nine_do_not() -> None:
    pauses = Pauses()
    assert ended(pauses, *[True] * (FAILURES_MIN - 1)) == ""
    assert ended(pauses, True) == "10 of its last 10 sagas failed here, the last one with OSError: no paper"
    assert list(pauses.causes) == ["print_label"]


def test_half_of_the_last_forty_pause_a_step_and_less_than_half_do_not() -> None:
    pauses = Pauses()
    assert ended(pauses, *[False] * ENDS_LOOKED_AT, *[True] * 19) == ""
    assert ended(pauses, True).startswith("20 of its last 40 sagas failed here")


def test_what_lies_further_back_than_forty_ends_is_forgotten() -> None:
    pauses = Pauses()
    assert ended(pauses, *[False] * 1_000, *[True] * 20) != ""


def test_a_success_never_pauses_a_step() -> None:
    pauses = Pauses()
    ended(pauses, *[False] * 11, *[True] * 10)
    assert ended(pauses, False) == ""
    assert pauses.causes == {}


def test_the_failures_of_one_step_pause_no_other() -> None:
    pauses = Pauses()
    for _ in range(9):
        assert pauses.note("print_label", failed=True) == ""
        assert pauses.note("charge_card", failed=True) == ""


def test_a_step_that_is_paused_is_paused_once() -> None:
    pauses = Pauses()
    assert ended(pauses, *[True] * 10) != ""
    assert ended(pauses, *[True] * 30) == ""


def test_a_step_that_goes_on_is_judged_anew() -> None:
    pauses = Pauses()
    ended(pauses, *[True] * 10)
    pauses.resume("print_label")
    assert pauses.causes == {}
    assert ended(pauses, *[True] * 9) == ""
    assert ended(pauses, True) != ""


def test_a_new_life_judges_a_step_by_what_ended_in_the_former_one() -> None:
    former = Pauses()
    ended(former, *[False] * 100, *[True] * 9)
    later = Pauses(former.causes, former.ends)
    assert ended(later, *[True] * 10) == ""
    assert ended(later, True).startswith("20 of its last 40 sagas failed here")


def open_saga(bench: Bench, saga: str) -> None:
    """A saga begins, in the log."""
    bench.hears(OrderOpened(saga_id=saga, participants=EVERYBODY), f"opening {saga}", DESK)


def failing_store(failures: int, permanent: bool = True, store: Bench | None = None) -> Bench:
    """A store whose `reserve_stock` has failed for so many sagas; their failing ends are not heard yet."""
    store = store or Bench(STORE)
    for number in range(failures):
        open_saga(store, f"failing-{number}")
        store.starts()
        store.says("print_label", LabelPrinted(saga_id=f"failing-{number}"))
        store.breaks("reserve_stock", permanent=permanent)
    return store


def resume(bench: Bench, step: str = "reserve_stock", participant: str = STORE) -> None:
    """A step goes on, in the log."""
    bench.hears(StepResumed(saga_id="failing-9", participant=participant, step=step), "resumed", DESK)


def test_a_step_that_fails_for_ten_sagas_is_paused_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    store = failing_store(10)
    store.commit()
    (told,) = store.bodies(PAUSED)
    assert (told["saga_id"], told["participant"], told["step"]) == ("failing-9", STORE, "reserve_stock")
    assert told["cause"] == "10 of its last 10 sagas failed here, the last one with ConnectionError: no answer"
    assert store.ledger.paused() == {"reserve_stock": told["cause"]}
    (logged,) = [one.__dict__ for one in caplog.records if one.message == "ledger.step_paused"]
    assert (logged["step"], logged["saga_id"], logged["cause"]) == ("reserve_stock", "failing-9", told["cause"])


def test_a_step_that_succeeds_for_most_sagas_is_not_paused() -> None:
    store = Bench(STORE)
    for number in range(11):
        open_saga(store, f"well-{number}")
        store.starts()
        store.says("print_label", LabelPrinted(saga_id=f"well-{number}"))
        store.says("reserve_stock", StockReserved(saga_id=f"well-{number}"))
    assert failing_store(10, store=store).ledger.paused() == {}


def test_how_the_items_of_a_step_have_ended_is_handed_to_the_next_life() -> None:
    store = failing_store(9)
    store.commit()
    later = store.reopened()
    later.ledger.pause(store.ledger.paused(), store.ledger.ends_of_steps())
    open_saga(later, "failing-9")
    later.starts()
    later.breaks("reserve_stock", permanent=True)
    assert later.ledger.paused().keys() == {"reserve_stock"}


def test_an_attempt_that_is_tried_again_is_no_failure_of_its_saga() -> None:
    assert failing_store(15, permanent=False).ledger.paused() == {}


def test_refusals_never_pause_a_step() -> None:
    store = Bench(STORE)
    for number in range(15):
        open_saga(store, f"o-{number}")
        store.starts()
        store.says("reserve_stock", StockRefused(saga_id=f"o-{number}", reason="none left"))
        store.running.clear()
    assert store.ledger.paused() == {}


def test_a_paused_step_holds_what_comes_unspent_while_the_others_go_on() -> None:
    store = failing_store(10)
    open_saga(store, "held")
    assert store.starts() == ["print_label"]
    (held,) = (item for item in store.ledger.journals["held"].items.values() if item.step == "reserve_stock")
    assert (held.state, held.attempt, held.budget) == ("ready", 1, 3)
    assert not store.ledger.is_held_back()


def test_a_step_that_is_resumed_starts_what_it_held() -> None:
    store = failing_store(10)
    open_saga(store, "held")
    store.starts()
    resume(store)
    assert store.ledger.paused() == {}
    assert store.starts() == ["reserve_stock"]
    assert store.running["reserve_stock"].item.attempt == 1
    store.says("reserve_stock", StockReserved(saga_id="held"))
    assert "order.stock.reserved" in store.commit()


def test_the_resumption_of_anothers_step_changes_nothing() -> None:
    store = failing_store(10)
    resume(store, "charge_card")
    resume(store, participant=DESK)
    assert list(store.ledger.paused()) == ["reserve_stock"]


def test_a_saga_that_ends_while_its_step_is_paused_is_undone() -> None:
    store = failing_store(10)
    open_saga(store, "held")
    store.starts()
    store.hears(OrderExpired(saga_id="held"), "expired", DESK)
    store.says("print_label", LabelPrinted(saga_id="held"))
    store.hears(Settled(saga_id="held", participant=TILL, undone=0), "settled till", TILL)
    store.hears(Settled(saga_id="held", participant=DESK, undone=0), "settled desk", DESK)
    assert store.starts() == ["release_stock"]


def test_a_pause_survives_a_reopening_and_still_holds_its_items_unspent() -> None:
    store = failing_store(10)
    open_saga(store, "held")
    store.starts()
    store.commit()
    for _ in range(5):
        causes = store.ledger.paused()
        store = store.reopened("crashed")
        store.ledger.pause(causes, {})
        assert "reserve_stock" not in store.starts()
        store.commit()
    resume(store)
    assert "reserve_stock" in store.starts()
    assert store.running["reserve_stock"].item.attempt == 1


def test_what_a_paused_step_holds_is_no_suspect_that_others_wait_for() -> None:
    store = failing_store(10)
    open_saga(store, "held")
    store.starts()
    store.says("print_label", LabelPrinted(saga_id="held"))
    store.commit()
    causes = store.ledger.paused()
    store = store.reopened("crashed")
    store.ledger.pause(causes, {})
    store.starts(tried=False)
    assert not store.ledger.has_suspects()


def test_a_pause_follows_a_step_to_its_new_name_and_ends_with_one_that_is_gone() -> None:
    store = Bench(STORE)
    store.ledger.pause({"book_stock": "it failed", "long_gone": "it failed"}, {})
    assert store.ledger.paused() == {"reserve_stock": "it failed"}
    open_saga(store, "held")
    assert store.starts() == ["print_label"]
    resume(store, "book_stock")
    assert store.starts() == ["reserve_stock"]


def test_what_a_paused_step_holds_does_not_keep_the_lane_from_hearing_that_it_goes_on() -> None:
    store = Bench(STORE)
    store.ledger.pause({"reserve_stock": "it failed", "print_label": "it failed"}, {})
    for number in range(100):
        open_saga(store, f"held-{number}")
    store.starts()
    assert store.ledger.backlog_bytes() == 0
    resume(store)
    assert store.ledger.backlog_bytes() > 100_000


def test_a_step_that_is_paused_while_items_wait_counts_them_no_more() -> None:
    store = failing_store(9)
    open_saga(store, "failing-9")
    store.starts()
    for number in range(100):
        open_saga(store, f"waits-{number}")
    store.ledger.startable(store.now, 0)
    before = store.ledger.backlog_bytes()
    store.breaks("reserve_stock", permanent=True)
    assert store.ledger.paused() != {}
    assert store.ledger.backlog_bytes() < before - 90_000


def test_commands_that_fail_never_pause_anything() -> None:
    desk = Bench(DESK)
    for number in range(30):
        saga = f"o-{number}"
        open_saga(desk, saga)
        assert desk.starts() == ["expire_order"]
        desk.ends("expire_order", Waits(desk.now + 3_600))
        desk.hears(CancelOrder(saga_id=saga), f"cancel {saga}")
        assert desk.starts() == ["cancel_order"]
        desk.breaks("cancel_order", permanent=True)
    assert desk.ledger.paused() == {}
    desk.commit()
    assert desk.bodies(PAUSED) == []


def test_an_item_that_was_dropped_while_it_ran_is_no_failure() -> None:
    store = Bench(STORE)
    for number in range(12):
        open_saga(store, f"o-{number}")
        store.starts()
        work = store.running["reserve_stock"]
        del work.journal.items[work.item.id]
        store.breaks("reserve_stock", permanent=True)
        store.running.clear()
    assert store.ledger.paused() == {}


@pytest.mark.parametrize("named", ["reserve_stock", "book_stock"])
def test_the_door_answers_whoever_resumes_a_step(named: str) -> None:
    desk = Bench(DESK)
    desk.hears(ResumeStep(saga_id="o-1", participant=STORE, step=named), "resume")
    desk.starts()
    assert desk.commit() == ["order.step.resumed"]
    assert desk.bodies("order.step.resumed")[0]["step"] == named


@pytest.mark.parametrize(("participant", "step"), [(STORE, "charge_card"), (DESK, "reserve_stock"), (STORE, "none")])
def test_the_door_refuses_to_resume_a_step_that_is_not_there(participant: str, step: str) -> None:
    desk = Bench(DESK)
    desk.hears(ResumeStep(saga_id="o-1", participant=participant, step=step), "resume")
    desk.starts()
    assert desk.commit() == ["order.command.refused"]
