"""In which order things are replayed: one first, then the rest at a rate, and no further after a failure."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from deploy.cli.outcomes import Outcome

T = TypeVar("T")


@dataclass
class Replayed(Generic[T]):
    """What became of each, in the order they were tried, and what was not tried."""

    outcomes: list[tuple[T, Outcome]] = field(default_factory=list)
    not_tried: list[T] = field(default_factory=list)

    @property
    def is_stopped(self) -> bool:
        """Whether a failure kept the rest from being tried."""
        return any(outcome.stops for _, outcome in self.outcomes)


async def in_canary_order(
    wanted: Iterable[T], replay: Callable[[T], Awaitable[Outcome]], per_second: float
) -> Replayed[T]:
    """Replay one and wait for its outcome, then the rest, begun at this rate; begins none after a repeated failure.

    One that is refused tells nothing of whether the others will pass, so the next one takes its place as the first.
    """
    done: Replayed[T] = Replayed()
    waiting = deque(wanted)
    while waiting:
        first = waiting.popleft()
        outcome = await replay(first)
        done.outcomes.append((first, outcome))
        if outcome.stops or outcome.kind == "passed":
            break
    begun: list[tuple[T, asyncio.Future[Outcome]]] = []
    due = asyncio.get_running_loop().time()
    while waiting and not done.is_stopped and not any(_has_stopped(future) for _, future in begun):
        begun.append((waiting[0], asyncio.ensure_future(replay(waiting.popleft()))))
        due += 1 / per_second
        if waiting:
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
    # All that are under way come to an end before the first error of any is told.
    ends = await asyncio.gather(*(future for _, future in begun), return_exceptions=True)
    for (one, _), end in zip(begun, ends, strict=True):
        if isinstance(end, BaseException):
            raise end
        done.outcomes.append((one, end))
    done.not_tried = list(waiting)
    return done


def _has_stopped(future: asyncio.Future[Outcome]) -> bool:
    return future.done() and (future.exception() is not None or future.result().stops)
