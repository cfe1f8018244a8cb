"""What open and closed sagas cost a worker: seconds until it is ready again, and memory."""

import psutil

from deploy.local.kafka import EmbeddedKafka
from tests.benchmarks.audience import Audience
from tests.benchmarks.figures import Figures
from tests.benchmarks.sagas import fresh
from tests.benchmarks.stack import WorkerProcess, broker, wait_until_quiet

PARTITIONS = 4
# Longer than the benchmark: these stay open.
ASLEEP_SECONDS = 86_400.0
MEGABYTE = 1024 * 1024


def measure(runs: int, open_few: int, open_many: int, closed: int) -> Figures:
    """One worker with nothing; with `closed` sagas that have ended and `open_few` that have not; with `open_many`."""
    figures = Figures()
    with broker() as kafka:
        empty_bytes = _restarts(kafka, runs, figures, "empty")
        _make(kafka, closed, asleep=False)
        _make(kafka, open_few, asleep=True)
        few_bytes = _restarts(kafka, runs, figures, "10k")
        _make(kafka, open_many - open_few, asleep=True)
        many_bytes = _restarts(kafka, runs, figures, "100k")
    for few, many, empty in zip(few_bytes, many_bytes, empty_bytes, strict=True):
        figures.note("bytes_per_open_saga", (many - few) / (open_many - open_few))
        figures.note("worker_megabytes_10k_open", few / MEGABYTE)
        figures.note("worker_megabytes_100k_open", many / MEGABYTE)
        figures.note("worker_megabytes_empty", empty / MEGABYTE)
    return figures


def _restarts(kafka: EmbeddedKafka, runs: int, figures: Figures, name: str) -> list[int]:
    """Note the seconds from the start of the program to its being ready; gives the memory it then has."""
    found = []
    for _ in range(runs):
        worker = WorkerProcess(kafka, "worker", PARTITIONS)
        try:
            figures.note(f"restore_seconds_{name}", worker.wait_ready())
            found.append(psutil.Process(worker.pid).memory_info().rss)
        finally:
            worker.stop()
    return found


def _make(kafka: EmbeddedKafka, number: int, asleep: bool) -> None:
    """Start so many sagas, and wait until they have ended, or until nothing more is said of them."""
    worker = WorkerProcess(kafka, "worker", PARTITIONS)
    try:
        worker.wait_ready()
        audience = Audience(kafka.bootstrap_servers)
        try:
            ids = fresh(number)
            audience.start(ids, sleep_seconds=ASLEEP_SECONDS if asleep else 0.0)
            audience.flush()
            if asleep:
                wait_until_quiet(kafka, "relay.events", lambda: not set(ids) - audience.states.keys())
            else:
                audience.wait(ids, 600.0)
        finally:
            audience.close()
    finally:
        worker.stop()
