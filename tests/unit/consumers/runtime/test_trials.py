"""After one crash all suspects run again; after several in a row half of them, in one lane of the worker at a time."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from consumers.runtime import trials
from consumers.runtime.memory import Memory
from consumers.runtime.timers import Mark
from consumers.runtime.trials import FORGIVEN_AFTER_SECONDS, Transactions, Trials
from tests.unit.consumers.runtime.wire import until


class Suspected:
    """As much of a memory as a trial asks for; what was admitted runs until the test ends it."""

    def __init__(self, *names: str) -> None:
        self.held = [(name, "i") for name in names]
        self.running: list[Mark] = []
        self.released: list[Mark] = []
        self.looks = 0

    def has_suspects(self) -> bool:
        return bool(self.held)

    def try_suspects(self, all_of_them: bool, in_turn: bool) -> list[Mark]:
        count = len(self.held) if all_of_them else (len(self.held) + 1) // 2
        started, self.held = self.held[:count], self.held[count:]
        self.running += started
        return started

    def is_suspect(self, mark: Mark) -> bool:
        self.looks += 1
        return mark in self.running

    def release(self, mark: Mark) -> None:
        self.running.remove(mark)
        self.released.append(mark)


class Court:
    """Trials that end with the test."""

    def __init__(self) -> None:
        self.lock, self.open = asyncio.Lock(), list[Trials]()
        self.transactions = Transactions()

    def begin(self, memory: Suspected, deaths: int) -> Trials:
        trial = Trials(self.lock, asyncio.Event(), self.transactions)
        trial.begin(cast("Memory", memory), deaths)
        self.open.append(trial)
        return trial


@pytest.fixture
async def court() -> AsyncIterator[Court]:
    made = Court()
    yield made
    for trial in made.open:
        await trial.cancel()


async def test_after_one_death_all_suspects_run_again_at_once(court: Court) -> None:
    memory = Suspected("a", "b", "c")
    court.begin(memory, deaths=1).go_on(0.0)
    assert len(memory.running) == 3


async def test_after_two_crashes_half_run_and_the_others_only_when_these_have_ended(court: Court) -> None:
    memory = Suspected("a", "b", "c")
    trial = court.begin(memory, deaths=2)
    trial.go_on(0.0)
    await until(lambda: memory.running)
    trial.go_on(0.0)
    await until(lambda: memory.looks > 3)
    assert memory.running == [("a", "i"), ("b", "i")]
    memory.running.pop(0)
    looks = memory.looks
    await until(lambda: memory.looks > looks + 3)
    assert memory.held == [("c", "i")]
    memory.running.clear()
    await until(lambda: memory.running == [("c", "i")])


async def test_of_two_lanes_of_a_worker_one_tries_a_suspect_at_a_time(court: Court) -> None:
    one, other = Suspected("a"), Suspected("b")
    court.begin(one, deaths=2).go_on(0.0)
    court.begin(other, deaths=2).go_on(0.0)
    await until(lambda: one.running)
    await until(lambda: one.looks > 3)
    assert other.running == []
    one.running.clear()
    await until(lambda: other.running)


async def test_a_suspect_that_runs_long_is_released_and_that_is_committed_before_the_next_one_starts(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "SUSPECT_SECONDS", 0.01)
    memory = Suspected("long", "next")
    # A transaction is under way that may have been taken before.
    court.transactions.begun = 1
    court.begin(memory, deaths=2).go_on(0.0)
    await until(lambda: memory.released == [("long", "i")])
    court.transactions.committed = 1
    for _ in range(20):
        await asyncio.sleep(trials.LOOK_EVERY_SECONDS)
    assert memory.held == [("next", "i")]
    court.transactions.begun = court.transactions.committed = 2
    await until(lambda: memory.held == [])


async def test_a_lane_that_lives_long_enough_without_suspects_is_forgiven_its_deaths(court: Court) -> None:
    trial = court.begin(Suspected(), deaths=3)
    trial.go_on(FORGIVEN_AFTER_SECONDS)
    assert trial.deaths == 3
    trial.go_on(FORGIVEN_AFTER_SECONDS + 1)
    assert trial.deaths == 0


async def test_a_lane_with_suspects_is_not_forgiven_however_long_it_lives(court: Court) -> None:
    trial = court.begin(Suspected("a", "b"), deaths=3)
    trial.go_on(FORGIVEN_AFTER_SECONDS + 1)
    assert trial.deaths == 3


async def test_a_life_that_ends_takes_its_trial_with_it(court: Court) -> None:
    memory = Suspected("a", "b")
    trial = court.begin(memory, deaths=2)
    trial.go_on(0.0)
    await until(lambda: memory.running)
    await trial.cancel()
    assert not court.lock.locked()
    memory.running.clear()
    other = Suspected("c")
    court.begin(other, deaths=2).go_on(0.0)
    await until(lambda: other.running)
    assert memory.held == [("b", "i")]
