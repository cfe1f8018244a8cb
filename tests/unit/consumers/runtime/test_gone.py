"""A participant that no build has any more: its sagas stand stuck visibly after a failing end, and can be ended."""

from dataclasses import replace

import pytest

from consumers.runtime.gone import GONE, item_of
from consumers.runtime.graph import Graph
from schemas.engine import ItemResolved, ItemSkipped, ResolveItem, RetryItem, SkipItem
from schemas.message import Message
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import EVERYBODY, SAGA, Bench
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL

NAMED = {"saga_id": SAGA, "participant": TILL, "step": GONE, "item": item_of(TILL)}


def without_till() -> Graph:
    steps = {name: step for name, step in ORDER.steps.items() if step.participant != TILL}
    return replace(ORDER, steps=steps, participants=(DESK, STORE))


def deployed(bench: Bench, graph: Graph) -> Bench:
    """The next life of the participant, of a build with this flow."""
    later = Bench(bench.participant, graph)
    later.now, later.offsets, later.state = bench.now, dict(bench.offsets), dict(bench.state)
    for key, value in bench.state.items():
        later.ledger.load(key, value)
    later.ledger.reopen("clean", later.now)
    return later


def failing(participant: str) -> Bench:
    """A saga that began with the till and has expired."""
    bench = Bench(participant)
    bench.opens()
    bench.commit()
    bench.expires()
    bench.commit()
    return bench


def stuck_desk() -> Bench:
    desk = deployed(failing(DESK), without_till())
    assert desk.hears_itself() == ["order.compensation.stuck"]
    desk.commit()
    return desk


def test_the_door_says_that_a_participant_which_is_gone_cannot_undo() -> None:
    (stuck,) = stuck_desk().bodies("order.compensation.stuck")
    assert {name: stuck[name] for name in NAMED} == NAMED
    assert (stuck["forward"], stuck["cause"].split(":")[0]) == (False, "flow changed")


def test_it_says_so_also_where_the_saga_fails_only_later_and_once() -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.commit()
    desk = deployed(desk, without_till())
    assert desk.hears_itself() == []
    desk.expires()
    assert desk.hears_itself() == ["order.participant.settled", "order.compensation.stuck"][::-1]
    for _ in range(2):
        desk.hears_settled(STORE)
        desk = deployed(desk, without_till())
        assert desk.hears_itself() == []


def test_no_other_participant_says_it() -> None:
    store = deployed(failing(STORE), without_till())
    assert "order.compensation.stuck" not in store.hears_itself()


def test_a_participant_that_has_settled_is_missed_by_no_build() -> None:
    desk = failing(DESK)
    desk.hears_settled(TILL)
    desk.commit()
    assert deployed(desk, without_till()).hears_itself() == []


def answer_to(desk: Bench, command: Message) -> list[str]:
    desk.hears(command, "free")
    desk.starts()
    return desk.hears_itself()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (ResolveItem(**NAMED, evidence="refunded by hand"), "order.item.resolved"),
        (SkipItem(**NAMED, reason="nothing was charged"), "order.item.skipped"),
    ],
)
def test_an_operator_answers_for_it_and_the_saga_ends(command: Message, answer: str) -> None:
    desk = stuck_desk()
    desk.hears_settled(DESK, STORE)
    assert answer_to(desk, command) == [answer]
    assert desk.journal.closed_at is not None


def test_what_waits_for_it_is_undone_then() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.says("reserve_stock", order.StockReserved(saga_id=SAGA))
    store.says("print_label", order.LabelPrinted(saga_id=SAGA))
    store.hears_itself()
    store.expires()
    store.commit()
    # The compensation of the label waits for no participant; that of the stock waits for what came after it.
    store = deployed(store, replace(without_till(), steps=ORDER.steps))
    assert store.starts() == ["tear_label"]
    store.says("tear_label", order.LabelTorn(saga_id=SAGA))
    store.hears_itself()
    store.hears_settled(DESK)
    assert store.starts() == []
    store.hears(ItemSkipped(**NAMED, reason="nothing was charged"), "skipped", DESK)
    assert store.starts() == ["release_stock"]


def test_a_retry_is_refused_with_the_reason_and_nothing_is_lost_by_it() -> None:
    desk = stuck_desk()
    assert answer_to(desk, RetryItem(**NAMED)) == ["order.command.refused"]
    (refused,) = desk.bodies("order.command.refused")
    assert refused["reason"].startswith(f"this build has no participant {TILL}: deploy one that has it")
    desk.hears_settled(DESK, STORE)
    desk.hears(SkipItem(**NAMED, reason="let it be"), "skip")
    desk.starts()
    assert desk.hears_itself() == ["order.item.skipped"]


def test_one_that_is_back_settles_and_stands_still_no_more() -> None:
    desk = deployed(stuck_desk(), ORDER)
    assert answer_to(desk, RetryItem(**NAMED)) == ["order.command.refused"]
    assert desk.bodies("order.command.refused")[-1]["reason"] == f"{TILL} is in this build again, and settles by itself"
    desk.hears_settled(TILL)
    assert desk.journal.standing == {}
    desk.hears_settled(DESK, STORE)
    assert desk.journal.closed_at is not None


def test_one_that_is_back_after_it_was_resolved_undoes_nothing_and_forgets_the_saga() -> None:
    till = Bench(TILL)
    till.opens()
    till.hears(order.StockReserved(saga_id=SAGA), "stock", STORE)
    till.starts()
    till.says("charge_card", order.CardCharged(saga_id=SAGA))
    till.hears_itself()
    till = deployed(till, ORDER)
    till.expires()
    till.hears_settled(DESK)
    assert till.open_items == ["refund_card"]
    till.hears(ItemResolved(**NAMED, evidence="refunded by hand"), "resolved", DESK)
    assert till.starts() == []
    till.hears_settled(STORE)
    till.commit()
    assert till.state == {}


def test_everybody_who_is_there_needs_no_answer() -> None:
    desk = failing(DESK)
    assert deployed(desk, ORDER).hears_itself() == []
    assert set(EVERYBODY) == set(ORDER.participants)
