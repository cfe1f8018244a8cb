"""What a lane remembers of its sagas: snapshots, what is loaded again, what is kept encoded, what is forgotten."""

from collections.abc import Callable

import msgspec
import pytest

from consumers.runtime.finishing import Blocked, Waits
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    STORE,
    TILL,
    CancelOrder,
    CardCharged,
    CustomerGreeted,
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
    assert other.ledger.journal(SAGA) is None


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
        lambda: bench.says("place_order", OrderOpened(saga_id=SAGA)),
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
        assert restored.ledger.journal(SAGA) == bench.ledger.journal(SAGA)


@pytest.mark.parametrize(
    ("participant", "story"),
    [(STORE, compensated), (TILL, completed), (DESK, judged)],
    ids=["compensated", "completed", "judged"],
)
@pytest.mark.parametrize("decoded_most", [0, 1_000])
def test_a_new_life_at_any_point_of_a_story_starts_what_the_old_one_would_have(
    participant: str, story: Callable[[Bench], list[Callable[[], object]]], decoded_most: int
) -> None:
    for point in range(len(story(Bench(participant)))):
        bench = Bench(participant, decoded_most=decoded_most)
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
def test_a_journal_that_is_kept_encoded_while_nothing_of_it_runs_says_and_starts_the_same(
    participant: str, story: Callable[[Bench], list[Callable[[], object]]]
) -> None:
    decoded, encoded = Bench(participant), Bench(participant, decoded_most=0)
    were_encoded = 0
    for turn, same_turn in zip(story(decoded), story(encoded), strict=True):
        turn()
        same_turn()
        assert encoded.commit() == decoded.commit()
        assert (encoded.state, list(encoded.running)) == (decoded.state, list(decoded.running))
        runs = any(item.state == "running" for item in encoded.items)
        assert (SAGA in encoded.ledger.journals) == runs
        were_encoded += SAGA in decoded.ledger.journals and not runs
    assert [one.value for one in encoded.said] == [one.value for one in decoded.said]
    assert were_encoded
    reopened = Bench(participant, decoded_most=0)
    for key, value in encoded.state.items():
        reopened.ledger.load(key, value)
    assert reopened.ledger.journals == {}


def test_sagas_that_wait_do_not_keep_those_at_work_from_being_decoded() -> None:
    store = Bench(STORE, decoded_most=10)
    for number in range(30):
        store.hears(OrderOpened(saga_id=f"o-{number}", participants=EVERYBODY), f"opening {number}", DESK)
        for _ in store.starts():
            pass
        for step in list(store.running):
            store.ends(step, Waits(BEGIN + 60))
        store.commit()
        assert f"o-{number}" in store.ledger.journals
        assert len(store.ledger.journals) <= 10


def test_the_saga_that_was_changed_last_stays_decoded_the_longest() -> None:
    till = Bench(TILL, decoded_most=10)
    for number in range(10):
        till.hears(OrderOpened(saga_id=f"o-{number}", participants=EVERYBODY), f"opening {number}", DESK)
        till.commit()
    till.hears(CustomerGreeted(saga_id="o-0"), "greeted", TILL)
    till.hears(OrderOpened(saga_id="o-10", participants=EVERYBODY), "opening 10", DESK)
    till.commit()
    assert list(till.ledger.journals) == ["o-7", "o-8", "o-9", "o-0", "o-10"]


def test_of_those_that_may_start_the_next_ones_stay_decoded() -> None:
    store = Bench(STORE, decoded_most=10)
    for number in range(30):
        store.hears(OrderOpened(saga_id=f"o-{number}", participants=EVERYBODY), f"opening {number}", DESK)
    store.commit()
    assert list(store.ledger.journals) == [f"o-{number}" for number in range(5)]
    assert {work.journal.saga_id for work in store.ledger.startable(store.now, 100)} == {f"o-{n}" for n in range(30)}
    assert len(store.ledger.journals) == 30
    store.commit()
    assert len(store.ledger.journals) == 30


def test_a_journal_that_is_forgotten_and_changed_in_one_transaction_is_kept() -> None:
    desk = Bench(DESK)
    desk.hears(CANCEL, "cancel")
    desk.starts()
    desk.commit()
    desk.now += 366 * 86_400
    desk.ledger.fire(desk.now)
    desk.hears(PLACE, "place")
    desk.commit()
    assert desk.open_items == ["place_order"]


def test_journals_are_small_and_plain_msgpack() -> None:
    store = Bench(STORE)
    store.opens()
    store.commit()
    assert msgspec.msgpack.decode(store.state[SAGA])["saga_id"] == SAGA


def test_a_saga_that_has_ended_is_forgotten_in_the_end() -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.hears(OrderCompleted(saga_id=SAGA))
    desk.commit()
    assert desk.ledger.journal(SAGA) is not None
    desk.now += 366 * 86_400
    desk = desk.reopened()
    desk.starts()
    desk.commit()
    assert (desk.ledger.journal(SAGA), desk.state) == (None, {})


def test_a_saga_that_never_began_is_forgotten_in_the_end() -> None:
    desk = Bench(DESK)
    desk.hears(CancelOrder(saga_id=SAGA), "cancel")
    desk.starts()
    desk.commit()
    assert desk.ledger.journal(SAGA) is not None
    desk.now += 366 * 86_400
    desk = desk.reopened()
    desk.starts()
    desk.commit()
    assert (desk.ledger.journal(SAGA), desk.state) == (None, {})
