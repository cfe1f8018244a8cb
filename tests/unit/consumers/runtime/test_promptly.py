"""`within`: a coroutine that does not wait has no time limit set up; one that does is held to it."""

import asyncio
from typing import Any

import pytest

from consumers.runtime.promptly import within


async def test_what_never_waits_is_returned_without_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncio.timeout", lambda seconds: pytest.fail("a time limit was set up"))

    async def prompt() -> int:
        return 7

    assert await within(0.0, prompt()) == 7


async def test_an_error_before_any_wait_is_raised_as_it_is() -> None:
    async def broken() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        await within(1.0, broken())


async def test_what_waits_several_times_goes_on_where_it_was() -> None:
    loop = asyncio.get_running_loop()

    async def waits() -> list[str]:
        answer: asyncio.Future[str] = loop.create_future()
        loop.call_soon(answer.set_result, "first")
        found = [await answer]
        await asyncio.sleep(0)
        other: asyncio.Future[str] = loop.create_future()
        loop.call_soon(other.set_exception, OSError("second"))
        try:
            await other
        except OSError as error:
            found.append(str(error))
        return found

    assert await within(5.0, waits()) == ["first", "second"]


async def test_an_error_after_a_wait_is_raised_as_it_is() -> None:
    async def broken() -> None:
        await asyncio.sleep(0)
        raise LookupError("later")

    with pytest.raises(LookupError, match="later"):
        await within(5.0, broken())


async def test_what_waits_too_long_is_cancelled_and_times_out() -> None:
    stopped = False

    async def endless() -> None:
        nonlocal stopped
        try:
            await asyncio.Event().wait()
        finally:
            stopped = True

    with pytest.raises(TimeoutError):
        await within(0.01, endless())
    assert stopped


async def test_a_timeout_of_the_coroutines_own_is_its_own() -> None:
    async def impatient() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "its own"
        return "none"

    # An inner limit set up before the first wait, and one set up after it.
    async def later() -> str:
        await asyncio.sleep(0)
        return await impatient()

    assert await within(5.0, impatient()) == "its own"
    assert await within(5.0, later()) == "its own"


async def test_whoever_cancels_the_caller_reaches_the_coroutine() -> None:
    reached = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            reached.set()
            raise

    async def caller() -> Any:
        return await within(60.0, waits())

    task = asyncio.create_task(caller())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reached.is_set()


async def test_a_caller_that_is_thrown_away_closes_the_coroutine() -> None:
    closed = False

    async def waits() -> None:
        nonlocal closed
        try:
            await asyncio.Event().wait()
        finally:
            closed = True

    # Kept, or it would be closed when nobody has it any more.
    coroutine = waits()
    rest = within(60.0, coroutine)
    rest.send(None)
    rest.close()
    assert closed


class Clock:
    """The clock of the stretches; `passes` stands for work that keeps the event loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.told: list[float] = []
        monkeypatch.setattr("consumers.runtime.promptly.monotonic", lambda: self.now)

    def passes(self, seconds: float) -> None:
        self.now += seconds

    def noted(self, about: object, seconds: float) -> None:
        assert about == "the step"
        self.told.append(round(seconds, 3))


async def test_every_stretch_that_is_too_long_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def blocks() -> str:
        clock.passes(0.5)
        await asyncio.sleep(0)
        clock.passes(0.7)
        try:
            await asyncio.wait_for(asyncio.get_running_loop().create_future(), 0.001)
        except TimeoutError:
            clock.passes(0.9)
        await asyncio.sleep(0)
        clock.passes(0.15)
        await asyncio.sleep(0)
        clock.passes(2)
        return "done"

    assert await within(5.0, blocks(), blocked=clock.noted, about="the step") == "done"
    assert clock.told == [0.5, 0.7, 0.9, 2]


@pytest.mark.parametrize("waits_before", [False, True])
async def test_a_stretch_that_ends_with_an_error_is_told_of(
    monkeypatch: pytest.MonkeyPatch, waits_before: bool
) -> None:
    clock = Clock(monkeypatch)

    async def breaks() -> None:
        if waits_before:
            await asyncio.sleep(0)
        clock.passes(0.3)
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        await within(5.0, breaks(), blocked=clock.noted, about="the step")
    assert clock.told == [0.3]


async def test_the_time_for_which_a_coroutine_waits_is_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def waits() -> None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        loop.call_soon(clock.passes, 3_600)
        loop.call_soon(answer.set_result, None)
        await answer

    await within(5.0, waits(), blocked=clock.noted, about="the step")
    assert clock.told == []


async def test_a_stretch_after_a_cancellation_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def tidies_up() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            clock.passes(0.4)

    with pytest.raises(TimeoutError):
        await within(0.001, tidies_up(), blocked=clock.noted, about="the step")
    assert clock.told == [0.4]
