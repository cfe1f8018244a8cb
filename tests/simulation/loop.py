"""A deterministic event loop with virtual time, in which a worker can die between any two awaits.

Every callback carries the context of the task that asked for it, and the context says which worker it belongs to. A
dead worker's callbacks are never run again: no `finally`, no farewell, as after SIGKILL. The rest of the world goes on.
"""

import asyncio
import contextlib
import contextvars
import heapq
import inspect
import itertools
import signal
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

WORKER: contextvars.ContextVar[str | None] = contextvars.ContextVar("worker", default=None)
STEPS_MAX = 2_000_000


class Deadlock(Exception):
    """Nothing is left to run, and the condition is not met."""


class Endless(KeyboardInterrupt):
    """A run goes on without an await: of all errors, asyncio lets only interrupts out of a callback at once."""


@contextlib.contextmanager
def cpu_bounded(seconds: float) -> Iterator[None]:
    """Raise `Endless` where what is inside takes so much CPU; `run_until` alone cannot, while a callback runs."""

    def over(number: int, frame: object) -> None:
        raise Endless(f"it has taken {seconds:.0f} s of CPU")

    former = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, former)


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs callbacks first in, first out; when none is left, time jumps to the next timer."""

    def __init__(self, start_seconds: float = 1_800_000_000.0) -> None:
        self._now = start_seconds
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = itertools.count()
        self._dead: set[str] = set()
        self.killed: set[str] = set()
        self._coroutines: dict[str | None, list[tuple[Any, contextvars.Context]]] = {}
        self.steps_of: dict[str, int] = {}
        self.kill_at: dict[str, int] = {}
        self.warn_at: dict[str, int] = {}
        self.on_warning: Callable[[str], None] = lambda worker: None
        self.stop_at: dict[str, int] = {}
        self.on_stop: Callable[[str], None] = lambda worker: None
        self.on_step: Callable[[str, int], None] = lambda worker, count: None
        self.on_death: Callable[[str], None] = lambda worker: None
        self.errors: list[dict[str, Any]] = []
        self.steps_most = STEPS_MAX

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        return

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        """Run it at once: threads would bring in an order of their own."""
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:
        own = contextvars.copy_context() if context is None else context
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=own)
        # A task frozen by its worker's death is collected while pending; that is no mistake here.
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio offers no public switch
        self._coroutines.setdefault(own.get(WORKER), []).append((coro, own))
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        # What a dead worker was about to look at, nobody looks at.
        if not (self._dead and "never retrieved" in str(context.get("message"))):
            self.errors.append(context)

    def spawn(self, worker: str | None, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task that belongs to the worker, or to the world."""
        context = contextvars.copy_context()
        context.run(WORKER.set, worker)
        return self.create_task(coro, context=context)

    def kill(self, worker: str) -> None:
        """The worker stops at once; nothing of it is run again."""
        self._dead.add(worker)
        self.killed.add(worker)
        self._end(worker)
        self.on_death(worker)

    def close(self) -> None:
        """The world ends: nothing of anybody is run again."""
        self._dead |= {worker for worker in self._coroutines if worker}
        for worker in list(self._coroutines):
            self._end(worker)

    def _end(self, worker: str | None) -> None:
        # Left to the collector, they would be finished in whatever context it happens to run in.
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            for coroutine, context in self._coroutines.pop(worker, ()):
                if inspect.getcoroutinestate(coroutine) in (inspect.CORO_CREATED, inspect.CORO_SUSPENDED):
                    with contextlib.suppress(RuntimeError):
                        context.run(coroutine.close)
        finally:
            asyncio._set_running_loop(before)

    def is_dead(self, worker: str) -> bool:
        """Whether the worker was killed."""
        return worker in self._dead

    def run_until(self, condition: Callable[[], bool], seconds_most: float = 10_000_000.0) -> None:
        """Run until the condition holds; `Deadlock` when nothing is left to do or the (virtual) time is up."""
        asyncio._set_running_loop(self)
        until = self._now + seconds_most
        try:
            for _ in range(self.steps_most):
                if condition():
                    return
                self._step(until)
        finally:
            asyncio._set_running_loop(None)
        raise Deadlock(f"{self.steps_most} callbacks were run, and still not")

    def _step(self, until: float) -> None:
        if not self._ready:
            while self._timers and self._timers[0][2].cancelled():
                heapq.heappop(self._timers)
            if not self._timers or self._timers[0][0] > until:
                raise Deadlock("nothing is left to run")
            when, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            self._ready.append(timer)
        handle = self._ready.popleft()
        worker = handle._context.get(WORKER)  # type: ignore[attr-defined]  # a Handle keeps it, but shows it only in 3.12
        if handle.cancelled() or (worker is not None and worker in self._dead):
            return
        if worker is not None:
            count = self.steps_of[worker] = self.steps_of.get(worker, 0) + 1
            self.on_step(worker, count)
            if self.warn_at.get(worker) == count:
                self.on_warning(worker)
            if self.stop_at.get(worker) == count:
                self.on_stop(worker)
            if self.kill_at.get(worker) == count:
                self.kill(worker)
                return
        handle._run()
