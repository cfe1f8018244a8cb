"""Completed sagas per second from a backlog, and how long one takes from its command to its final status."""

import time
from itertools import count

from tests.benchmarks.audience import Audience
from tests.benchmarks.figures import Figures, percentile
from tests.benchmarks.stack import broker, workers

PARTITIONS = 4
# One for each core of the machine the figures are compared on.
WORKERS = 2
LOW_LOAD_PER_SECOND = 5.0
SLEEPERS_EVERY = 100
NEIGHBOURS_LOAD = 0.3
_NAMES = count()


def measure(runs: int, number: int, low_load_number: int, load_seconds: float, sleep_seconds: float) -> Figures:
    """`number` sagas for each flood, `low_load_number` at five a second, a part of the flood's rate for `load_seconds`.

    One neighbour in a hundred sleeps `sleep_seconds`.
    """
    figures = Figures()
    with broker() as kafka, workers(kafka, PARTITIONS, [[]] * WORKERS):
        audience = Audience(kafka.bootstrap_servers)
        try:
            saturation(audience, number // 5)
            for _ in range(runs):
                rate = saturation(audience, number)
                figures.note("sagas_per_second", rate)
                figures.note("sagas_per_second_compensated", saturation(audience, number // 2, refuse=True))
                _flood_beside_sleepers(audience, figures, number, sleep_seconds)
                share = rate * NEIGHBOURS_LOAD
                _pace_beside_sleepers(audience, figures, int(share * load_seconds), share, sleep_seconds)
            # After the floods the broker is warm, but cleans up after them for a while, on the same two cores.
            paced(audience, low_load_number, LOW_LOAD_PER_SECOND)
            for _ in range(runs):
                low = paced(audience, low_load_number, LOW_LOAD_PER_SECOND)
                figures.note("saga_p50_ms", percentile(low, 50))
                figures.note("saga_p99_ms", percentile(low, 99))
        finally:
            audience.close()
    return figures


def _flood_beside_sleepers(audience: Audience, figures: Figures, number: int, sleep_seconds: float) -> None:
    """What it costs the others' throughput that one saga in a hundred sleeps."""
    alone, beside = (others_per_second(audience, number, seconds) for seconds in (0.0, sleep_seconds))
    figures.note("slow_neighbour_throughput_ratio", beside / alone)


def _pace_beside_sleepers(
    audience: Audience, figures: Figures, number: int, per_second: float, sleep_seconds: float
) -> None:
    """What it costs the others' 99th percentile, at a rate that leaves the machine room."""
    calm, disturbed = (percentile(paced(audience, number, per_second, seconds), 99) for seconds in (0.0, sleep_seconds))
    figures.note("slow_neighbour_p99_ratio", disturbed / calm)
    figures.note("slow_neighbour_p99_ms", disturbed)
    figures.note("no_slow_neighbour_p99_ms", calm)


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


def others_per_second(audience: Audience, number: int, sleep_seconds: float) -> float:
    """Sagas ended per second of a backlog, without those (one in a hundred) that sleep so long."""
    ids = fresh(number)
    sleepers = ids[::SLEEPERS_EVERY]
    audience.start(sleepers, sleep_seconds=sleep_seconds)
    others = sorted(set(ids) - set(sleepers))
    audience.start(others)
    audience.flush()
    audience.wait(ids)
    return len(others) / (max(audience.ended[one] for one in others) - audience.started[sleepers[0]])


def paced(audience: Audience, number: int, per_second: float, sleep_seconds: float = 0.0) -> list[float]:
    """Milliseconds from command to final status of each of so many sagas, started at an even rate.

    One in a hundred sleeps `sleep_seconds` where they are given, and is left out.
    """
    ids = fresh(number)
    sleepers = set(ids[::SLEEPERS_EVERY]) if sleep_seconds else set()
    begin = time.perf_counter() + 0.05
    for index, saga_id in enumerate(ids):
        # An open loop: a start is due whether or not the ones before it have ended.
        while (left := begin + index / per_second - time.perf_counter()) > 0:
            time.sleep(left)
        audience.start([saga_id], sleep_seconds=sleep_seconds if saga_id in sleepers else 0.0)
    audience.flush()
    audience.wait(ids)
    return [(audience.ended[one] - audience.started[one]) * 1_000 for one in ids if one not in sleepers]
