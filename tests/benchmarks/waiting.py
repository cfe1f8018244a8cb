"""What a crowd of waiting sagas costs: those that wait for a person, and those behind a dependency that is down."""

import time
from itertools import count

import psutil

from deploy.local.kafka import EmbeddedKafka
from tests.benchmarks.audience import Audience
from tests.benchmarks.figures import Figures, percentile
from tests.benchmarks.outage.application import DOWN
from tests.benchmarks.stack import WorkerProcess, broker, wait_until_quiet

REVIEW, OUTAGE = "tests.benchmarks.review.application:sagas", "tests.benchmarks.outage.application:sagas"
PARTITIONS = 4
APPROVALS_PER_SECOND = 20.0
# What is measured is a crowd that waits, not the flood in which it came.
STARTED_AT_ONCE = 5_000
MEGABYTE = 1024 * 1024
_NAMES = count()


def measure(runs: int, waiting: int, approved: int, blocked: int, others: int) -> Figures:
    """`approved` of `waiting` sagas are approved in each run, and as many of a hundredth of them, for comparison.

    In each run `others` sagas go on beside `blocked` ones, and as many alone.
    """
    figures = Figures()
    with broker() as kafka:
        _measure_reviews(kafka, figures, runs, waiting, approved)
    for _ in range(runs):
        with broker() as kafka:
            _measure_outage(kafka, figures, blocked, others)
    return figures


def _measure_reviews(kafka: EmbeddedKafka, figures: Figures, runs: int, waiting: int, approved: int) -> None:
    worker = WorkerProcess(kafka, "worker", PARTITIONS, application=REVIEW)
    try:
        worker.wait_ready()
        audience = Audience(kafka.bootstrap_servers, "review")
        try:
            few = _wait_for_person(kafka, audience, max(waiting // 100, (runs + 1) * approved))
            _approve(audience, few[:approved])
            calm = [_approve(audience, few[(run + 1) * approved :][:approved]) for run in range(runs)]
            many = _wait_for_person(kafka, audience, waiting)
            for run in range(runs):
                crowded = _approve(audience, many[run * approved :][:approved])
                figures.note("approve_p50_ms_100k_waiting", percentile(crowded, 50))
                figures.note("approve_p99_ms_100k_waiting", percentile(crowded, 99))
                figures.note("approve_p99_ratio_100k_waiting", percentile(crowded, 99) / percentile(calm[run], 99))
                figures.note("worker_megabytes_100k_waiting", psutil.Process(worker.pid).memory_info().rss / MEGABYTE)
            for run in range(runs):
                worker.kill()
                worker = WorkerProcess(kafka, "worker", PARTITIONS, application=REVIEW)
                figures.note("ready_seconds_after_kill_100k_waiting", worker.wait_ready())
                again = _approve(audience, many[(runs + run) * approved :][:approved])
                figures.note("approve_p99_ms_after_kill_100k_waiting", percentile(again, 99))
                memory = psutil.Process(worker.pid).memory_info().rss / MEGABYTE
                figures.note("worker_megabytes_after_kill_100k_waiting", memory)
        finally:
            audience.close()
    finally:
        worker.stop()


def _wait_for_person(kafka: EmbeddedKafka, audience: Audience, number: int) -> list[str]:
    """So many sagas that wait for a person, with nothing left to do for any of them."""
    ids = [f"review-{next(_NAMES):08d}" for _ in range(number)]
    for begin in range(0, number, STARTED_AT_ONCE):
        some = ids[begin : begin + STARTED_AT_ONCE]
        audience.start(some)
        audience.flush()
        audience.wait_until_all(some, "waiting")
    wait_until_quiet(kafka, "review.events", lambda: True)
    return ids


def _approve(audience: Audience, ids: list[str]) -> list[float]:
    """Milliseconds from each approval to the saga's final status, at an even rate."""
    begin = time.perf_counter()
    for index, saga_id in enumerate(ids):
        while (left := begin + index / APPROVALS_PER_SECOND - time.perf_counter()) > 0:
            time.sleep(left)
        audience.say("approve", [saga_id])
    audience.flush()
    audience.wait(ids)
    return [(audience.ended[one] - audience.started[one]) * 1_000 for one in ids]


def _measure_outage(kafka: EmbeddedKafka, figures: Figures, blocked: int, others: int) -> None:
    """One partition: all sagas share its lanes."""
    worker = WorkerProcess(kafka, "worker", 1, application=OUTAGE)
    try:
        worker.wait_ready()
        audience = Audience(kafka.bootstrap_servers, "outage")
        try:
            _others_per_second(audience, others)
            alone = _others_per_second(audience, others)
            (worker.home / DOWN).touch()
            ids = [f"outage-{next(_NAMES):08d}" for _ in range(blocked)]
            audience.start(ids, frail=True)
            audience.flush()
            wait_until_quiet(kafka, "outage.events", lambda: not set(ids) - audience.states.keys())
            beside = _others_per_second(audience, others)
            figures.note("open_breaker_others_per_second", beside)
            figures.note("open_breaker_throughput_ratio", beside / alone)
            (worker.home / DOWN).unlink()
            began = time.perf_counter()
            audience.wait(ids)
            figures.note("open_breaker_drain_seconds", time.perf_counter() - began)
        finally:
            audience.close()
    finally:
        worker.stop()


def _others_per_second(audience: Audience, number: int) -> float:
    """Sagas ended per second that do not need the dependency, of a backlog of so many starts."""
    ids = [f"outage-{next(_NAMES):08d}" for _ in range(number)]
    audience.start(ids)
    audience.flush()
    audience.wait(ids)
    return number / (max(audience.ended[one] for one in ids) - audience.started[ids[0]])
