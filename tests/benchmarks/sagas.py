"""Completed sagas per second from a backlog, and how long one takes from its command to its final status."""

import statistics
import time
from collections.abc import Sequence
from itertools import count

from tests.benchmarks.audience import Audience

_NAMES = count()


def fresh(number: int) -> list[str]:
    """So many saga ids that this process has not used."""
    return [f"relay-{next(_NAMES):08d}" for _ in range(number)]


def saturation(audience: Audience, number: int, refuse: bool = False) -> float:
    """Sagas ended per second of a backlog of so many starts, from the first command to the last final status.

    The whole of it, not the middle of the endings: a backlog goes through the stages nearly in step, so that most of
    it ends within the last moments, and the rate of the endings alone would tell how fast the last stage is.
    """
    ids = fresh(number)
    audience.start(ids, refuse=refuse)
    audience.flush()
    audience.wait(ids)
    return number / (max(audience.ended[one] for one in ids) - audience.started[ids[0]])


def paced(audience: Audience, number: int, per_second: float) -> list[float]:
    """Milliseconds from command to final status of each of so many sagas, started at an even rate."""
    ids = fresh(number)
    begin = time.perf_counter() + 0.05
    for index, saga_id in enumerate(ids):
        # An open loop: a start is due whether or not the ones before it have ended.
        while (left := begin + index / per_second - time.perf_counter()) > 0:
            time.sleep(left)
        audience.start([saga_id])
    audience.flush()
    audience.wait(ids)
    return [(audience.ended[one] - audience.started[one]) * 1_000 for one in ids]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * int(percent * 10) // 1000) - 1))]


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)
