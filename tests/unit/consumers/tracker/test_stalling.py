"""A saga that is owed a fact past its deadline says who owes it; nothing else is called stalled."""

from datetime import UTC, datetime
from typing import Any

import pytest

from consumers.runtime.finishing import Blocked
from consumers.tracker.inspecting import all_found, in_words
from consumers.tracker.ledger import TrackerLedger
from schemas.campaign import CampaignOpened, ReviewRequested
from schemas.engine import StepDelayed
from schemas.message import Event
from tests.simulation.campaign_world import BRIEF, campaign_graph
from tests.unit.consumers.runtime.bench import BEGIN, SAGA
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    ORDER,
    STORE,
    TILL,
    CardCharged,
    OrderExpired,
    StockReleased,
)
from tests.unit.consumers.tracker.log import PRINTED, RESERVED, Log, at, failed

# print_label: two attempts of 5 s, 0.2 s between them, 10 s of grace; the opening is heard at second 1.
LABEL_DUE = 1 + 2 * 5 + 0.2 + 10


class Watched(Log):
    """A log whose tracker's timers fire."""

    def wakes(self, seconds: float, heard: int | None = None) -> dict[str, Any]:
        """The time is so many seconds after the beginning; the log is heard up to `heard`, or to its end."""
        self.now = max(self.now, BEGIN + seconds)
        self.tracker.fire(BEGIN + seconds)
        marks = self.tracker.unmarked()
        if marks:
            self.tracker.mark(marks, {f"{self.graph.saga}.events": self.offset})
        self.tracker.heard_up_to({f"{self.graph.saga}.events": self.offset if heard is None else heard})
        return self.take()


def delayed(name: str, participant: str, seconds: float, attempt: int, cause: str) -> StepDelayed:
    return StepDelayed(
        saga_id=SAGA,
        participant=participant,
        step=name,
        item=f"{name}/x",
        attempt=attempt,
        cause=cause,
        next_at=datetime.fromtimestamp(BEGIN + seconds, UTC),
    )


def opened() -> Watched:
    log = Watched()
    log.opens()
    return log


def test_a_step_that_says_nothing_within_all_its_attempts_stalls_its_saga() -> None:
    log = opened()
    assert log.wakes(LABEL_DUE - 0.1)["stalled"] is None
    status = log.wakes(LABEL_DUE + 0.1)
    assert status["state"] == "running"
    stalled = status["stalled"]
    assert (stalled["step"], stalled["participant"]) == ("print_label", STORE)
    assert stalled["missing"] == ["order.label.printed"]
    assert stalled["since"] == at(LABEL_DUE).replace("+00:00", "Z")


def test_the_fact_that_was_missing_clears_it() -> None:
    log = opened()
    log.wakes(LABEL_DUE + 0.1)
    assert log.hears(RESERVED, STORE, "order.opened")["stalled"] is not None
    assert log.hears(PRINTED, STORE, "order.opened")["stalled"] is None


def test_a_fact_that_stands_in_the_log_unheard_is_not_missing() -> None:
    log = opened()
    assert log.wakes(LABEL_DUE + 0.1, heard=log.offset - 1)["stalled"] is None
    log.hears(PRINTED, STORE, "order.opened")
    assert log.wakes(LABEL_DUE + 0.2)["stalled"] is None


def test_a_step_that_told_of_a_delay_has_what_is_left_of_its_budget_from_then_on() -> None:
    log = opened()
    log.hears(PRINTED, STORE, "order.opened")
    log.hears(delayed("reserve_stock", STORE, 500, 3, "Shelves is down; its breaker is open"), STORE, "x")
    due = 500 + 20 + 10  # the third of three attempts, 20 s each
    for seconds in (100, 300, due - 1):
        assert log.wakes(seconds)["stalled"] is None
    stalled = log.wakes(due + 1)["stalled"]
    assert stalled["step"] == "reserve_stock"
    assert "Shelves is down" in stalled["found"]


def test_a_step_that_may_stay_silent_owes_nothing() -> None:
    log = opened()
    log.hears(PRINTED, STORE, "order.opened")
    log.hears(failed("reserve_stock", STORE, "ignore"), STORE, "x")
    for seconds in (100, 1_000, 100_000):
        assert log.wakes(seconds)["stalled"] is None


def test_a_join_owes_nothing_before_its_last_leg() -> None:
    log = opened()
    log.hears(PRINTED, STORE, "order.opened")
    log.hears(RESERVED, STORE, "order.opened")
    assert [log.wakes(seconds)["stalled"] for seconds in (50, 100)] == [None, None]
    assert log.wakes(1_000)["stalled"]["step"] == "charge_card"
    assert log.hears(CardCharged(saga_id=SAGA), TILL, "order.stock.reserved")["stalled"] is None
    stalled = log.wakes(2_000)["stalled"]
    assert (stalled["step"], stalled["participant"]) in (("clear_order", DESK), ("greet_customer", TILL))


def test_a_held_saga_is_not_stalled_as_well() -> None:
    log = opened()
    log.hears(failed("print_label", STORE, "hold"), STORE, "x")
    assert log.wakes(10_000)["stalled"] is None


def test_a_participant_that_does_not_settle_stalls_its_saga_and_one_that_waits_for_it_does_not() -> None:
    log = opened()
    log.hears(RESERVED, STORE, "order.opened")
    log.hears(CardCharged(saga_id=SAGA), TILL, "order.stock.reserved")
    log.hears(OrderExpired(saga_id=SAGA), DESK, "order.opened")
    log.settles(DESK)
    assert log.wakes(10_000)["stalled"]["participant"] == TILL
    log.settles(TILL)
    assert log.statuses[-1]["stalled"] is None
    stalled = log.wakes(20_000)["stalled"]
    assert (stalled["step"], stalled["participant"]) == ("", STORE)
    assert stalled["missing"] == ["order.participant.settled"]
    assert log.hears(StockReleased(saga_id=SAGA), STORE, "order.stock.reserved")["stalled"] is None


def question() -> Watched:
    log = Watched(campaign_graph())
    body = BRIEF | {"saga_id": SAGA, "participants": campaign_graph().participants}
    story: list[tuple[Event, str]] = [
        (CampaignOpened.model_validate(body), "start"),
        (ReviewRequested(saga_id=SAGA, deadline=datetime.fromtimestamp(BEGIN + 3_600, UTC)), "campaign.opened"),
    ]
    for event, cause in story:
        log.hears(event, "campaign.review", cause)
    log.hears(failed("research_audience", "campaign.studio", "ignore"), "campaign.studio", "x")
    waits = "waits until 2027-01-15T09:00:00.000Z"
    log.hears(delayed("expire_review", "campaign.review", 3_600, 1, waits), "campaign.review", "y")
    return log


def test_a_question_that_waits_for_a_person_is_not_stalled_before_its_time_and_is_after_it() -> None:
    log = question()
    assert [log.wakes(seconds)["stalled"] for seconds in (100, 3_000, 3_590)] == [None, None, None]
    assert log.wakes(10_000)["stalled"]["step"] == "expire_review"


def test_a_new_life_gives_those_that_were_down_with_it_a_moment() -> None:
    log = opened()
    later = Watched()
    later.offset = log.offset
    for key, value in log.state.items():
        later.tracker.load(key, value)
    later.tracker.reopen("clean", BEGIN + 5_000)
    assert later.wakes(5_001) == {}
    assert later.wakes(5_011)["stalled"]["participant"] == STORE


def test_what_a_look_finds_is_told_and_looked_at_again() -> None:
    log = opened()
    log.tracker = TrackerLedger(ORDER, 0, looks=True)
    log.opens()
    log.wakes(LABEL_DUE + 2)
    (work,) = log.tracker.startable(BEGIN + LABEL_DUE + 2, 100)
    assert work.owner.signature.ports == (), "a look takes no place at the step's dependencies"
    assert (work.item.message.source, work.item.message.type, work.item.message.id) == (STORE, "order.events", "0")
    log.tracker.finish(SAGA, work.item, Blocked("nobody runs order.store", 0.0), BEGIN + 30)
    assert log.take()["stalled"]["found"] == "nobody runs order.store"
    assert log.tracker.startable(BEGIN + 31, 100) == []
    log.wakes(1_000)
    assert len(log.tracker.startable(BEGIN + 1_000, 100)) == 1
    assert log.tracker.count()[:2] == (1, 1)


@pytest.mark.parametrize(
    ("members", "behind", "found"),
    [
        (0, 3, "nobody runs order.till"),
        (1, 1_204, "order.till is 1,204 records behind"),
        (1, 0, ""),
    ],
)
def test_what_was_found_is_told_in_words(members: int, behind: int, found: str) -> None:
    assert in_words("order.till", members, behind) == found
    # An open transaction makes every participant look slow or hanging.
    assert in_words("order.till", members, behind, "the transaction of X holds it") == "the transaction of X holds it"
    lost = "order.till.3 has no position"
    assert in_words("order.till", members, behind, lost=lost) == lost
    assert in_words("order.till", members, behind, "the transaction of X holds it", lost).endswith(f"it; {lost}")


@pytest.mark.parametrize(
    ("looked", "told", "found"),
    [
        ("", "", "it runs, has heard everything and says nothing: order.till may be hanging"),
        ("", "it was last delayed: OSError: no", "it was last delayed: OSError: no"),
        ("nobody runs order.till", "", "nobody runs order.till"),
        (
            "nobody runs order.till",
            "it was last delayed: OSError: no",
            "nobody runs order.till; it was last delayed: OSError: no",
        ),
    ],
)
def test_a_known_cause_is_told_and_a_guess_only_without_one(looked: str, told: str, found: str) -> None:
    assert all_found("order.till", looked, told) == found


def test_a_look_that_finds_nothing_leaves_the_cause_that_the_log_tells() -> None:
    log = opened()
    log.tracker = TrackerLedger(ORDER, 0, looks=True)
    log.opens()
    log.hears(delayed("print_label", STORE, 2, 2, "OSError: no paper"), STORE, "x")
    log.wakes(LABEL_DUE + 10)
    (work,) = log.tracker.startable(BEGIN + LABEL_DUE + 10, 100)
    log.tracker.finish(SAGA, work.item, Blocked("", 0.0), BEGIN + 40)
    assert log.statuses[-1]["stalled"]["found"] == "it was last delayed: OSError: no paper"


def test_a_look_that_finds_nothing_where_the_log_tells_nothing_is_told_as_a_guess() -> None:
    log = opened()
    log.tracker = TrackerLedger(ORDER, 0, looks=True)
    log.opens()
    log.wakes(LABEL_DUE + 2)
    (work,) = log.tracker.startable(BEGIN + LABEL_DUE + 2, 100)
    log.tracker.finish(SAGA, work.item, Blocked("", 0.0), BEGIN + 40)
    assert log.take()["stalled"]["found"].endswith(f"{work.item.message.source} may be hanging")
