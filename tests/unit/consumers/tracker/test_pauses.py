"""A saga that waits at a paused step is held, and names the pause and the verb that ends it."""

from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from consumers.tracker.figures import SagaFigures
from consumers.tracker.ledger import MARKED_AT_ONCE, TrackerLedger
from schemas.engine import StepPaused, StepResumed
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA
from tests.unit.consumers.runtime.small_saga import DESK, STORE, TILL, LabelPrinted, OrderExpired, OrderOpened
from tests.unit.consumers.tracker.log import PRINTED, RESERVED, failed, step
from tests.unit.consumers.tracker.test_stalling import Watched, delayed

CAUSE = "10 of its last 12 sagas failed here"
VERB = "soma steps resume order.store reserve_stock"
TIMEOUT_SECONDS = 20  # of reserve_stock


class Paused(Watched):
    """A log in which steps are paused and resumed by what happens to other sagas."""

    def pauses(self, name: str = "reserve_stock", participant: str = STORE, source: str = "") -> None:
        event = StepPaused(saga_id="another", participant=participant, step=name, cause=CAUSE)
        self.only_hears(event, source or participant, "x", message_id=f"paused {self.offset}")

    def resumes(self, name: str = "reserve_stock", participant: str = STORE) -> None:
        event = StepResumed(saga_id="another", participant=participant, step=name)
        self.only_hears(event, DESK, "x", message_id=f"resumed {self.offset}")

    def opens_another(self, saga_id: str) -> None:
        event = OrderOpened(saga_id=saga_id, participants=EVERYBODY)
        self.only_hears(event, DESK, "place", message_id=f"opened {saga_id}")

    def restarted(self) -> "Paused":
        later = Paused()
        later.offset, later.now = self.offset, self.now
        for key, value in self.state.items():
            later.tracker.load(key, value)
        later.tracker.reopen("clean", self.now)
        return later


def is_held(status: dict[str, Any]) -> bool:
    told = step(status, "reserve_stock")
    if status["state"] != "held":
        assert "freed_by" not in told and told["state"] != "held"
        return False
    assert (told["state"], told["cause"], told["freed_by"]) == ("held", f"paused: {CAUSE}", VERB)
    assert status["cause"] == f"reserve_stock is paused: {CAUSE}; `{VERB}` lets it go on"
    return True


def test_a_saga_that_comes_to_a_paused_step_is_held_at_once() -> None:
    log = Paused()
    log.pauses()
    assert is_held(log.opens())


def test_a_saga_whose_attempt_may_be_under_way_is_held_once_that_cannot_be_any_more() -> None:
    log = Paused()
    log.opens()
    log.pauses()
    assert not is_held(log.hears(PRINTED, STORE, "order.opened"))
    assert not is_held(log.wakes(2 + TIMEOUT_SECONDS - 1))
    assert is_held(log.wakes(2 + TIMEOUT_SECONDS + 1))


def test_an_attempt_that_was_under_way_and_ends_well_was_never_held() -> None:
    log = Paused()
    log.opens()
    log.pauses()
    assert log.hears(RESERVED, STORE, "order.opened")["state"] == "running"
    assert log.wakes(1_000)["state"] == "running"


def test_an_attempt_that_was_under_way_and_fails_is_held() -> None:
    log = Paused()
    log.opens()
    log.pauses()
    assert is_held(log.hears(delayed("reserve_stock", STORE, 30, 2, "OSError: no"), STORE, "x"))


def test_an_attempt_that_ends_well_after_all_frees_its_saga() -> None:
    log = Paused()
    log.pauses()
    log.opens()
    status = log.hears(RESERVED, STORE, "order.opened")
    assert (status["state"], status["cause"], step(status, "reserve_stock")["state"]) == ("running", None, "done")


def test_a_resumed_step_lets_its_sagas_go_on_with_their_whole_time() -> None:
    log = Paused()
    log.pauses()
    log.opens()
    log.hears(PRINTED, STORE, "order.opened")
    assert log.wakes(5_000)["stalled"] is None
    log.now = BEGIN + 5_000
    log.resumes()
    status = log.wakes(5_002)
    assert not is_held(status) and status["cause"] is None
    budget = 3 * TIMEOUT_SECONDS + 0.4 + 0.8 + 10
    assert log.wakes(5_000 + budget - 1)["stalled"] is None
    assert log.wakes(5_000 + budget + 3)["stalled"]["step"] == "reserve_stock"


def test_a_saga_that_is_held_by_a_pause_is_not_stalled_as_well() -> None:
    log = Paused()
    log.pauses()
    log.opens()
    assert log.wakes(100_000)["stalled"] is None
    assert is_held(log.statuses[-1])


def test_a_saga_that_was_stalled_before_is_held_when_its_step_is_paused() -> None:
    log = Paused()
    log.opens()
    log.hears(PRINTED, STORE, "order.opened")
    assert log.wakes(10_000)["stalled"] is not None
    log.pauses()
    status = log.wakes(10_000 + TIMEOUT_SECONDS + 1)
    assert is_held(status) and status["stalled"] is None


def test_a_step_that_waits_for_its_own_time_is_held_only_when_it_has_come() -> None:
    log = Paused()
    log.opens()
    log.hears(delayed("reserve_stock", STORE, 3_600, 1, "waits until 2027"), STORE, "x")
    log.hears(PRINTED, STORE, "order.opened")
    log.pauses()
    assert log.wakes(3_000)["state"] == "running"
    log.wakes(3_700)
    assert is_held(log.wakes(3_800))


def test_an_end_of_the_saga_ends_its_being_held() -> None:
    log = Paused()
    log.pauses()
    log.opens()
    status = log.hears(OrderExpired(saga_id=SAGA), DESK, "order.opened")
    assert (status["state"], status["cause"]) == ("compensating", None)
    assert step(status, "reserve_stock")["state"] == "skipped"


def test_an_undo_that_is_tried_again_after_the_end_is_not_held_by_the_pause_of_its_step() -> None:
    log = Paused()
    log.opens()
    log.hears(RESERVED, STORE, "order.opened")
    log.pauses()
    log.hears(OrderExpired(saga_id=SAGA), DESK, "order.opened")
    status = log.hears(delayed("release_stock", STORE, 30, 2, "OSError: no"), STORE, "x")
    assert status["state"] == "compensating"
    assert (step(status, "reserve_stock")["state"], step(status, "reserve_stock")["cause"]) == (
        "delayed",
        "OSError: no",
    )


def test_a_saga_stays_held_where_the_brokers_clock_is_behind_ours() -> None:
    log = Paused()
    log.opens()
    log.pauses()
    assert is_held(log.wakes(2 + TIMEOUT_SECONDS + 1))
    log.now = BEGIN + 5
    assert is_held(log.hears(PRINTED, STORE, "order.opened"))


def test_an_item_that_stands_still_by_itself_keeps_its_own_cause() -> None:
    log = Paused()
    log.pauses()
    log.opens()
    status = log.hears(failed("print_label", STORE, "hold"), STORE, "x")
    assert (status["state"], status["cause"]) == ("held", "print_label: no answer")
    assert step(status, "reserve_stock")["freed_by"] == VERB


@pytest.mark.parametrize(
    ("name", "participant", "source"),
    [("no_such_step", STORE, STORE), ("reserve_stock", TILL, TILL), ("reserve_stock", STORE, "an outsider")],
)
def test_a_pause_that_no_owner_of_the_step_has_said_holds_nothing(name: str, participant: str, source: str) -> None:
    log = Paused()
    log.pauses(name, participant, source)
    assert not is_held(log.opens())


def test_a_step_that_was_renamed_is_paused_under_its_new_name() -> None:
    log = Paused()
    log.pauses("book_stock")
    assert is_held(log.opens())


def test_a_new_life_knows_what_is_paused_and_whom_it_holds() -> None:
    log = Paused()
    log.opens_another("earlier")
    # Nothing but the paused step is owed for long.
    log.only_hears(LabelPrinted(saga_id="earlier"), STORE, "opened earlier", message_id="printed earlier")
    log.pauses()
    log.opens()
    later = log.restarted()
    assert later.tracker.count().paused == {(STORE, "reserve_stock"): 1}
    later.wakes(3 + TIMEOUT_SECONDS + 1)
    assert later.tracker.count().paused == {(STORE, "reserve_stock"): 2}
    later.resumes()
    later.wakes(3 + TIMEOUT_SECONDS + 3)
    assert later.tracker.count().paused == {}
    assert later.restarted().tracker.count().paused == {}


def test_a_pause_is_kept_and_looked_after_although_no_saga_is_there_yet() -> None:
    log = Paused()
    log.pauses()
    assert log.tracker.is_touched()
    assert log.tracker.next_due() == log.now + TIMEOUT_SECONDS
    log.resumes()
    assert log.tracker.next_due() == log.now


def test_ten_thousand_sagas_are_told_of_a_pause_once_each_and_in_slices() -> None:
    log = Paused()
    for number in range(10_000):
        log.opens_another(f"o{number}")
    log.tracker.take()
    log.pauses()
    now = log.now + TIMEOUT_SECONDS
    told: list[bytes | None] = []
    for _ in range(10_000 // MARKED_AT_ONCE):
        due = log.tracker.next_due()
        assert due is not None and due <= now
        log.tracker.fire(now)
        assert log.tracker.has_news()
        said = log.tracker.take().said
        assert len(said) <= MARKED_AT_ONCE
        told += [one.key for one in said]
    assert len(told) == len(set(told)) == 10_000
    log.tracker.fire(now + 1)
    assert log.tracker.take().said == []


def test_the_metric_counts_the_sagas_at_a_paused_step() -> None:
    class Group:
        """What the figures look at."""

        def __init__(self, *trackers: TrackerLedger) -> None:
            self.role = type("Role", (), {"name": "order.tracker"})
            self.lanes = {number: type("Lane", (), {"memory": one}) for number, one in enumerate(trackers)}

    logs = Paused(), Paused()
    for number, log in enumerate(logs):
        log.pauses()
        for saga in range(number + 1):
            log.opens_another(f"o{saga}")
    registry = CollectorRegistry()
    registry.register(SagaFigures(lambda: [cast("Any", Group(*(log.tracker for log in logs)))]))
    labels = {"saga": "order", "participant": STORE, "step": "reserve_stock"}
    assert registry.get_sample_value("soma_sagas_paused", labels) == 3
    (family,) = [one for one in registry.collect() if one.name == "soma_sagas_paused"]
    assert "soma steps resume PARTICIPANT STEP" in family.documentation
