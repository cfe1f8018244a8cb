"""What becomes of a replayed letter, as the saga's events and dead letters tell of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.cli.outcomes import Expected, Outcome
from producers.answers import Published
from producers.errors import DependencyDown
from producers.headers import headers_for
from producers.records import Record
from schemas.dead_letter import DeadLetter, Origin
from schemas.engine import CommandRefused, EngineEvent, ItemResumed, StepDelayed, StepFailed
from schemas.message import Event
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    ORDER,
    STORE,
    TILL,
    CardCharged,
    OrderCancelled,
    OrderCleared,
    OrderCompleted,
    OrderOpened,
    ParcelShipped,
    StockRefused,
)

SAGA, ITEM, REPLAY = "o-1", "ship_parcel/cleared/with/slashes", "replay/1"
NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
NAMED = {"saga_id": SAGA, "participant": TILL, "step": "ship_parcel", "item": ITEM}


def letter(**fields: Any) -> DeadLetter:
    named = {"id": "a", "kind": "failed", "saga": "order", "error": "E", "reason": "no", "fingerprint": "f", "at": NOON}
    return DeadLetter.model_validate(named | NAMED | fields)


def said(event: Event, causation: str = "", source: str = TILL, saga_id: str = SAGA) -> Record:
    """The event as it stands in the log."""
    wire_type = event.type_in("order") if isinstance(event, EngineEvent) else event.wire_type
    headers = headers_for(
        wire_type=wire_type, message_id="m", source=source, saga_id=saga_id, at=0, causation=causation
    )
    body = event.model_copy(update={"saga_id": saga_id}).model_dump_json().encode()
    return Record("order.events", 0, 0, 0.0, saga_id.encode(), body, headers)


def dead(one: DeadLetter) -> Record:
    return Record("order.dead", 0, 0, 0.0, SAGA.encode(), one.model_dump_json().encode(), ())


def expected(of: DeadLetter, *records: Record, published_after: int = 0) -> Expected:
    """Hears the records, of which the first ones come before it is known by what the letter was replayed."""
    found = Expected(ORDER, of)
    published = Published("order", SAGA, REPLAY, "order.commands", 0, 77, {})
    for number, record in enumerate(records):
        if number == published_after:
            found.publish(published)
        found.hear(record)
    if published_after >= len(records):
        found.publish(published)
    return found


def outcome(of: DeadLetter, *records: Record, published_after: int = 0) -> Outcome | None:
    return expected(of, *records, published_after=published_after).outcome


def kind(of: DeadLetter, *records: Record) -> str | None:
    found = outcome(of, *records)
    return None if found is None else found.kind


RESUMED = said(ItemResumed(**NAMED), REPLAY, DESK)
SHIPPED = said(ParcelShipped(saga_id=SAGA), "cleared/with/slashes")


def failed(item: str = ITEM, participant: str = TILL) -> Record:
    named = NAMED | {"item": item, "participant": participant}
    return said(StepFailed(**named, attempts=3, cause="no van", policy="hold"), f"{item}/3", participant)


def delayed(cause: str, item: str = ITEM, next_at: datetime = NOON) -> Record:
    return said(StepDelayed(**(NAMED | {"item": item}), attempt=3, cause=cause, next_at=next_at), f"{item}/3")


def test_an_item_has_passed_when_its_step_has_spoken() -> None:
    assert outcome(letter(), RESUMED) is None
    assert outcome(letter(), RESUMED, SHIPPED) == Outcome("passed", "it has said order.parcel.shipped")


def test_what_is_heard_before_the_replay_is_known_counts_as_well() -> None:
    for published_after in range(4):
        found = expected(letter(), RESUMED, SHIPPED, published_after=published_after)
        assert found.answer is not None and found.answer.type == "order.item.resumed"
        assert found.outcome == Outcome("passed", "it has said order.parcel.shipped")


def test_an_item_has_failed_when_it_is_given_up_again_or_has_to_wait_for_another_attempt() -> None:
    assert outcome(letter(), RESUMED, failed()) == Outcome("failed", "no van")
    assert outcome(letter(), RESUMED, delayed("ConnectionError: no van")) == Outcome(
        "failed", "ConnectionError: no van"
    )


@pytest.mark.parametrize(("seconds", "expected_kind"), [(0.2, None), (1.0, None), (1.1, "failed"), (0.0, None)])
def test_an_attempt_that_is_tried_again_within_a_second_is_no_outcome_yet(
    seconds: float, expected_kind: str | None
) -> None:
    # The event was said at second 0, by the clock of its worker.
    soon = delayed("ConnectionError: no van", next_at=datetime.fromtimestamp(seconds, UTC))
    assert kind(letter(), RESUMED, soon) == expected_kind
    assert kind(letter(), RESUMED, soon, SHIPPED) == (expected_kind or "passed")


def test_an_item_that_waits_because_its_step_has_asked_for_it_has_passed() -> None:
    assert kind(letter(), RESUMED, delayed("waits until 2026-04-01T13:00:00.000Z")) == "passed"


def test_an_item_that_waits_for_a_breaker_has_not_been_tried_yet() -> None:
    waits = delayed(str(DependencyDown("Post", 0.0)))
    assert outcome(letter(), RESUMED, waits) is None
    assert kind(letter(), RESUMED, waits, SHIPPED) == "passed"
    assert kind(letter(), RESUMED, waits, failed()) == "failed"


def test_only_the_first_outcome_counts() -> None:
    assert kind(letter(), RESUMED, failed(), SHIPPED) == "failed"
    assert kind(letter(), RESUMED, SHIPPED, failed()) == "passed"


@pytest.mark.parametrize(
    "other",
    [
        failed(item="close_books/cleared"),
        failed(participant=STORE),
        delayed("no", item="close_books/cleared"),
        said(ParcelShipped(saga_id=SAGA), "another message"),
        said(ParcelShipped(saga_id=SAGA), "cleared/with/slashes", STORE),
        said(ParcelShipped(saga_id=SAGA), "cleared/with/slashes", saga_id="o-2"),
        said(CardCharged(saga_id=SAGA), "cleared/with/slashes"),
        said(OrderCompleted(saga_id=SAGA), saga_id="o-2"),
        said(CommandRefused(saga_id=SAGA, command_id="c", reason="no"), "c", DESK),
        SHIPPED._replace(topic="order.dead"),
    ],
    ids=[
        "another item fails",
        "another participant fails",
        "another item waits",
        "said of another message",
        "said by another",
        "said of another saga",
        "said by another step",
        "another saga ends",
        "another command is refused",
        "no event",
    ],
)
def test_what_others_do_meanwhile_is_no_outcome(other: Record) -> None:
    assert outcome(letter(), RESUMED, other) is None
    assert kind(letter(), RESUMED, other, SHIPPED) == "passed"


def test_nothing_that_was_said_before_the_answer_is_the_outcome() -> None:
    assert outcome(letter(), failed(), SHIPPED, RESUMED) is None


def test_a_saga_that_ends_meanwhile_takes_its_item_along() -> None:
    ended = outcome(letter(), RESUMED, said(OrderCancelled(saga_id=SAGA), "x", DESK))
    assert ended == Outcome("refused", "its saga has ended meanwhile: order.cancelled")
    assert kind(letter(), RESUMED, said(OrderCompleted(saga_id=SAGA), "x", DESK)) == "refused"


def test_a_step_that_says_the_end_itself_has_passed() -> None:
    of = letter(participant=STORE, step="reserve_stock", item="reserve_stock/opening")
    refused = said(StockRefused(saga_id=SAGA, reason="sold out"), "opening", STORE)
    assert outcome(of, RESUMED, refused) == Outcome("passed", "it has said order.stock.refused")


def test_what_a_join_says_is_its_outcome_whichever_leg_was_the_last() -> None:
    of = letter(participant=DESK, step="clear_order", item="clear_order/join")
    assert kind(of, RESUMED, said(OrderCleared(saga_id=SAGA), "the last leg", DESK)) == "passed"


def test_a_refused_replay_is_refused_with_the_doors_reason() -> None:
    refusal = said(CommandRefused(saga_id=SAGA, command_id=REPLAY, reason="nothing stands still"), REPLAY, DESK)
    assert outcome(letter(), refusal) == Outcome("refused", "nothing stands still")


def test_a_record_that_can_be_read_now_has_passed_with_what_it_led_to() -> None:
    of = letter(kind="unreadable", step=None, item=None)
    opened = said(OrderOpened(saga_id=SAGA), REPLAY, DESK)
    assert outcome(of, opened) == Outcome("passed", "it has led to order.opened")


def test_a_record_that_is_dead_again_has_failed_with_the_new_reason() -> None:
    of = letter(kind="unreadable", step=None, item=None)
    first, again = (Origin(topic="order.commands", partition=0, offset=offset) for offset in (3, 77))
    new = of.model_copy(update={"reason": "still no JSON", "origin": again})
    assert outcome(of, dead(of.model_copy(update={"origin": first})), dead(new)) == Outcome("failed", "still no JSON")


def test_a_record_whose_step_has_failed_has_failed() -> None:
    of = letter(kind="unreadable", step=None, item=None)
    new = letter(id="b", item=f"place_order/{REPLAY}", step="place_order", reason="no pen")
    assert outcome(of, dead(new)) == Outcome("failed", "no pen")


def test_a_command_that_is_refused_because_its_step_has_failed_has_failed() -> None:
    of = letter(kind="unreadable", step=None, item=None)
    given_up = failed(item=f"place_order/{REPLAY}", participant=DESK)
    refusal = said(CommandRefused(saga_id=SAGA, command_id=REPLAY, reason="VanBroken: no van"), REPLAY, DESK)
    assert outcome(of, given_up, refusal) == Outcome("failed", "no van")
    assert outcome(of, failed(item="place_order/another"), refusal) == Outcome("refused", "VanBroken: no van")


@pytest.mark.parametrize(
    ("one", "stops"), [("failed", True), ("unknown", True), ("passed", False), ("refused", False), ("before", False)]
)
def test_only_a_repeated_failure_or_none_known_keeps_the_others_from_being_tried(one: Any, stops: bool) -> None:
    assert Outcome(one, "").stops is stops
