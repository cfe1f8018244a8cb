"""A worker that can no longer prove that it owns a lane acts for it no more, wherever its attempt stands."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from consumers.runtime.calling import Caller
from consumers.runtime.finishing import Blocked, Outcome, Spoke
from consumers.runtime.heartbeats import proving_heartbeat
from consumers.runtime.lease import Lease, Membership, NotOwned
from consumers.runtime.memory import Work
from consumers.runtime.steps import StepFunction
from tests.unit.consumers.runtime.bench import BEGIN, SAGA, Bench
from tests.unit.consumers.runtime.small_saga import ORDER, STORE, Printer, Shelves, StockReserved
from tests.unit.consumers.runtime.test_lane import EVENTS, opening
from tests.unit.consumers.runtime.wire import Line, Places, until

SESSION_SECONDS = 6.0


class Shelf:
    """A far side that takes two awaits for each call; it counts what it was asked for and what it did."""

    def __init__(self) -> None:
        self.asked, self.done = 0, 0
        self.at_await: Callable[[int], None] = lambda number: None
        self._awaits = 0

    async def _await(self) -> None:
        await asyncio.sleep(0)
        self._awaits += 1
        self.at_await(self._awaits)
        await asyncio.sleep(0)

    async def reserve(self, key: str) -> str:
        self.asked += 1
        await self._await()
        self.done += 1
        return "B2"


def outcome_of(function: StepFunction, shelf: Shelf, lease: Lease) -> Outcome:
    """How an item ends that calls the shelf under this lease."""
    bench = Bench(STORE)
    bench.opens()
    bench.starts()
    work = bench.running["reserve_stock"]
    owner = replace(work.owner, function=function)
    ports: dict[type, object] = {Shelves: shelf, Printer: object()}

    async def call() -> Outcome:
        return await Caller(ORDER, ports, lambda: BEGIN)(Work(work.journal, work.item, owner, lease=lease))

    return asyncio.run(call())


async def twice(shelves: Shelf, **_: Any) -> StockReserved:
    await shelves.reserve("one")
    await asyncio.sleep(0)
    return StockReserved(saga_id=SAGA, shelf=await shelves.reserve("two"))


def test_an_attempt_under_a_lease_that_is_held_ends_as_ever() -> None:
    shelf = Shelf()
    assert isinstance(outcome_of(twice, shelf, Lease(lambda: True)), Spoke)
    assert shelf.done == 2


def test_without_a_lease_no_port_is_called_and_nothing_of_the_budget_is_spent() -> None:
    shelf = Shelf()
    outcome = outcome_of(twice, shelf, Lease(lambda: False))
    assert isinstance(outcome, Blocked)
    assert shelf.asked == 0


@pytest.mark.parametrize(("frozen_at", "asked", "done"), [(1, 1, 0), (2, 2, 1)])
def test_an_attempt_that_was_frozen_at_an_await_does_nothing_after_it(frozen_at: int, asked: int, done: int) -> None:
    shelf, held = Shelf(), [True]

    def freeze(number: int) -> None:
        held[0] = number != frozen_at

    shelf.at_await = freeze
    outcome = outcome_of(twice, shelf, Lease(lambda: held[0]))
    assert isinstance(outcome, Blocked)
    assert (shelf.asked, shelf.done) == (asked, done)


def test_a_step_that_catches_every_exception_does_not_catch_the_loss_of_its_lease() -> None:
    async def stubborn(shelves: Shelf, **_: Any) -> StockReserved:
        try:
            await shelves.reserve("one")
        except Exception:
            pytest.fail("it was told")
        return StockReserved(saga_id=SAGA)

    assert isinstance(outcome_of(stubborn, Shelf(), Lease(lambda: False)), Blocked)


def test_a_task_of_the_step_calls_no_port_without_a_lease() -> None:
    async def parallel(shelves: Shelf, **_: Any) -> StockReserved:
        await asyncio.gather(asyncio.create_task(shelves.reserve("a")), asyncio.create_task(shelves.reserve("b")))
        return StockReserved(saga_id=SAGA)

    shelf = Shelf()
    assert isinstance(outcome_of(parallel, shelf, Lease(lambda: False)), Blocked)
    assert shelf.asked == 0


def test_a_membership_is_proved_for_the_session_from_when_the_heartbeat_was_sent() -> None:
    now = [100.0]
    membership = Membership(SESSION_SECONDS, lambda: now[0])
    assert not membership.is_proved()
    sent_at = membership.now()
    now[0] += 2
    membership.prove(sent_at)
    now[0] += SESSION_SECONDS - 2.1
    assert membership.is_proved()
    now[0] += 0.2
    assert not membership.is_proved()


def test_an_older_proof_does_not_shorten_a_newer_one() -> None:
    membership = Membership(SESSION_SECONDS, lambda: 100.0)
    membership.prove(99.0)
    membership.prove(0.0)
    assert membership.is_proved()


def test_a_lease_that_was_given_back_is_held_no_more() -> None:
    lease = Lease(lambda: True)
    lease.check()
    lease.give_back()
    with pytest.raises(NotOwned):
        lease.check()


@pytest.mark.parametrize("is_member", [True, False])
async def test_only_a_heartbeat_that_the_broker_has_accepted_proves_the_membership(is_member: bool) -> None:
    now = [100.0]
    membership = Membership(SESSION_SECONDS, lambda: now[0])

    async def answered() -> bool:
        now[0] += SESSION_SECONDS - 1
        return is_member

    consumer: Any = SimpleNamespace(_coordinator=SimpleNamespace(_do_heartbeat=answered))
    heartbeat = proving_heartbeat(consumer, membership)
    assert await consumer._coordinator._do_heartbeat() is is_member
    assert membership.is_proved() is is_member
    now[0] += 1.1
    assert not membership.is_proved(), "it counts from when it was sent"
    assert await heartbeat() is is_member


async def test_what_a_lane_has_started_may_act_until_the_lane_lets_go_of_it() -> None:
    leases: list[Lease] = []
    let_go = asyncio.Event()

    async def slow(work: Work) -> Outcome:
        leases.append(work.lease)
        await let_go.wait()
        return Spoke(None)

    async with Line(STORE, slow, Places()) as store:
        store.hears(*opening())
        await until(lambda: len(leases) == 2)
        assert all(lease.is_held() for lease in leases)
        store.wire.is_owned = False
        assert not any(lease.is_held() for lease in leases)
        store.wire.is_owned = True
        # A transaction fails: the lane opens again, and what the lost life has started may act no more.
        store.wire.before_commit = _fails_once
        store.hears(*opening(2))
        await until(lambda: store.wire.opened == 2 and store.lane.is_live)
        lost = list(leases)
        assert not any(lease.is_held() for lease in lost)
        # The log brings again what was not committed.
        store.hears(*opening())
        store.hears(*opening(2))
        await until(lambda: len(leases) > len(lost))
        assert leases[-1].is_held()
    assert not any(lease.is_held() for lease in leases)
    assert store.wire.heard[EVENTS]


def _fails_once(number: int) -> None:
    if number == 2:
        raise OSError("Kafka is gone")
