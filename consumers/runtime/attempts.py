"""What one attempt of a step has started beside the event loop: threads and child processes.

A cancelled coroutine ends at once, but a thread that it waits for goes on, and so does a program. An attempt has ended
only when they have: threads are waited for, programs are killed. Both are found by the context of the attempt, which
`asyncio.to_thread`, tasks and `asyncio.create_subprocess_*` inherit.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import psutil

PROGRAM_END_SECONDS = 5.0


class Attempt:
    """The threads and programs of one attempt."""

    __slots__ = ("programs", "threads")

    def __init__(self) -> None:
        self.threads: list[Future[Any]] = []
        self.programs: list[asyncio.SubprocessTransport] = []

    @property
    def is_over(self) -> bool:
        """Whether none of them goes on."""
        running = [one for one in self.programs if one.get_returncode() is None]
        return not running and all(thread.done() for thread in self.threads)

    async def ended(self) -> None:
        """Kill the programs with all that they started, and wait until every thread has ended."""
        for program in self.programs:
            if program.get_returncode() is None:
                await asyncio.get_running_loop().run_in_executor(None, _kill, program.get_pid())
        waited = [asyncio.wrap_future(thread) for thread in self.threads if not thread.done()]
        await asyncio.gather(*waited, return_exceptions=True)


ATTEMPT: ContextVar[Attempt | None] = ContextVar("soma_attempt", default=None)


class AttemptThreads(ThreadPoolExecutor):
    """The executor behind `asyncio.to_thread`; it notes each thread with the attempt that has started it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        attempt = ATTEMPT.get()
        if attempt is not None:
            attempt.threads.append(future)
        return future


def watch_attempts(loop: asyncio.AbstractEventLoop) -> None:
    """Have this loop note the threads and programs of each attempt; called by the worker when it starts."""
    loop.set_default_executor(AttemptThreads(thread_name_prefix="step"))
    for name in ("subprocess_exec", "subprocess_shell"):
        setattr(loop, name, _noting(getattr(type(loop), name).__get__(loop)))


def _noting(start: Callable[..., Any]) -> Callable[..., Any]:
    async def noted(*args: Any, **kwargs: Any) -> Any:
        transport, protocol = await start(*args, **kwargs)
        attempt = ATTEMPT.get()
        if attempt is not None:
            attempt.programs.append(transport)
        return transport, protocol

    return noted


def _kill(pid: int | None) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        program = psutil.Process(pid)
        programs = [*program.children(recursive=True), program]
        for one in programs:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(programs, timeout=PROGRAM_END_SECONDS)
