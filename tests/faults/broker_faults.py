"""Faults of brokers under load, measured: `python -m tests.faults.broker_faults [kill] [freeze] [elect] [roll]`.

One worker carries errands on three brokers. For each case one JSON line: the longest time without an event in the
partitions that the broker led (or whose lanes it coordinated), and in the others; how long Kafka itself acknowledged
nothing to a plain producer at the broker's partitions and at the others; the lanes that were lost, and how often at
most; what was said twice, and what has not ended.
"""

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiokafka import TopicPartition
from aiokafka.client import CoordinationType
from confluent_kafka import Producer

from consumers.topics import wanted_topics
from deploy.local.files import read_object
from producers.brokers import BrokerClient, Consumer
from producers.records import partition_of
from producers.settings import Settings
from tests.faults.application import FOLDER
from tests.faults.cluster import NODES, Cluster
from tests.faults.witness import committed, said_twice
from tests.prove.errand.application import sagas

PARTITIONS = 12
# So many errands start in each partition within a second.
PER_SECOND = 1.0
WARM_SECONDS, CALM_SECONDS = 15.0, 20.0
ENDS_WITHIN_SECONDS = 120.0
EVENTS, COMMANDS, PROBE = "errand.events", "errand.commands", "probe"
APPLICATION = "tests.prove.errand.application:sagas"


def longest_gap(moments: list[float], begin: float, end: float) -> float:
    """The longest time without any of the moments between `begin` and `end`."""
    inside = [begin, *(moment for moment in moments if begin < moment < end), end]
    return max(later - earlier for earlier, later in pairwise(inside))


class Events:
    """When which partition's events could be read, by a reader that no frozen broker stops."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.moments: dict[int, list[float]] = {index: [] for index in range(PARTITIONS)}
        self.completed: set[str] = set()
        self._servers, self._closing = bootstrap_servers, threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._read()), daemon=True)
        self._thread.start()

    async def _read(self) -> None:
        settings: dict[str, Any] = {"isolation_level": "read_committed", "auto_offset_reset": "earliest"}
        consumer = Consumer(
            bootstrap_servers=self._servers, enable_auto_commit=False, metadata_max_age_ms=1_000, **settings
        )
        async with consumer:
            consumer.assign([TopicPartition(EVENTS, index) for index in range(PARTITIONS)])
            while not self._closing.is_set():
                for partition, records in (await consumer.getmany(timeout_ms=100)).items():
                    self.moments[partition.partition].append(time.monotonic())
                    for record in records:
                        if ("ce_type", b"errand.completed") in record.headers:
                            self.completed.add((record.key or b"").decode())

    def close(self) -> None:
        """Stop reading."""
        self._closing.set()
        self._thread.join()


class Load:
    """Errands at a steady rate in every partition, and a plain record a moment to the partitions of the probe."""

    def __init__(self, bootstrap_servers: str) -> None:
        settings = {"bootstrap.servers": bootstrap_servers, "enable.idempotence": True, "linger.ms": 1, "log_level": 0}
        timeouts = {"socket.timeout.ms": 3_000, "topic.metadata.refresh.interval.ms": 1_000}
        self._producer = Producer(settings | timeouts | {"partitioner": "murmur2_random"})
        self.started: list[str] = []
        self.acknowledged: dict[int, list[float]] = {index: [] for index in range(len(NODES))}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        names = (f"e-{number:08}" for number in range(10**8))
        waiting: dict[int, list[str]] = {index: [] for index in range(PARTITIONS)}
        due = time.monotonic()
        while not self._closing.is_set():
            if time.monotonic() >= due:
                due += 1 / (PER_SECOND * PARTITIONS)
                index = len(self.started) % PARTITIONS
                while not waiting[index]:
                    name = next(names)
                    waiting[partition_of(name.encode(), PARTITIONS)].append(name)
                self.started.append(waiting[index].pop())
                headers: list[tuple[str, str | bytes | None]] = [("ce_type", "errand.start")]
                self._producer.produce(COMMANDS, b"{}", self.started[-1].encode(), headers=headers)
                for probe in self.acknowledged:
                    self._producer.produce(PROBE, b"", partition=probe, on_delivery=self._written)
            self._producer.poll(0.01)

    def _written(self, error: Any, message: Any) -> None:
        if error is None:
            self.acknowledged[message.partition()].append(time.monotonic())

    def close(self) -> None:
        """Start no more; returns when all that was started is written."""
        self._closing.set()
        self._thread.join()
        assert self._producer.flush(60) == 0


class Trial:
    """A cluster, a worker, a load: one after the other, each fault meets them well."""

    def __init__(self, folder: Path, brokers: dict[str, str] | None = None) -> None:
        self.folder, self.cluster = folder, Cluster(folder / "kafka", brokers)
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.cluster.__enter__()
        try:
            self._begin()
        except BaseException:
            self._close()
            raise
        return self

    def _begin(self) -> None:
        settings = Settings(home=self.folder, partitions=PARTITIONS, replication=len(NODES))
        os.environ[FOLDER] = str(self.folder)
        for topic in wanted_topics(sagas(), settings):
            self.cluster.create(topic.name, PARTITIONS, topic.configuration)
        self.cluster.create(PROBE, len(NODES), {})
        self.cluster.wait_until_whole()
        self._start_worker()
        self.events = Events(self.cluster.bootstrap_servers)
        self.load = Load(self.cluster.bootstrap_servers)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        try:
            if self._worker is not None:
                self._worker.terminate()
                self._worker.wait(60)
        finally:
            if self._worker is not None:
                self._worker.kill()
            self.cluster.close()

    @property
    def log(self) -> Path:
        return self.folder / "worker.log"

    @property
    def environment(self) -> dict[str, str]:
        """What a program of the trial finds in its environment."""
        return os.environ | {
            "SOMA_HOME": str(self.folder),
            "SOMA_APPLICATION": APPLICATION,
            "KAFKA_BOOTSTRAP_SERVERS": self.cluster.bootstrap_servers,
        }

    def _start_worker(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "deploy.cli.main", "worker"]
            self._worker = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while read_object(self.folder / "run" / "worker.ready").get("pid") != self._worker.pid:
            if self._worker.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker is not ready: {self.log}")
            time.sleep(0.2)

    def touched_by(self, node: int) -> set[int]:
        """The partitions that the node leads, or of which it coordinates a lane."""
        led = {index for index, leader in self.cluster.leaders(EVENTS).items() if leader == node}
        return led | asyncio.run(self._coordinated_by(node))

    async def _coordinated_by(self, node: int) -> set[int]:
        return {index async for index, coordinator in self._lanes() if coordinator == node}

    async def _lanes(self) -> AsyncIterator[tuple[int, int]]:
        """The partition of every lane, and the node that coordinates it."""
        client = BrokerClient(bootstrap_servers=self.cluster.bootstrap_servers)
        await client.bootstrap()
        (kind,) = sagas()
        try:
            for name in kind.participants:
                for index in range(PARTITIONS):
                    node = await client.coordinator_lookup(CoordinationType.TRANSACTION, f"{name}.{index}")
                    yield index, node
        finally:
            await client.close()

    def coordinators(self) -> Counter[int]:
        """How many lanes each node coordinates."""
        return asyncio.run(self._coordinators())

    async def _coordinators(self) -> Counter[int]:
        return Counter([node async for _, node in self._lanes()])

    def meet(
        self,
        case: str,
        fault: Callable[[int], None],
        node: int = 0,
        warm_seconds: float = WARM_SECONDS,
        calm_seconds: float = CALM_SECONDS,
    ) -> dict[str, Any]:
        """Let the fault happen to a node (0: the first partition's leader) while errands run; what came of it."""
        time.sleep(warm_seconds)
        node = node or self.cluster.leaders(EVENTS)[0]
        touched = self.touched_by(node)
        lines_before = len(self.log.read_text(errors="replace").splitlines())
        begin = time.monotonic()
        fault(node)
        fault_seconds = time.monotonic() - begin
        time.sleep(calm_seconds)
        end = time.monotonic()
        gaps = {index: longest_gap(moments, begin, end) for index, moments in self.events.moments.items()}
        plain = {index: longest_gap(moments, begin, end) for index, moments in self.load.acknowledged.items()}
        lost = Counter(
            re.findall(r'lane"?[=:] ?"?([\w.]+)', line)[0]
            for line in self.log.read_text(errors="replace").splitlines()[lines_before:]
            if "lane.lost" in line
        )
        self.cluster.wait_until_whole()
        own = node - 1
        return {
            "case": case,
            "fault_seconds": round(fault_seconds, 1),
            "gap_touched_seconds": round(max((gaps[index] for index in touched), default=0.0), 1),
            "gap_others_seconds": round(max((gaps[index] for index in gaps if index not in touched), default=0.0), 1),
            "partitions_touched": len(touched),
            "plain_producer_at_the_broker_seconds": round(plain[own], 1),
            "plain_producer_at_the_others_seconds": round(max(plain[index] for index in plain if index != own), 1),
            "lanes_lost": len(lost),
            "lost_at_most": max(lost.values(), default=0),
        }

    def finish(self) -> dict[str, Any]:
        """Let all errands end, and look for what was said twice."""
        self.load.close()
        deadline = time.monotonic() + ENDS_WITHIN_SECONDS
        while set(self.load.started) - self.events.completed and time.monotonic() < deadline:
            time.sleep(0.2)
        self.events.close()
        seen = committed(self.cluster.bootstrap_servers, [EVENTS])
        unended = set(self.load.started) - self.events.completed
        return {
            "errands": len(self.load.started),
            "not_ended": len(unended),
            "which": sorted(unended)[:3],
            "said_twice": len(said_twice(seen)),
        }


def main(cases: list[str]) -> int:
    logging.basicConfig(level=logging.CRITICAL)
    # The brokers and the worker end with this program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # By hand, to see what Kafka's own settings do: name=value.
    brokers = dict(case.split("=", 1) for case in cases if "=" in case)
    wanted = [case for case in cases if "=" not in case] or ["elect", "kill", "freeze", "roll"]
    with tempfile.TemporaryDirectory(prefix="soma-brokers-") as folder, Trial(Path(folder), brokers) as trial:
        cluster = trial.cluster

        def kill(node: int) -> None:
            cluster.kill(node)
            time.sleep(25)
            cluster.start(node)

        def freeze(seconds: float) -> Callable[[int], None]:
            def frozen(node: int) -> None:
                cluster.freeze(node)
                time.sleep(seconds)
                cluster.thaw(node)

            return frozen

        def elect(_: int) -> None:
            # After a restart another one leads; the controller gives back what is the node's by preference.
            cluster.elect_preferred()

        def roll(_: int) -> None:
            cluster.roll()

        faults = {"kill": kill, "freeze": freeze(20), "freeze60": freeze(60), "elect": elect, "roll": roll}
        for case in wanted:
            print(json.dumps(trial.meet(case, faults[case])), flush=True)
        print(json.dumps(trial.finish()), flush=True)
        kept = shutil.copy(trial.log, Path(tempfile.gettempdir()) / "soma-broker-faults-worker.log")
        print(f"the worker's log: {kept}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
