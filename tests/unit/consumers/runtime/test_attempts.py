"""An attempt has ended only when the threads and programs that it has started have."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from consumers.runtime.attempts import ATTEMPT, Attempt, watch_attempts
from consumers.runtime.calling import Caller
from consumers.runtime.finishing import Broke, Outcome, Spoke
from consumers.runtime.memory import Work
from consumers.runtime.steps import StepFunction
from tests.unit.consumers.runtime.bench import BEGIN, SAGA, Bench
from tests.unit.consumers.runtime.small_saga import ORDER, STORE, Printer, Shelves, StockReserved

# A program that starts one of its own, tells of both, and goes on for a minute.
PROGRAM = (
    "import os, subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "open(sys.argv[1] + '.new', 'w').write(f'{os.getpid()} {child.pid}');"
    "os.rename(sys.argv[1] + '.new', sys.argv[1]); time.sleep(60)"
)


def attempt(function: StepFunction, timeout_seconds: float) -> Coroutine[Any, Any, Outcome]:
    """One attempt of a step with this function."""
    bench = Bench(STORE)
    bench.opens()
    bench.starts()
    work = bench.running["reserve_stock"]
    owner = replace(work.owner, function=function, timeout_seconds=timeout_seconds)
    ports: dict[type, object] = {Shelves: object(), Printer: object()}
    return Caller(ORDER, ports, lambda: BEGIN)(Work(work.journal, work.item, owner))


@pytest.fixture
def watched_loop() -> Any:
    loop = asyncio.new_event_loop()
    watch_attempts(loop)
    yield loop
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@pytest.mark.parametrize("is_in_a_task", [False, True])
def test_the_end_of_an_attempt_that_timed_out_is_told_when_its_thread_has_ended(
    watched_loop: asyncio.AbstractEventLoop, is_in_a_task: bool
) -> None:
    go_on, order = threading.Event(), list[str]()

    def effect() -> None:
        go_on.wait(10)
        order.append("effect")

    async def in_thread(**_: Any) -> StockReserved:
        call = asyncio.to_thread(effect)
        await (asyncio.create_task(call) if is_in_a_task else call)
        return StockReserved(saga_id=SAGA)

    async def run() -> None:
        running = asyncio.create_task(attempt(in_thread, timeout_seconds=0.02))
        asyncio.get_running_loop().call_later(0.1, go_on.set)
        outcome = await running
        order.append(outcome.error if isinstance(outcome, Broke) else repr(outcome))

    watched_loop.run_until_complete(run())
    assert order == ["effect", "StepTimedOut"]


def test_an_attempt_that_is_cancelled_waits_for_its_thread_too(watched_loop: asyncio.AbstractEventLoop) -> None:
    started, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def effect() -> None:
        started.set()
        go_on.wait(10)
        done.set()

    async def in_thread(**_: Any) -> StockReserved:
        await asyncio.to_thread(effect)
        return StockReserved(saga_id=SAGA)

    async def run() -> bool:
        running = asyncio.create_task(attempt(in_thread, timeout_seconds=60))
        while not started.is_set():
            await asyncio.sleep(0.001)
        running.cancel()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        await asyncio.wait({running}, timeout=5)
        return running.done() and done.is_set()

    assert watched_loop.run_until_complete(run())


def test_a_program_that_an_attempt_has_left_running_is_killed_with_all_that_it_started(
    watched_loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    told = tmp_path / "pids"

    async def with_program(**_: Any) -> StockReserved:
        program = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, str(told))
        while not told.exists():
            await asyncio.sleep(0.01)
        raise OSError(f"{program.pid} is of no use")

    outcome = watched_loop.run_until_complete(attempt(with_program, timeout_seconds=30))
    assert isinstance(outcome, Broke) and outcome.error == "OSError"
    assert [pid for pid in map(int, told.read_text().split()) if is_running(pid)] == []


def test_an_attempt_that_has_left_nothing_running_ends_at_once(watched_loop: asyncio.AbstractEventLoop) -> None:
    async def both(**_: Any) -> StockReserved:
        assert await asyncio.to_thread(os.getpid) == os.getpid()
        program = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
        await program.wait()
        return StockReserved(saga_id=SAGA)

    assert isinstance(watched_loop.run_until_complete(attempt(both, timeout_seconds=30)), Spoke)


def is_running(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not yet asked for its end does not."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return False
        except psutil.NoSuchProcess:
            return False
        time.sleep(0.01)
    return True


def test_a_loop_that_is_watched_twice_notes_a_program_once() -> None:
    """A worker that failed to start may be started again on the same loop."""
    loop = asyncio.new_event_loop()
    watch_attempts(loop)
    watch_attempts(loop)

    async def started() -> int:
        attempt = Attempt()
        ATTEMPT.set(attempt)
        program = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
        await program.wait()
        return len(attempt.programs)

    try:
        assert loop.run_until_complete(started()) == 1
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
