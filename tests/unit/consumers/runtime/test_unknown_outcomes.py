"""An undo starts no sooner than the last moment at which an attempt that no life saw end can have its effect."""

import msgspec
import pytest

from consumers.runtime.finishing import Spoke
from consumers.runtime.former_life import Ending, ending_of
from consumers.runtime.transport import Position
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    STORE,
    TILL,
    LabelPrinted,
    OrderExpired,
    OrderOpened,
    StockReleased,
    StockReserved,
)

UNCLEAN: list[Ending] = ["lost", "crashed"]
# Those of print_label and reserve_stock.
LABEL_SECONDS, STOCK_SECONDS = 5.0, 20.0


def begun() -> Bench:
    """A store whose two steps are running, as of the last transaction."""
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.commit()
    return store


def undo_moments(store: Bench) -> dict[str, float]:
    """When each undo starts, in seconds after now, once the saga has failed."""
    store.expires()
    store.hears_settled(DESK, TILL)
    started: dict[str, float] = {}
    since = store.now
    while not store.journal.has_settled:
        assert store.now < since + 60
        for step in store.starts(tried=False):
            started[step] = store.now - since
            store.says(step, None)
        store.now += 0.5
    return started


@pytest.mark.parametrize(
    ("position", "ending"),
    [
        (None, "clean"),
        (Position({}, clean=True, owner="other"), "clean"),
        (Position({}, owner="me"), "lost"),
        (Position({}, owner="other"), "crashed"),
    ],
)
def test_how_a_life_ended_is_told_by_the_position_that_it_left(position: Position | None, ending: Ending) -> None:
    assert ending_of(position, "me") == ending


@pytest.mark.parametrize("ending", UNCLEAN)
def test_an_undo_waits_from_the_opening_that_follows_an_unclean_close(ending: Ending) -> None:
    store = begun()
    store.now += 100
    store = store.reopened(ending)
    store.now += 1
    moments = undo_moments(store)
    assert moments["tear_label"] == pytest.approx(LABEL_SECONDS - 1, abs=0.5)
    assert moments["release_stock"] == pytest.approx(STOCK_SECONDS - 1, abs=0.5)


@pytest.mark.parametrize("ending", UNCLEAN)
def test_what_was_ready_in_the_last_transaction_may_have_begun_after_it(ending: Ending) -> None:
    store = Bench(STORE)
    store.opens()
    store.commit()
    assert undo_moments(store.reopened(ending))["release_stock"] == pytest.approx(STOCK_SECONDS, abs=0.5)


def test_what_was_ready_at_a_clean_close_has_not_begun() -> None:
    store = Bench(STORE)
    store.opens()
    store.commit()
    assert undo_moments(store.reopened("clean")) == {"tear_label": 0.0, "release_stock": 0.5}


@pytest.mark.parametrize("ending", UNCLEAN)
def test_what_stood_in_the_backlog_may_have_begun_and_waits_though_its_end_is_old(ending: Ending) -> None:
    store = Bench(STORE)
    store = store.reopened(ending)
    long_ago = store.now - 1_000
    store.hears(OrderOpened(saga_id=SAGA, participants=EVERYBODY), "opening", DESK, at=long_ago, ending=ending)
    store.hears(OrderExpired(saga_id=SAGA), "expired", DESK, at=long_ago + 1, ending=ending)
    assert store.starts() == []
    store.now += LABEL_SECONDS + 0.1
    assert store.starts() == ["tear_label"]


@pytest.mark.parametrize("ending", UNCLEAN)
def test_a_repeated_attempt_that_succeeds_at_once_does_not_shorten_the_wait_for_the_first_one(ending: Ending) -> None:
    store = begun().reopened(ending)
    store.starts()
    store.says("reserve_stock", StockReserved(saga_id=SAGA))
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    store.hears_itself()
    store.commit()
    # The unknown attempt outlives a clean close as well.
    moments = undo_moments(store.reopened("clean"))
    assert moments["release_stock"] == pytest.approx(STOCK_SECONDS, abs=0.5)


@pytest.mark.parametrize("outcome", ["refused", "silent", "broke"])
def test_whatever_a_repeated_attempt_leads_to_the_first_one_is_undone_when_its_time_has_passed(outcome: str) -> None:
    store = begun().reopened("lost")
    store.starts()
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    if outcome == "refused":
        # As any event but the one that the undo takes back.
        store.ends("reserve_stock", Spoke(StockReleased(saga_id=SAGA)))
    elif outcome == "silent":
        store.ends("reserve_stock", Spoke(None))
    else:
        store.breaks("reserve_stock")
    moments = undo_moments(store)
    assert moments["release_stock"] == pytest.approx(STOCK_SECONDS, abs=0.5)


def test_a_refusal_is_no_effect_once_no_other_attempt_can_have_one() -> None:
    store = begun().reopened("lost")
    store.starts()
    store.says("print_label", LabelPrinted(saga_id=SAGA))
    # Its last moment has come: what the former attempt could do it has done.
    store.now += STOCK_SECONDS
    store.ends("reserve_stock", Spoke(StockReleased(saga_id=SAGA)))
    assert "release_stock" not in undo_moments(store)


def test_a_later_opening_that_is_unclean_too_makes_the_undo_wait_longer() -> None:
    store = begun().reopened("lost")
    store.starts()
    store.commit()
    store.now += 10
    assert undo_moments(store.reopened("lost"))["release_stock"] == pytest.approx(STOCK_SECONDS, abs=0.5)


def test_an_attempt_that_was_seen_to_end_has_no_unknown_outcome() -> None:
    store = begun()
    store.breaks("print_label")
    store.breaks("reserve_stock")
    store.commit()
    assert undo_moments(store.reopened("lost"))["tear_label"] == 0.0


def test_an_attempt_that_was_due_may_have_begun() -> None:
    store = begun()
    store.breaks("reserve_stock")
    store.commit()
    due = store.item("reserve_stock").due
    assert due is not None
    store.now = due + 0.1
    assert undo_moments(store.reopened("lost"))["release_stock"] == pytest.approx(STOCK_SECONDS, abs=0.5)


def test_only_a_crash_makes_suspects() -> None:
    assert begun().reopened("lost").starts(tried=False) == ["reserve_stock", "print_label"]
    assert begun().reopened("crashed").starts(tried=False) == []


def test_a_journal_keeps_until_when_an_outcome_is_unknown() -> None:
    store = begun().reopened("lost")
    store.commit()
    assert BEGIN + STOCK_SECONDS in [one["unknown_until"] for one in _items(store) if "unknown_until" in one]


def _items(store: Bench) -> list[dict[str, float]]:
    return list(msgspec.msgpack.decode(store.state[SAGA])["items"].values())
