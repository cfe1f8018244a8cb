"""Where a saga stands, as its status topic tells it."""

from datetime import UTC, datetime

import pytest

from producers.records import Record
from schemas.campaign import (
    AssetsDesigned,
    CampaignApproved,
    CampaignOpened,
    CampaignRejected,
    ReviewRequested,
)
from schemas.engine import (
    CommandRefused,
)
from schemas.message import Event
from tests.simulation.campaign_world import BRIEF, campaign_graph
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    STORE,
    TILL,
    CardCharged,
    LabelTorn,
    OrderCancelled,
    OrderCleared,
    OrderCompleted,
    OrderExpired,
    ParcelShipped,
    StockRefused,
)
from tests.unit.consumers.tracker.log import PRINTED, RESERVED, Log, at, failed, resumed, step, stuck_log


def test_a_saga_runs_from_its_opening_on_and_so_do_the_steps_that_hear_it() -> None:
    status = Log().opens()
    assert (status["state"], status["saga_id"], status["saga"]) == ("running", SAGA, "order")
    assert (status["started_at"], status["trace_id"]) == (at(1), "a" * 32)
    assert {one["name"]: one["state"] for one in status["steps"]} == {
        "place_order": "done",
        "expire_order": "running",
        "reserve_stock": "running",
        "print_label": "running",
    }


def test_a_saga_that_was_never_opened_has_no_status() -> None:
    assert Log().hears(RESERVED, STORE, "order.opened") == {}


def test_a_step_has_its_times_its_attempts_and_what_it_said() -> None:
    log = Log()
    log.opens()
    status = log.hears(RESERVED, STORE, "order.opened", attempt=2, started_at=BEGIN + 1.5)
    reserved = step(status, "reserve_stock")
    assert (reserved["state"], reserved["said"], reserved["attempts"]) == ("done", "order.stock.reserved", 2)
    assert (reserved["started_at"], reserved["ended_at"]) == (at(1.5).replace("500000", "500000"), at(2))
    assert step(status, "charge_card")["state"] == "running"
    assert status["updated_at"] == at(2)


def test_a_join_shows_only_when_all_its_legs_were_said() -> None:
    log = Log()
    log.opens()
    log.hears(RESERVED, STORE, "order.opened")
    status = log.hears(PRINTED, STORE, "order.opened")
    assert "clear_order" not in {one["name"] for one in status["steps"]}
    status = log.hears(CardCharged(saga_id=SAGA), TILL, "order.stock.reserved")
    assert step(status, "clear_order")["state"] == "running"


def test_the_progress_grows_with_every_milestone_and_is_a_hundred_only_in_the_end() -> None:
    log = Log()
    story: list[tuple[Event, str, str]] = [
        (RESERVED, STORE, "order.opened"),
        (PRINTED, STORE, "order.opened"),
        (CardCharged(saga_id=SAGA), TILL, "order.stock.reserved"),
        (OrderCleared(saga_id=SAGA), DESK, "order.card.charged"),
        (ParcelShipped(saga_id=SAGA), TILL, "order.cleared"),
        (OrderCompleted(saga_id=SAGA), TILL, "order.parcel.shipped"),
    ]
    log.opens()
    progress = [log.hears(*turn)["progress_percent"] for turn in story]
    assert progress == sorted(set(progress))
    assert progress[-1] == 100 > progress[-2]


def test_a_completed_saga_says_so_once_and_for_all() -> None:
    log = Log()
    log.opens()
    status = log.hears(OrderCompleted(saga_id=SAGA), TILL, "order.parcel.shipped")
    assert (status["state"], status["outcome"]) == ("completed", {"type": "order.completed"})
    assert step(status, "expire_order")["state"] == "skipped"
    count = len(log.statuses)
    log.hears(OrderExpired(saga_id=SAGA), DESK, "order.opened")
    assert len(log.statuses) == count


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (OrderExpired(saga_id=SAGA), "expired"),
        (OrderCancelled(saga_id=SAGA, reason="no longer wanted"), "cancelled"),
        (StockRefused(saga_id=SAGA, reason="sold out"), "compensated"),
        (failed("reserve_stock", STORE, "end"), "compensated"),
    ],
    ids=["expired", "cancelled", "refused", "failed"],
)
def test_a_saga_that_fails_compensates_until_all_have_settled_and_then_has_its_ends_own_name(
    end: Event, state: str
) -> None:
    log = Log()
    log.opens()
    assert log.hears(end, STORE, "order.opened")["state"] == "compensating"
    assert log.settles(DESK, STORE)["state"] == "compensating"
    status = log.settles(TILL)
    assert status["state"] == state
    assert status["progress_percent"] < 100
    assert status["outcome"]["type"] in (end.wire_type, "order.step.failed")


def test_the_first_end_wins() -> None:
    log = Log()
    log.opens()
    log.hears(OrderExpired(saga_id=SAGA), DESK, "order.opened")
    log.hears(OrderCancelled(saga_id=SAGA), DESK, "cancel")
    status = log.hears(OrderCompleted(saga_id=SAGA), TILL, "order.parcel.shipped")
    assert status["state"] == "compensating"
    assert log.settles(*EVERYBODY)["state"] == "expired"
    assert log.statuses[-1]["outcome"]["type"] == "order.expired"


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (StockRefused(saga_id=SAGA, reason="sold out"), "sold out"),
        (failed("reserve_stock", STORE, "end"), "reserve_stock: no answer"),
        (OrderExpired(saga_id=SAGA), None),
    ],
    ids=["refused", "failed", "expired"],
)
def test_the_cause_of_a_failure_is_told_in_words(end: Event, cause: str | None) -> None:
    log = Log()
    log.opens()
    assert log.hears(end, STORE, "order.opened")["cause"] == cause


def test_a_refusal_shows_at_its_step() -> None:
    log = Log()
    log.opens()
    status = log.hears(StockRefused(saga_id=SAGA, reason="sold out"), STORE, "order.opened")
    assert step(status, "reserve_stock")["state"] == "refused"
    assert step(status, "print_label")["state"] == "skipped"


def test_what_was_undone_shows_at_its_step() -> None:
    log = Log()
    log.opens()
    log.hears(PRINTED, STORE, "order.opened")
    log.hears(OrderExpired(saga_id=SAGA), DESK, "order.opened")
    status = log.hears(LabelTorn(saga_id=SAGA), STORE, "order.label.printed")
    assert step(status, "print_label")["state"] == "undone"


def test_a_refused_command_changes_no_status() -> None:
    log = Log()
    log.opens()
    count = len(log.statuses)
    log.hears(CommandRefused(saga_id=SAGA, command_id="x", reason="no"), DESK, "x")
    assert len(log.statuses) == count


def test_an_event_heard_twice_changes_the_status_once() -> None:
    log = Log()
    log.opens()
    log.hears(RESERVED, STORE, "order.opened")
    count = len(log.statuses)
    log.hears(RESERVED, STORE, "order.opened")
    assert len(log.statuses) == count


def test_the_status_is_keyed_by_the_saga_and_caused_by_the_event_that_changed_it() -> None:
    log = Log()
    log.opens()
    assert (log.headers["ce_source"], log.headers["ce_type"]) == ("order.tracker", "order.status")
    assert (log.headers["ce_subject"], log.headers["ce_causationid"]) == (SAGA, "order.opened")


def test_a_new_life_goes_on_where_the_old_one_was() -> None:
    log = stuck_log()
    later = Log()
    later.now, later.offset = log.now, log.offset
    for key, value in log.state.items():
        later.tracker.load(key, value)
    for one in (log, later):
        one.hears(resumed("release_stock"), DESK, "retry")
        one.settles(*EVERYBODY)
    assert log.statuses[-1] == later.statuses[-1]


def test_a_closed_saga_is_forgotten_and_its_last_status_stays() -> None:
    log = Log()
    log.opens()
    assert log.state[SAGA] is not None
    log.hears(OrderCompleted(saga_id=SAGA), TILL, "x")
    assert log.statuses[-1]["state"] == "completed"
    later = Log()
    later.tracker.load(SAGA, log.state[SAGA])
    assert later.hears(OrderExpired(saga_id=SAGA), DESK, "x") == {}


@pytest.mark.parametrize("value", [b"not json", b"{}", b"[]", b"\xff", None])
def test_what_cannot_be_read_changes_no_status(value: bytes | None) -> None:
    log = Log()
    log.opens()
    count = len(log.statuses)
    headers = (("ce_type", b"order.stock.refused"), ("ce_id", b"x"))
    log.tracker.hear(Record("order.events", 0, 9, BEGIN, SAGA.encode(), value, headers), BEGIN)
    log.take()
    assert len(log.statuses) == count


def campaign_log(empty: Log | None = None) -> Log:
    """A campaign that waits for its review, in this log or in one of its own."""
    log = Log(campaign_graph()) if empty is None else empty
    participants = campaign_graph().participants
    body = BRIEF | {"saga_id": SAGA, "participants": participants}
    log.hears(CampaignOpened.model_validate(body), "campaign.review", "start")
    asked = ReviewRequested(saga_id=SAGA, deadline=datetime.fromtimestamp(BEGIN + 3_600, UTC))
    log.hears(asked, "campaign.review", "campaign.assets.designed")
    return log


def test_a_question_makes_the_saga_wait_for_its_answer_until_a_deadline() -> None:
    status = campaign_log().statuses[-1]
    assert (status["state"], status["waiting_for"]) == ("waiting", "approve or reject")
    assert status["deadline"] == at(3_600)


def test_the_answer_clears_what_was_waited_for() -> None:
    status = campaign_log().hears(CampaignApproved(saga_id=SAGA, reviewer="ada"), "campaign.review", "approve")
    assert (status["state"], status["waiting_for"], status["deadline"]) == ("running", None, None)


def test_an_end_clears_what_was_waited_for() -> None:
    log = campaign_log()
    rejected = CampaignRejected(saga_id=SAGA, reviewer="ada", reason="dull")
    status = log.hears(rejected, "campaign.review", "reject")
    assert (status["state"], status["waiting_for"], status["deadline"]) == ("compensating", None, None)
    assert status["cause"] == "dull"
    assert log.settles(*campaign_graph().participants)["state"] == "rejected"


def test_another_fact_leaves_what_is_waited_for_as_it_is() -> None:
    log = campaign_log()
    status = log.hears(AssetsDesigned(saga_id=SAGA, banners={}), "campaign.studio", "x")
    assert status["waiting_for"] == "approve or reject"
