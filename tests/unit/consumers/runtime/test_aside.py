"""Work beside a loop: one piece at a time; it wakes the loop when it has ended, and hands it its error."""

import asyncio

import pytest

from consumers.runtime.aside import Aside


async def test_work_that_has_ended_wakes_the_loop_and_makes_room_when_it_is_looked_after() -> None:
    wake = asyncio.Event()
    aside = Aside("lane", wake)
    aside.look_after()
    assert not aside.is_busy
    aside.start(asyncio.sleep(0))
    aside.look_after()
    assert aside.is_busy and not wake.is_set()
    await asyncio.wait_for(wake.wait(), 5)
    assert aside.is_busy
    aside.look_after()
    assert not aside.is_busy


async def broken() -> None:
    await asyncio.sleep(0)
    raise OSError("Kafka is gone")


async def test_an_error_is_raised_once_to_whoever_looks_after_it() -> None:
    wake = asyncio.Event()
    aside = Aside("lane", wake)
    aside.start(broken())
    await asyncio.wait_for(wake.wait(), 5)
    with pytest.raises(OSError, match="Kafka is gone"):
        aside.look_after()
    aside.look_after()
    assert not aside.is_busy


async def test_an_error_is_raised_to_whoever_waits_for_the_end() -> None:
    aside = Aside("lane", asyncio.Event())
    aside.start(broken())
    with pytest.raises(OSError, match="Kafka is gone"):
        await aside.ended()
    await aside.ended()


async def test_cancelled_work_has_stopped_when_the_call_returns_and_raises_nothing() -> None:
    aside, stopped = Aside("lane", asyncio.Event()), asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    aside.start(endless())
    await asyncio.sleep(0)
    await aside.cancel()
    assert stopped.is_set() and not aside.is_busy
    aside.start(broken())
    await asyncio.sleep(0)
    await aside.cancel()
