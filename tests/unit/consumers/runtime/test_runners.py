"""Runners: an item that waits holds nobody up, one that does not wait costs no task, and all come to an end."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

from consumers.runtime.finishing import Broke, Outcome, Spoke
from consumers.runtime.memory import Work
from consumers.runtime.runners import Runners


class Ran:
    """Runners, and what came of the items; `run` is given the item's id."""

    def __init__(self, run: Callable[[str], Awaitable[Outcome]]) -> None:
        self.ended: list[tuple[str, Outcome]] = []
        self.tasks: set[asyncio.Task[Any] | None] = set()

        async def run_item(work: Work) -> Outcome:
            self.tasks.add(asyncio.current_task())
            return await run(work.item.id)

        self.runners = Runners("lane", run_item, lambda work, outcome: self.ended.append((work.item.id, outcome)))

    def start(self, *ids: str) -> None:
        self.runners.start([work(one) for one in ids])

    @property
    def ids(self) -> list[str]:
        return [one for one, _ in self.ended]


def work(item_id: str) -> Work:
    return cast("Work", SimpleNamespace(item=SimpleNamespace(id=item_id), owner=None))


async def until(condition: Callable[[], object]) -> None:
    """Let others run until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_a_hundred_items_that_never_wait_are_run_by_one_task() -> None:
    there = []

    async def run(item_id: str) -> Outcome:
        there.append(len(asyncio.all_tasks()))
        return Spoke(None)

    ran, before = Ran(run), len(asyncio.all_tasks())
    ran.start(*(str(number) for number in range(100)))
    await until(lambda: len(ran.ended) == 100)
    assert len(ran.tasks) == 1
    assert max(there) == before + 1
    assert ran.ids == [str(number) for number in range(100)]
    assert len(ran.runners) == 0


async def test_an_item_that_waits_holds_up_none_of_those_behind_it() -> None:
    go_on = asyncio.Event()

    async def run(item_id: str) -> Outcome:
        if item_id.startswith("slow"):
            await go_on.wait()
        return Spoke(None)

    ran = Ran(run)
    ran.start("slow 1", "quick 1", "slow 2", "slow 3", "quick 2")
    await until(lambda: ran.ids == ["quick 1", "quick 2"])
    ran.start("quick 3")
    await until(lambda: ran.ids == ["quick 1", "quick 2", "quick 3"])
    assert len(ran.runners) == 3
    go_on.set()
    await until(lambda: len(ran.ended) == 6)


async def test_what_is_started_one_by_one_waits_side_by_side() -> None:
    go_on, waiting = asyncio.Event(), []

    async def run(item_id: str) -> Outcome:
        waiting.append(item_id)
        await go_on.wait()
        return Spoke(None)

    ran = Ran(run)
    for number in range(20):
        ran.start(str(number))
    await until(lambda: len(waiting) == 20)
    go_on.set()
    await until(lambda: len(ran.ended) == 20)


async def test_a_mistake_of_ours_ends_the_item_and_not_the_runner() -> None:
    async def run(item_id: str) -> Outcome:
        if item_id == "odd":
            raise LookupError("a mistake")
        return Spoke(None)

    ran = Ran(run)
    ran.start("odd", "even")
    await until(lambda: len(ran.ended) == 2)
    (_, outcome), (_, other) = ran.ended
    assert isinstance(outcome, Broke) and outcome.permanent and "a mistake" in outcome.cause
    assert other == Spoke(None)


async def test_a_cancelled_item_is_stopped_given_back_and_heard_of_no_more() -> None:
    begun, stopped = [], []

    async def run(item_id: str) -> Outcome:
        begun.append(item_id)
        if item_id == "next":
            return Spoke(None)
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(item_id)
        return Spoke(None)

    ran = Ran(run)
    ran.start("one", "two")
    await until(lambda: len(ran.tasks) == 2)
    ran.start("never begun")
    dropped = await ran.runners.cancel()
    assert sorted(one.item.id for one in dropped) == ["never begun", "one", "two"]
    assert sorted(stopped) == ["one", "two"]
    assert ran.ended == [] and len(ran.runners) == 0
    ran.start("next")
    await until(lambda: ran.ids == ["next"])
    assert begun == ["one", "two", "next"]


async def test_those_that_run_are_waited_for_those_that_have_only_begun_to_be_started_too() -> None:
    events = {"brief": asyncio.Event(), "long": asyncio.Event()}

    async def run(item_id: str) -> Outcome:
        await events[item_id].wait()
        return Spoke(None)

    ran = Ran(run)
    ran.start("brief", "long")
    for seconds, event in enumerate(events.values()):
        asyncio.get_running_loop().call_later(0.01 + 0.05 * seconds, event.set)
    await ran.runners.ended(seconds=5)
    assert sorted(ran.ids) == ["brief", "long"]


async def test_nobody_is_waited_for_longer_than_asked() -> None:
    async def run(item_id: str) -> Outcome:
        await asyncio.Event().wait()
        return Spoke(None)

    ran = Ran(run)
    ran.start("endless")
    async with asyncio.timeout(5):
        await ran.runners.ended(seconds=0.02)
    assert len(ran.runners) == 1
    await ran.runners.cancel()


async def test_a_runner_that_did_not_stop_when_it_was_told_takes_nothing_of_what_is_started_later() -> None:
    deaf_may_end, blocker = asyncio.Event(), asyncio.Event()

    async def run(item_id: str) -> Outcome:
        if item_id == "deaf":
            while not deaf_may_end.is_set():
                try:
                    await deaf_may_end.wait()
                except asyncio.CancelledError:
                    deaf_may_end.set()
        elif item_id == "blocks":
            await blocker.wait()
        return Spoke(None)

    ran = Ran(run)
    ran.start("deaf")
    await until(lambda: ran.tasks)
    (deaf,) = ran.tasks
    cancelling = asyncio.create_task(ran.runners.cancel())
    await asyncio.sleep(0)
    ran.start("next")
    await cancelling
    await until(lambda: ran.ids == ["next"])
    assert deaf is not None and deaf.done()
    assert len(ran.tasks) == 2
