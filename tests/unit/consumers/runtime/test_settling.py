"""After a failing end: what is undone, in which order, and when a participant has settled."""

from dataclasses import replace

import pytest

from consumers.runtime.finishing import Blocked, Waits
from schemas.message import Event
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench, causation_in, type_in
from tests.unit.consumers.runtime.other_flows import flow_with
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    ORDER,
    STORE,
    TILL,
    CardCharged,
    CardNotWanted,
    CardRefunded,
    LabelPrinted,
    LabelTorn,
    OrderExpired,
    OrderOpened,
    StockRefused,
    StockReleased,
    StockReserved,
    refund_card,
    release_stock,
)

PRINTED, TORN = LabelPrinted(saga_id=SAGA), LabelTorn(saga_id=SAGA)
RESERVED, RELEASED = StockReserved(saga_id=SAGA), StockReleased(saga_id=SAGA)


def store_with_both_done() -> Bench:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.says("reserve_stock", RESERVED)
    store.says("print_label", PRINTED)
    store.hears_itself()
    return store


def test_attempts_in_flight_come_to_an_end_before_anything_is_undone() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.says("print_label", PRINTED)
    store.expires()
    assert store.starts() == []
    store.says("reserve_stock", RESERVED)
    store.hears_settled(DESK, TILL)
    assert store.starts() == ["release_stock"]


def test_what_a_step_says_after_the_end_is_said_all_the_same_and_then_undone() -> None:
    till = Bench(TILL)
    till.opens()
    till.hears(RESERVED, "reserved")
    till.starts()
    till.expires()
    till.says("charge_card", CardCharged(saga_id=SAGA))
    assert till.hears_itself() == ["order.card.charged"]
    till.hears_settled(DESK)
    assert till.starts() == ["refund_card"]
    till.says("refund_card", CardRefunded(saga_id=SAGA))
    assert till.commit() == ["order.card.refunded", "order.participant.settled"]


def test_undos_run_last_one_first_and_one_after_the_other() -> None:
    store = store_with_both_done()
    store.expires()
    store.hears_settled(DESK, TILL)
    assert store.starts() == ["tear_label"]
    assert store.starts() == []
    store.says("tear_label", TORN)
    assert store.starts() == ["release_stock"]
    store.says("release_stock", RELEASED)
    assert store.commit() == ["order.label.torn", "order.stock.released", "order.participant.settled"]
    (body,) = store.bodies("order.participant.settled")
    assert body["undone"] == 2


def test_an_undo_waits_until_the_participants_downstream_of_its_fact_have_settled() -> None:
    store = store_with_both_done()
    store.expires()
    assert store.starts() == ["tear_label"], "it has opted out of the order"
    store.says("tear_label", TORN)
    assert store.starts() == []
    store.hears_settled(TILL)
    assert store.starts() == []
    store.hears_settled(DESK)
    assert store.starts() == ["release_stock"]


def test_an_undo_does_not_wait_for_a_participant_that_the_opening_does_not_name() -> None:
    store = Bench(STORE)
    store.opens(participants=(STORE, DESK))
    store.starts()
    for step, event in (("print_label", PRINTED), ("reserve_stock", RESERVED)):
        store.says(step, event)
    store.expires()
    store.hears_settled(DESK)
    assert store.starts() == ["release_stock"]


def test_a_step_that_was_triggered_and_has_not_spoken_is_undone_without_a_fact() -> None:
    store = Bench(STORE)
    store.opens()
    store.expires()
    assert store.starts() == ["tear_label"]
    assert store.journal.done[-1].fact is None


@pytest.mark.parametrize("how", ["delayed", "blocked", "waiting", "given up"])
def test_a_step_that_was_tried_and_has_not_spoken_is_undone_without_a_fact(how: str) -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.says("reserve_stock", RESERVED)
    if how == "blocked":
        store.ends("print_label", Blocked("the printer is down", BEGIN + 60))
    elif how == "waiting":
        store.ends("print_label", Waits(BEGIN + 60))
    else:
        store.breaks("print_label", permanent=how == "given up")
    store.expires()
    assert store.starts() == ["tear_label"]
    assert store.journal.done[-1].fact is None


def test_a_held_step_is_undone_without_a_fact() -> None:
    held = replace(ORDER.steps["charge_card"], policy="hold")
    till = Bench(TILL, replace(ORDER, steps=ORDER.steps | {"charge_card": held}))
    till.opens()
    till.hears(RESERVED, "reserved")
    till.starts()
    till.breaks("charge_card", permanent=True)
    assert till.item("charge_card").state == "held"
    till.expires()
    till.hears_settled(DESK)
    assert till.starts() == ["refund_card"]


@pytest.mark.parametrize(
    ("participant", "step", "event"),
    [
        (STORE, "reserve_stock", StockRefused(saga_id=SAGA, reason="sold out")),
        (TILL, "charge_card", CardNotWanted(saga_id=SAGA)),
    ],
    ids=["refused", "not wanted"],
)
def test_a_refusal_or_a_not_wanted_is_no_fact_to_undo(participant: str, step: str, event: Event) -> None:
    bench = Bench(participant)
    bench.opens()
    if participant == TILL:
        bench.hears(RESERVED, "reserved")
    bench.starts()
    bench.says(step, event)
    if participant == STORE:
        bench.says("print_label", PRINTED)
    bench.expires()
    bench.hears_settled(*(name for name in EVERYBODY if name != participant))
    undone = []
    while started := bench.starts():
        undone += started
        bench.says(started[0], TORN if started == ["tear_label"] else None)
    assert undone == (["tear_label"] if participant == STORE else [])


def test_who_has_nothing_to_undo_settles_at_once_and_says_so_once() -> None:
    till = Bench(TILL)
    till.opens()
    till.expires()
    assert till.hears_itself() == ["order.participant.settled"]
    till.expires("another end")
    till.hears_settled(STORE)
    till.starts()
    assert till.commit() == []


def test_settled_is_caused_by_the_end_that_came_first() -> None:
    till = Bench(TILL)
    till.opens()
    till.expires("the end")
    till.commit()
    assert [causation_in(one) for one in till.said if type_in(one) == "order.participant.settled"] == ["the end"]


def test_the_saga_is_closed_when_all_participants_of_its_opening_have_settled() -> None:
    till = Bench(TILL)
    till.opens()
    till.expires()
    till.hears_itself()
    till.hears_settled(DESK)
    assert till.journal.closed_at is None
    till.hears_settled(STORE)
    assert till.journal.closed_at is not None


def test_a_closed_saga_shrinks_to_a_marker_at_the_door_and_is_forgotten_by_the_others() -> None:
    for bench in (Bench(DESK), store_with_both_done()):
        bench.opens()
        bench.expires()
        bench.hears_settled(*EVERYBODY)
        bench.commit()
        assert len(bench.state.get(SAGA, b"")) < 500
        assert (SAGA in bench.state) == (bench.participant == DESK)
        assert bench.ledger.journals == {}


def test_a_fact_of_a_forgotten_saga_starts_nothing() -> None:
    store = store_with_both_done()
    store.expires()
    store.hears_settled(*EVERYBODY)
    store.commit()
    store.hears(CardCharged(saga_id=SAGA), "late")
    assert store.starts() == []
    store.commit()
    assert store.state == {}


def test_an_undo_of_an_attempt_whose_end_nobody_saw_waits_the_steps_timeout() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.commit()
    store = store.reopened()
    store.expires()
    assert store.starts() == []
    store.now += 4.9
    assert store.starts() == []
    store.now += 0.2
    assert store.starts() == ["tear_label"]


def test_an_undo_after_an_attempt_that_was_seen_to_end_does_not_wait() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.breaks("print_label")
    store.breaks("reserve_stock")
    store.commit()
    store = store.reopened()
    store.expires()
    assert store.starts() == ["tear_label"]


def test_an_undo_is_tried_again_after_the_end_unlike_a_step() -> None:
    store = store_with_both_done()
    store.expires()
    assert store.starts() == ["tear_label"]
    store.breaks("tear_label")
    assert store.starts() == []
    store.now += 1
    assert store.starts() == ["tear_label"]
    assert store.running["tear_label"].item.attempt == 2


def test_what_an_undo_says_is_caused_by_the_fact_it_takes_back() -> None:
    store = store_with_both_done()
    store.expires()
    store.starts()
    store.says("tear_label", TORN)
    store.commit()
    ids = {type_in(one): dict(one.headers)["ce_id"].decode() for one in store.said}
    (cause,) = [causation_in(one) for one in store.said if type_in(one) == "order.label.torn"]
    assert cause == ids["order.label.printed"]


def test_an_undo_waits_for_an_attempt_that_a_former_life_may_have_begun() -> None:
    store = Bench(STORE)
    store.hears(OrderOpened(saga_id=SAGA, participants=EVERYBODY), ending="crashed")
    store.hears(OrderExpired(saga_id=SAGA), ending="crashed")
    assert store.starts() == []
    assert store.item("tear_label").due == BEGIN + 5


def test_an_undo_waits_for_an_attempt_that_may_have_begun_when_its_backoff_was_over() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.breaks("reserve_stock")
    store.breaks("print_label")
    store.commit()
    store.now += 60
    store = store.reopened("crashed")
    store.hears(OrderExpired(saga_id=SAGA), ending="crashed")
    assert store.starts() == []


def test_an_effect_whose_step_said_nothing_is_undone_all_the_same() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.says("print_label", None)
    store.says("reserve_stock", StockRefused(saga_id=SAGA, reason="sold out"))
    store.hears_itself()
    assert store.starts() == ["tear_label"]


def test_an_effect_whose_undo_is_no_longer_deployed_stands_still_visibly() -> None:
    before = Bench(STORE)
    before.opens()
    before.starts()
    before.says("print_label", LabelPrinted(saga_id=SAGA))
    before.says("reserve_stock", StockRefused(saga_id=SAGA, reason="sold out"))
    before.commit()
    graph = flow_with(undos=(release_stock, refund_card))
    after = Bench(STORE, graph)
    after.ledger.load(SAGA, before.state[SAGA])
    after.ledger.reopen("clean", now=after.now)
    after.hears(OrderExpired(saga_id=SAGA))
    after.starts()
    assert "order.participant.settled" not in after.commit()


def test_a_settlement_of_somebody_who_is_no_participant_is_not_remembered() -> None:
    store = store_with_both_done()
    store.expires()
    store.hears_settled("order.stranger")
    store.commit()
    assert b"order.stranger" not in store.state[SAGA]
