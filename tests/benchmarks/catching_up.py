"""What a backlog in one partition costs a worker that starts: seconds until it is ready, and its memory at most.

No worker ran while the sagas were opened and ended: every participant has all of it to read before it may start
anything.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from consumers.runtime.journal import Journal
from consumers.runtime.speaking import outgoing
from consumers.runtime.utterances import Utterance
from consumers.runtime.view import View, view_of
from consumers.topics import apply
from deploy.local.kafka import EmbeddedKafka
from producers.records import Outgoing
from producers.settings import Settings
from schemas.message import Event
from tests.benchmarks.figures import Figures
from tests.benchmarks.relay.application import sagas
from tests.benchmarks.relay.schema import RelayCompleted, RelayOpened, Researched
from tests.benchmarks.relay.steps import DOOR
from tests.benchmarks.sagas import fresh
from tests.benchmarks.stack import WorkerProcess, broker

PARTITIONS, PARTITION = 4, 0
READY_SECONDS = 300.0


def measure(runs: int, records: int) -> Figures:
    """`records` events of sagas that have ended, in one partition, for each run."""
    figures = Figures()
    for _ in range(runs):
        with broker() as kafka:
            settings = Settings(
                home=kafka.folder, kafka_bootstrap_servers=kafka.bootstrap_servers, partitions=PARTITIONS
            )
            asyncio.run(apply(settings, sagas()))
            _publish(kafka, records)
            worker = WorkerProcess(kafka, "worker", PARTITIONS)
            try:
                figures.note("catch_up_seconds", worker.wait_ready(READY_SECONDS))
                figures.note("catch_up_megabytes_most", _most_megabytes(worker.pid))
            finally:
                worker.stop()
            figures.note("catch_up_lanes_lost", (worker.home / "worker.log").read_text().count("lane.lost"))
    return figures


def _publish(kafka: EmbeddedKafka, records: int) -> None:
    view = view_of(sagas()[0].graph, DOOR)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0, "linger.ms": 20})
    for saga_id in fresh(records // 3):
        for one in _events_of(saga_id, view):
            headers: list[tuple[str, Any]] = [(name, value) for name, value in one.headers]
            while True:
                try:
                    producer.produce(one.topic, one.value, one.key, partition=one.partition, headers=headers)
                    break
                except BufferError:
                    producer.poll(0.1)
    if producer.flush(120):
        raise RuntimeError("not all events were written")


def _events_of(saga_id: str, view: View) -> list[Outgoing]:
    journal = Journal(saga_id, "bench", saga_id)
    events: list[tuple[Event, str]] = [
        (RelayOpened(saga_id=saga_id), "start"),
        (Researched(saga_id=saga_id), "opened"),
        (RelayCompleted(saga_id=saga_id), "joined"),
    ]
    return [
        one
        for event, causation in events
        for one in outgoing(journal, view, PARTITION, Utterance(event, causation), time.time())
    ]


def _most_megabytes(pid: int) -> float:
    """The most memory that the process has held so far (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
