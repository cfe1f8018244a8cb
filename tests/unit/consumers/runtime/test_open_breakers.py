"""What waits behind an open breaker: it is told once, spends nothing, counts as nothing, and starts when it closes."""

import asyncio
import contextlib
from collections import Counter
from typing import Any

import pytest

from consumers.runtime.backlog import TOLD_AT_ONCE
from consumers.runtime.breakers import FAILURES_IN_A_ROW, OPEN_SECONDS, Breaker
from consumers.runtime.bulkheads import Bulkheads
from consumers.runtime.graph import Step, Undo
from consumers.runtime.journal import decoded
from consumers.runtime.memory import PLACES_MAX, Work
from producers.settings import Bulkhead
from schemas.engine import Settled
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, Bench
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    ORDER,
    STORE,
    TILL,
    LabelPrinted,
    LabelTorn,
    OrderExpired,
    OrderOpened,
    Printer,
    Shelves,
    StockReserved,
)

RESERVE, PRINT = ORDER.steps["reserve_stock"], ORDER.steps["print_label"]
DELAYED = "order.step.delayed"


class Stock:
    """A store whose shelves and printer are behind breakers; the test says how the shelves answer."""

    def __init__(self, limits: dict[str, Bulkhead] | None = None) -> None:
        self.bench = Bench(STORE, decoded_most=0)
        self.refused: Counter[str] = Counter()
        self.shelves, self.printer = (Breaker(name, lambda: self.bench.now) for name in ("Shelves", "Printer"))
        self.room = Bulkheads(limits or {}, lambda: self.bench.now, {Shelves: self.shelves, Printer: self.printer})

    def call(self, breaker: Breaker, fails: bool) -> None:
        """One call of the dependency, which fails or does not."""

        async def answer() -> None:
            if fails:
                raise ConnectionError("refused")

        asyncio.run(self._call(breaker, answer))

    async def _call(self, breaker: Breaker, answer: Any) -> None:
        with contextlib.suppress(ConnectionError):
            await breaker.calling(answer)

    def opens_breaker(self) -> None:
        """The shelves fail so often that their breaker opens."""
        for _ in range(FAILURES_IN_A_ROW):
            self.call(self.shelves, fails=True)
        assert self.shelves.is_open

    def opens(self, number: int, prefix: str = "o", tenant: str = "acme") -> None:
        """So many sagas begin."""
        for index in range(number):
            saga = f"{prefix}-{index}"
            opened = OrderOpened(saga_id=saga, participants=EVERYBODY)
            self.bench.hears(opened, f"opening {saga}", DESK, tenant=tenant)

    def starts(self, most: int = 1_000) -> list[Work]:
        """What starts now and goes on; what meets an open breaker is refused there, and counted in `refused`."""
        self.bench.ledger.fire(self.bench.now)
        works = self.bench.ledger.startable(self.bench.now, most, self.room)
        return [work for work in works if not self._is_refused(work)]

    def _is_refused(self, work: Work) -> bool:
        down = self.room.down(work.owner)
        if down is None or self.bench.now >= down.until:
            return False
        self.refused[work.journal.saga_id] += 1
        self.leaves(work.owner)
        self.bench.running[work.owner.name] = work
        self.bench.ends(work.owner.name, down)
        return True

    def steps_that_start(self) -> list[str]:
        """Their names, sorted."""
        return sorted(work.owner.name for work in self.starts())

    def ends(self, work: Work) -> None:
        """The item has done its work."""
        saga = work.journal.saga_id
        event = StockReserved(saga_id=saga) if work.owner is RESERVE else LabelPrinted(saga_id=saga)
        self.leaves(work.owner)
        self.bench.running[work.owner.name] = work
        self.bench.says(work.owner.name, event)

    def leaves(self, owner: Step | Undo) -> None:
        """An attempt is over."""
        self.room.leave(owner)


@pytest.fixture
def stock() -> Stock:
    return Stock()


def test_while_a_breaker_is_open_its_step_is_tried_once_for_each_saga_and_the_other_steps_start(stock: Stock) -> None:
    stock.opens_breaker()
    stock.opens(3)
    assert stock.steps_that_start() == ["print_label"] * 3
    for _ in range(9):
        assert stock.steps_that_start() == []
        stock.bench.now += OPEN_SECONDS / 10
    assert stock.refused == {"o-0": 1, "o-1": 1, "o-2": 1}


def test_a_saga_that_can_do_without_the_dependency_passes_those_that_cannot(stock: Stock) -> None:
    stock.opens_breaker()
    stock.opens(TOLD_AT_ONCE + 50)
    stock.starts()
    stock.opens(1, "other")
    (work,) = (
        work
        for _ in range(2)
        for work in stock.bench.ledger.startable(stock.bench.now, 1_000, stock.room)
        if (work.journal.saga_id, work.owner) == ("other-0", RESERVE)
    )
    stock.ends(work)
    assert "order.stock.reserved" in stock.bench.commit()


def test_what_is_tried_takes_no_place_at_a_dependency_that_is_down_and_no_more_than_there_are_elsewhere() -> None:
    stock = Stock({"Shelves": Bulkhead(concurrent=2)})
    assert stock.room.places(RESERVE) == 2
    stock.room.enter(RESERVE)
    assert stock.room.places(RESERVE) == 1
    stock.room.enter(RESERVE)
    assert stock.room.places(RESERVE) == 0
    stock.opens_breaker()
    assert stock.room.places(RESERVE) == PLACES_MAX


def test_no_more_are_tried_at_once_than_may_be_under_way(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    stock.opens_breaker()
    stock.opens(10)
    assert len(stock.bench.ledger.startable(stock.bench.now, 3, stock.room)) == 3
    monkeypatch.setattr(stock.room, "places", lambda owner: 2)
    stock.starts()
    assert stock.refused.total() == 2


def test_each_saga_is_told_once_what_it_waits_for_and_nothing_of_its_budget_is_spent(stock: Stock) -> None:
    stock.opens_breaker()
    stock.opens(3)
    for _ in range(5):
        stock.starts()
        stock.bench.commit()
        stock.bench.now += 0.5
    told = stock.bench.bodies(DELAYED)
    assert sorted(one["saga_id"] for one in told) == ["o-0", "o-1", "o-2"]
    assert {(one["step"], one["attempt"], one["cause"]) for one in told} == {
        ("reserve_stock", 1, "Shelves (ConnectionError: refused) is down; its breaker is open")
    }
    for number in range(3):
        journal = stock.bench.ledger.journal(f"o-{number}")
        assert journal is not None
        (item,) = (item for item in journal.items.values() if item.step == "reserve_stock")
        assert (item.state, item.attempt, item.budget, item.unknown_until) == ("delayed", 1, 3, 0.0)


def test_what_a_suspect_was_told_without_a_call_is_stored_with_it(stock: Stock) -> None:
    stock.opens_breaker()
    opened = OrderOpened(saga_id="o-1", participants=EVERYBODY)
    stock.bench.hears(opened, "opening", DESK, ending="crashed")
    stock.bench.commit()
    stock.bench.ledger.try_suspects(all_of_them=True, in_turn=False)
    for _ in range(2):
        stock.starts()
    assert [one["step"] for one in stock.bench.bodies(DELAYED)] == [] and stock.refused == {}
    stock.bench.commit()
    assert [one["step"] for one in stock.bench.bodies(DELAYED)] == ["reserve_stock"]
    (item,) = (item for item in decoded(stock.bench.state["o-1"]).items.values() if item.step == "reserve_stock")
    assert item.cause == "Shelves (ConnectionError: refused) is down; its breaker is open"


def test_what_was_told_in_a_former_life_is_not_told_again(stock: Stock) -> None:
    stock.opens_breaker()
    stock.opens(3)
    stock.starts()
    stock.bench.commit()
    stock.bench = stock.bench.reopened()
    stock.starts()
    assert DELAYED not in stock.bench.commit()


def test_what_waits_for_its_turn_when_a_breaker_opens_is_told_as_well_part_by_part() -> None:
    stock = Stock({"Shelves": Bulkhead(concurrent=1)})
    stock.opens(TOLD_AT_ONCE * 2 + 11)
    # All labels are printed, one shelf is looked for; the others wait for their turn.
    assert len(stock.starts()) == TOLD_AT_ONCE * 2 + 12
    stock.bench.commit()
    stock.opens_breaker()
    counts = []
    for _ in range(3):
        assert stock.bench.ledger.is_held_back()
        stock.starts()
        counts.append(stock.bench.commit().count(DELAYED))
    assert counts == [TOLD_AT_ONCE, TOLD_AT_ONCE, 10]
    assert stock.starts() == []
    assert not stock.bench.ledger.is_held_back()


def test_what_waits_behind_an_open_breaker_does_not_count_in_the_backlog(stock: Stock) -> None:
    stock.opens(50)
    stock.starts(most=0)
    with_room_bytes = stock.bench.ledger.backlog_bytes()
    stock.opens_breaker()
    stock.starts(most=0)
    assert stock.bench.ledger.backlog_bytes() == pytest.approx(with_room_bytes / 2, rel=0.1)
    assert len(stock.starts()) == 50
    assert stock.bench.ledger.backlog_bytes() == 0


def test_a_lane_with_nothing_but_an_open_breaker_need_not_look_before_the_next_probe(stock: Stock) -> None:
    stock.opens(1)
    works = stock.starts()
    for work in works:
        if work.owner is PRINT:
            stock.ends(work)
    stock.opens_breaker()
    stock.opens(1, "later")
    assert stock.steps_that_start() == ["print_label"]
    assert stock.starts() == []
    assert not stock.bench.ledger.is_held_back()
    assert stock.bench.ledger.next_due() == BEGIN + OPEN_SECONDS


def test_once_the_retry_time_has_come_one_probe_starts_at_a_time(stock: Stock) -> None:
    stock.opens_breaker()
    stock.opens(5)
    assert len(stock.starts()) == 5
    stock.bench.now += OPEN_SECONDS
    (probe,) = stock.starts()
    assert probe.owner is RESERVE
    assert stock.starts() == []
    # Another lane of the worker may probe as well; this one must come back to see how that ended.
    assert stock.bench.ledger.is_held_back()
    stock.call(stock.shelves, fails=True)
    stock.leaves(RESERVE)
    stock.bench.now += OPEN_SECONDS - 0.1
    assert stock.starts() == []
    stock.bench.now += 0.1
    assert len(stock.starts()) == 1


def test_all_that_waited_starts_when_the_breaker_closes_tenant_by_tenant(stock: Stock) -> None:
    stock.opens_breaker()
    stock.opens(20, "large", "large")
    assert len(stock.starts()) == 20
    # One of them may be the probe.
    stock.opens(5, "small", "small")
    assert stock.steps_that_start() == ["print_label"] * 5
    stock.bench.now += OPEN_SECONDS
    (probe,) = stock.starts()
    stock.call(stock.shelves, fails=False)
    stock.ends(probe)
    first, second = stock.starts(most=1) + stock.starts(most=1)
    assert {first.journal.tenant, second.journal.tenant} == {"large", "small"}
    assert len(stock.starts()) == 22


def test_a_probe_that_calls_nothing_makes_room_for_the_next_one(stock: Stock) -> None:
    stock.opens_breaker()
    stock.opens(2)
    stock.starts()
    stock.bench.now += OPEN_SECONDS
    (probe,) = stock.starts()
    stock.ends(probe)
    assert [work.owner.name for work in stock.starts()] == ["reserve_stock"]


def test_a_probe_that_never_calls_while_others_are_under_way_does_not_keep_the_next_one_away(stock: Stock) -> None:
    stock.opens(1, "slow")
    assert len(stock.starts()) == 2
    stock.opens_breaker()
    stock.opens(2)
    stock.starts()
    stock.bench.now += OPEN_SECONDS
    assert len(stock.starts()) == 1
    assert stock.starts() == []
    stock.bench.now += OPEN_SECONDS
    assert len(stock.starts()) == 1


def test_what_is_tried_before_a_probe_is_due_keeps_no_probe_away(stock: Stock) -> None:
    stock.opens_breaker()
    stock.bench.now += OPEN_SECONDS - 0.1
    stock.room.enter(RESERVE)
    assert not stock.room.has_room(RESERVE)
    stock.bench.now += 0.1
    assert stock.room.has_room(RESERVE)


def test_a_compensation_waits_behind_its_breaker_and_is_told_once(stock: Stock) -> None:
    stock.opens(1)
    for work in stock.starts():
        stock.ends(work)
    stock.bench.hears_itself()
    stock.opens_breaker()
    stock.bench.hears(OrderExpired(saga_id="o-0"), "expired", DESK)
    for name in (DESK, TILL):
        stock.bench.hears(Settled(saga_id="o-0", participant=name, undone=0), f"settled {name}", name)
    undone = []
    for _ in range(6):
        for work in stock.starts():
            undone.append(work.owner.name)
            stock.leaves(work.owner)
            stock.bench.running[work.owner.name] = work
            stock.bench.says(work.owner.name, LabelTorn(saga_id="o-0"))
    stock.bench.commit()
    assert undone == ["tear_label"]
    assert [one["step"] for one in stock.bench.bodies(DELAYED)] == ["release_stock"]


def test_a_second_opening_tells_nothing_again_of_what_has_not_started_since(stock: Stock) -> None:
    stock.opens_breaker()
    stock.opens(5)
    stock.starts()
    assert stock.bench.commit().count(DELAYED) == 5
    stock.bench.now += OPEN_SECONDS
    stock.call(stock.shelves, fails=False)
    assert not stock.shelves.is_open
    assert [work.owner.name for work in stock.starts(most=1)] == ["reserve_stock"]
    stock.opens_breaker()
    stock.starts()
    assert DELAYED not in stock.bench.commit()


def test_what_waits_behind_a_breaker_is_no_suspect_that_others_wait_for(stock: Stock) -> None:
    stock.opens_breaker()
    stock.opens(5)
    stock.bench.commit()
    stock.bench = stock.bench.reopened("crashed")
    stock.starts()
    # It is told and not tried: a suspect runs alone, when its turn comes.
    assert (stock.refused, stock.bench.commit().count(DELAYED)) == ({}, 5)
    stock.bench.ledger.try_suspects(all_of_them=True, in_turn=False)
    assert len(stock.starts()) == 5
    assert not stock.bench.ledger.has_suspects()
