"""What a benchmark runs on: an embedded broker of its own, and workers as real processes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from confluent_kafka import Consumer, TopicPartition

from deploy.local.kafka import EmbeddedKafka

APPLICATION = "tests.benchmarks.relay.application:sagas"
READY_SECONDS = 90.0
STOP_SECONDS = 30.0
QUIET_SECONDS = 1.0


@contextmanager
def broker() -> Iterator[EmbeddedKafka]:
    """A running broker in a folder that goes with it."""
    with (
        TemporaryDirectory(prefix="soma-bench-", ignore_cleanup_errors=True) as folder,
        EmbeddedKafka(Path(folder) / "kafka") as kafka,
    ):
        yield kafka


class WorkerProcess:
    """`soma worker` with a benchmark saga, carrying `only` these participants or all."""

    def __init__(
        self,
        kafka: EmbeddedKafka,
        name: str,
        partitions: int,
        only: Sequence[str] = (),
        application: str = APPLICATION,
    ) -> None:
        self.home = kafka.folder.parent / name
        self.home.mkdir(exist_ok=True)
        environment = os.environ | {
            "SOMA_HOME": str(self.home),
            "SOMA_APPLICATION": application,
            "SOMA_PARTITIONS": str(partitions),
            # What sleeps when it is stopped sleeps longer than anybody would wait.
            "SOMA_DRAIN_SECONDS": "1",
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "SOMA_LOG_LEVEL": "warning",
        }
        words = [word for name in only for word in ("--only", name)]
        self.began_at = time.perf_counter()
        with (self.home / "worker.log").open("ab") as log:
            self._running = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli.main", "worker", *words], env=environment, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running.pid

    def wait_ready(self, seconds: float = READY_SECONDS) -> float:
        """Wait until every lane is open; returns the seconds since the process was started."""
        deadline = time.monotonic() + seconds
        while not (self.home / "run" / "worker.ready").exists():
            if self._running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker is not ready: {(self.home / 'worker.log').read_text()[-2000:]}")
            time.sleep(0.01)
        return time.perf_counter() - self.began_at

    def stop(self) -> None:
        """End it in good order, or kill it when that takes too long."""
        if self._running.poll() is not None:
            return
        self._running.terminate()
        try:
            self._running.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()

    def kill(self) -> None:
        """End it as a crash would."""
        self._running.kill()
        self._running.wait()
        # Its successor in this home would seem to be ready before it has begun.
        (self.home / "run" / "worker.ready").unlink(missing_ok=True)


@contextmanager
def workers(
    kafka: EmbeddedKafka,
    partitions: int,
    carried: Iterable[Sequence[str]] = ((),),
    application: str = APPLICATION,
) -> Iterator[list[WorkerProcess]]:
    """One worker for each list of participants (an empty list: all of them), ready for work."""
    running: list[WorkerProcess] = []
    try:
        for index, only in enumerate(carried):
            running.append(WorkerProcess(kafka, f"worker-{index}", partitions, only, application))
            # The first one makes the topics; two that make them at once are in each other's way for a moment.
            running[-1].wait_ready()
        yield running
    finally:
        for one in running:
            one.stop()


def wait_until_quiet(kafka: EmbeddedKafka, topic: str, holds: Callable[[], bool], seconds: float = 600.0) -> None:
    """Wait until that holds and nothing more is written into the topic."""
    deadline = time.monotonic() + seconds
    quiet_since, before = time.monotonic(), 0
    while not holds() or time.monotonic() - quiet_since < QUIET_SECONDS:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{topic} did not come to rest")
        time.sleep(0.1)
        end = _end_of(kafka, topic)
        if end != before:
            quiet_since, before = time.monotonic(), end


def _end_of(kafka: EmbeddedKafka, topic: str) -> int:
    reader = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "watcher", "log_level": 0})
    try:
        known = reader.list_topics(topic, timeout=10).topics[topic].partitions
        return sum(int(reader.get_watermark_offsets(TopicPartition(topic, one), timeout=10)[1]) for one in known)
    finally:
        reader.close()
