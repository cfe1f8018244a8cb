"""Where a saga stands, as its status topic tells it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from consumers.runtime.graph import Graph
from consumers.tracker.ledger import TrackerLedger
from producers.headers import headers_for
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
    CompensationStuck,
    EngineEvent,
    ItemResolved,
    ItemResumed,
    ItemSkipped,
    Settled,
    StepDelayed,
    StepFailed,
)
from schemas.message import Event
from tests.simulation.campaign_world import BRIEF, campaign_graph
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    ORDER,
    STORE,
    TILL,
    CardCharged,
    LabelPrinted,
    LabelTorn,
    OrderCancelled,
    OrderCleared,
    OrderCompleted,
    OrderExpired,
    OrderOpened,
    ParcelShipped,
    StockRefused,
    StockReleased,
    StockReserved,
)


class Log:
    """Events of one saga as they stand in the log; each hearing is followed by the status it leads to."""

    def __init__(self, graph: Graph = ORDER) -> None:
        self.graph, self.now, self.offset = graph, BEGIN, 0
        self.tracker = TrackerLedger(graph, 0)
        self.statuses: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.state: dict[str, bytes | None] = {}
        self.headers: dict[str, str] = {}

    def hears(self, event: Event, source: str, cause: str = "", message_id: str = "", **named: Any) -> dict[str, Any]:
        """Hear it, one second after the one before; returns the newest status."""
        saga = self.graph.saga
        wire_type = event.type_in(saga) if isinstance(event, EngineEvent) else event.wire_type
        self.now += 1
        headers = headers_for(
            wire_type=wire_type,
            message_id=message_id or wire_type,
            source=source,
            saga_id=event.saga_id,
            at=self.now,
            causation=cause,
            **named,
        )
        self.offset += 1
        key, body = event.saga_id.encode(), event.model_dump_json().encode()
        self.tracker.hear(Record(f"{saga}.events", 0, self.offset, self.now, key, body, headers), self.now)
        return self.take()

    def hears_raw(self, wire_type: str, body: Any) -> dict[str, Any]:
        """Hear what an outsider wrote: our headers, any JSON."""
        self.offset += 1
        headers = headers_for(
            wire_type=wire_type, message_id=f"raw {self.offset}", source="x", saga_id=SAGA, at=self.now
        )
        value = json.dumps(body).encode()
        self.tracker.hear(Record("order.events", 0, self.offset, self.now, SAGA.encode(), value, headers), self.now)
        return self.take()

    def take(self) -> dict[str, Any]:
        snapshot = self.tracker.take()
        self.state |= snapshot.state
        self.bodies += [one.value or b"" for one in snapshot.said]
        self.statuses += [json.loads(one.value or b"") for one in snapshot.said]
        for one in snapshot.said:
            self.headers = {name: value.decode() for name, value in one.headers}
        return self.statuses[-1] if self.statuses else {}

    def opens(self) -> dict[str, Any]:
        return self.hears(
            OrderOpened(saga_id=SAGA, participants=EVERYBODY), DESK, "place", traceparent=f"00-{'a' * 32}-{'b' * 16}-01"
        )

    def settles(self, *participants: str) -> dict[str, Any]:
        for name in participants:
            self.hears(Settled(saga_id=SAGA, participant=name, undone=0), name, "end", f"settled {name}")
        return self.statuses[-1]


def step(status: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in status["steps"] if one["name"] == name]
    assert isinstance(found, dict)
    return found


def at(seconds: float) -> str:
    return datetime.fromtimestamp(BEGIN + seconds, UTC).isoformat().replace("+00:00", "Z")


RESERVED, PRINTED = StockReserved(saga_id=SAGA), LabelPrinted(saga_id=SAGA)


def failed(name: str, participant: str, policy: str) -> StepFailed:
    return StepFailed.model_validate(
        {
            "saga_id": SAGA,
            "participant": participant,
            "step": name,
            "item": f"{name}/x",
            "attempts": 3,
            "cause": "no answer",
            "policy": policy,
        }
    )


def stuck(name: str = "release_stock") -> CompensationStuck:
    return CompensationStuck(
        saga_id=SAGA, participant=STORE, step=name, item=f"{name}/x", attempts=2, cause="no answer"
    )


def resumed(name: str) -> ItemResumed:
    return ItemResumed(saga_id=SAGA, participant=STORE, step=name, item=f"{name}/x")


def delayed(name: str, cause: str) -> StepDelayed:
    return StepDelayed(
        saga_id=SAGA, participant=STORE, step=name, item=f"{name}/x", attempt=2, cause=cause, next_at=datetime.now(UTC)
    )


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


def test_a_held_step_holds_the_saga_and_names_the_item_to_be_freed() -> None:
    log = Log()
    log.opens()
    status = log.hears(failed("ship_parcel", TILL, "hold"), TILL, "x")
    assert (status["state"], status["cause"]) == ("held", "ship_parcel: no answer")
    shown = step(status, "ship_parcel")
    assert (shown["state"], shown["item"], shown["attempts"]) == ("held", "ship_parcel/x", 3)


def test_a_held_saga_runs_again_when_it_is_resumed() -> None:
    log = Log()
    log.opens()
    log.hears(failed("ship_parcel", TILL, "hold"), TILL, "x")
    status = log.hears(resumed("ship_parcel"), DESK, "retry")
    assert status["state"] == "running"
    assert step(status, "ship_parcel")["state"] == "running"


def test_an_ignored_failure_shows_at_its_step_only() -> None:
    log = Log()
    log.opens()
    status = log.hears(failed("greet_customer", TILL, "ignore"), TILL, "x")
    assert (status["state"], status["cause"]) == ("running", None)
    assert step(status, "greet_customer")["state"] == "failed"


def stuck_log() -> Log:
    log = Log()
    log.opens()
    log.hears(RESERVED, STORE, "order.opened")
    log.hears(OrderExpired(saga_id=SAGA), DESK, "order.opened")
    log.hears(stuck(), STORE, "x")
    return log


def test_a_stuck_compensation_makes_the_saga_stuck_and_names_the_step_the_cause_and_the_item() -> None:
    status = stuck_log().statuses[-1]
    assert (status["state"], status["cause"]) == ("stuck", "release_stock: no answer")
    shown = step(status, "reserve_stock")
    assert (shown["state"], shown["item"]) == ("stuck", "release_stock/x")


def test_a_stuck_saga_compensates_again_when_it_is_resumed() -> None:
    log = stuck_log()
    assert log.hears(resumed("release_stock"), DESK, "retry")["state"] == "compensating"
    log.hears(StockReleased(saga_id=SAGA), STORE, "order.stock.reserved")
    assert log.settles(*EVERYBODY)["state"] == "expired"


@pytest.mark.parametrize(
    ("freed", "state"),
    [
        (
            ItemResolved(
                saga_id=SAGA, participant=STORE, step="release_stock", item="release_stock/x", evidence="ticket 7"
            ),
            "undone",
        ),
        (
            ItemSkipped(saga_id=SAGA, participant=STORE, step="release_stock", item="release_stock/x", reason="sold"),
            "skipped",
        ),
    ],
    ids=["resolved", "skipped"],
)
def test_a_stuck_saga_goes_on_when_its_compensation_is_freed(freed: EngineEvent, state: str) -> None:
    log = stuck_log()
    status = log.hears(freed, DESK, "free")
    assert (status["state"], status["cause"]) == ("compensating", None)
    assert (step(status, "reserve_stock")["state"], step(status, "reserve_stock")["item"]) == (state, None)
    assert log.settles(*EVERYBODY)["state"] == "expired"


def test_a_saga_with_two_stuck_compensations_is_stuck_until_both_are_freed() -> None:
    log = stuck_log()
    log.hears(stuck("tear_label"), STORE, "tear_label/x/2", "stuck too")
    freed = ItemSkipped(saga_id=SAGA, participant=STORE, step="tear_label", item="tear_label/x", reason="torn by hand")
    status = log.hears(freed, DESK, "free")
    assert (status["state"], step(status, "print_label")["state"]) == ("stuck", "skipped")


def test_a_stuck_compensation_that_is_in_no_build_is_told_of_with_its_item_until_it_is_freed() -> None:
    log = stuck_log()
    log.hears(stuck("burn_label"), STORE, "burn_label/x/2", "stuck too")
    told = step(log.statuses[-1], "burn_label")
    assert (told["state"], told["participant"], told["item"]) == ("stuck", STORE, "burn_label/x")
    freed = ItemSkipped(saga_id=SAGA, participant=STORE, step="burn_label", item="burn_label/x", reason="let it be")
    told = step(log.hears(freed, DESK, "free"), "burn_label")
    assert (told["state"], told["item"]) == ("skipped", None)


def test_a_saga_that_is_held_is_no_longer_held_when_it_fails() -> None:
    log = Log()
    log.opens()
    log.hears(failed("ship_parcel", TILL, "hold"), TILL, "x")
    status = log.hears(OrderExpired(saga_id=SAGA), DESK, "order.opened")
    assert status["state"] == "compensating"
    assert step(status, "ship_parcel")["state"] == "skipped"


@pytest.mark.parametrize(
    ("cause", "state"), [("waits until 2027-01-15T09:00:00.000Z", "waiting"), ("ConnectionError: refused", "delayed")]
)
def test_a_step_that_waits_or_backs_off_shows_it(cause: str, state: str) -> None:
    log = Log()
    log.opens()
    status = log.hears(delayed("reserve_stock", cause), STORE, "x")
    shown = step(status, "reserve_stock")
    assert (shown["state"], shown["attempts"], shown["item"]) == (state, 2, "reserve_stock/x")
    assert status["state"] == "running"
    status = log.hears(RESERVED, STORE, "order.opened")
    assert (step(status, "reserve_stock")["state"], step(status, "reserve_stock")["item"]) == ("done", None)


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


def campaign_log() -> Log:
    log = Log(campaign_graph())
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
