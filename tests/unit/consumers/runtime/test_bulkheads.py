"""Bulkheads: how much may be under way at a dependency, and how fast; in a worker and through its ledger."""

import asyncio

import pytest

from consumers.runtime.breakers import FAILURES_IN_A_ROW, OPEN_SECONDS, Breaker
from consumers.runtime.bulkheads import DEFAULT, Bulkheads
from consumers.runtime.finishing import Blocked
from consumers.runtime.graph import Step
from producers.settings import Bulkhead
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, Bench
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, OrderOpened, Shelves

RESERVE, PRINT, RELEASE = ORDER.steps["reserve_stock"], ORDER.steps["print_label"], ORDER.steps["reserve_stock"].undo


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> float:
        return self.now


def begun(bulkheads: Bulkheads, step: Step) -> int:
    """Begin as many as there is room for."""
    count = 0
    while bulkheads.has_room(step):
        bulkheads.enter(step)
        count += 1
    return count


def test_no_more_than_the_limit_are_under_way_and_whoever_leaves_makes_room() -> None:
    bulkheads = Bulkheads({"Shelves": Bulkhead(concurrent=3)}, Clock())
    assert begun(bulkheads, RESERVE) == 3
    bulkheads.leave(RESERVE)
    assert begun(bulkheads, RESERVE) == 1


def test_a_dependency_without_a_limit_of_its_own_has_the_default_one() -> None:
    assert begun(Bulkheads({}, Clock()), RESERVE) == DEFAULT.concurrent


def test_a_full_dependency_leaves_the_others_their_room() -> None:
    bulkheads = Bulkheads({"Shelves": Bulkhead(concurrent=1)}, Clock())
    assert begun(bulkheads, RESERVE) == 1
    assert bulkheads.has_room(PRINT)


def test_a_step_and_its_compensation_share_the_places_at_their_dependency() -> None:
    bulkheads = Bulkheads({"Shelves": Bulkhead(concurrent=1)}, Clock())
    assert RELEASE is not None
    bulkheads.enter(RELEASE)
    assert not bulkheads.has_room(RESERVE)
    bulkheads.leave(RELEASE)
    assert bulkheads.has_room(RESERVE)


@pytest.mark.parametrize(("per_second", "at_once"), [(4, 4), (1, 1), (0.5, 1)])
def test_no_more_begin_at_once_than_the_rate_of_a_second(per_second: float, at_once: int) -> None:
    assert begun(Bulkheads({"Shelves": Bulkhead(per_second=per_second)}, Clock()), RESERVE) == at_once


@pytest.mark.parametrize(("per_second", "in_ten_seconds"), [(4, 4 + 40), (0.5, 1 + 5)])
def test_over_time_as_many_begin_as_the_rate_allows(per_second: float, in_ten_seconds: int) -> None:
    clock = Clock()
    bulkheads = Bulkheads({"Shelves": Bulkhead(per_second=per_second)}, clock)
    count = begun(bulkheads, RESERVE)
    for _ in range(80):
        clock.now += 0.125
        count += begun(bulkheads, RESERVE)
    assert count == in_ten_seconds


def test_an_idle_hour_is_not_made_up_for() -> None:
    clock = Clock()
    bulkheads = Bulkheads({"Shelves": Bulkhead(per_second=4)}, clock)
    begun(bulkheads, RESERVE)
    clock.now += 3_600
    assert begun(bulkheads, RESERVE) == 4


def test_an_item_without_room_has_not_begun_and_the_other_steps_of_its_saga_pass_it_by() -> None:
    bulkheads = Bulkheads({"Shelves": Bulkhead(concurrent=1)}, Clock())
    store = Bench(STORE)
    for saga in ("one", "two"):
        store.hears(OrderOpened(saga_id=saga, participants=EVERYBODY), f"opening {saga}", DESK)
    works = store.ledger.startable(store.now, 100, bulkheads)
    assert sorted((work.journal.saga_id, work.item.step) for work in works) == [
        ("one", "print_label"),
        ("one", "reserve_stock"),
        ("two", "print_label"),
    ]
    (held,) = (item for item in store.ledger.journals["two"].items.values() if item.step == "reserve_stock")
    assert (held.state, held.attempt, held.started_at) == ("ready", 1, None)
    assert store.ledger.is_held_back()
    bulkheads.leave(RESERVE)
    (work,) = store.ledger.startable(store.now, 100, bulkheads)
    assert work.item is held
    assert not store.ledger.is_held_back()
    assert bulkheads.running == {"Shelves": 1, "Printer": 2}


def test_the_breaker_of_one_dependency_leaves_the_others_their_room() -> None:
    clock = Clock()
    shelves = Breaker("Shelves", clock)
    bulkheads = Bulkheads({}, clock, {Shelves: shelves})
    assert bulkheads.down(RESERVE) is None
    open_breaker(shelves)
    assert (bulkheads.has_room(RESERVE), bulkheads.has_room(PRINT)) == (False, True)
    assert bulkheads.down(RESERVE) == Blocked(
        "Shelves (ConnectionError: refused) is down; its breaker is open", BEGIN + OPEN_SECONDS
    )
    assert bulkheads.down(PRINT) is None
    clock.now += OPEN_SECONDS
    assert begun(bulkheads, RESERVE) == 1


def open_breaker(breaker: Breaker) -> None:
    """Its port fails until it opens."""

    async def fail() -> None:
        raise ConnectionError("refused")

    for _ in range(FAILURES_IN_A_ROW):
        with pytest.raises(ConnectionError):
            asyncio.run(breaker.calling(fail))
