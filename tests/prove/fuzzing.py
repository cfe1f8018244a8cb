"""`python -m tests.prove.fuzzing`: hostile records on every topic of a real stack, against worker, tracker and sink.

They come in rounds. After each, an errand in every partition must complete: so each lane has read all of the round.
No lane may be lost, no program may end, the engine may find no fault in itself, memory must stay flat, and ClickHouse
must have every record. The last line has the figures.
"""

import argparse
import json
import os
import random
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from clickhouse_connect import get_client
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from consumers.runtime.metrics import ENGINE_FAULTS
from deploy.local.files import read_object
from deploy.local.ports import choose_port
from deploy.local.stack import Stack
from producers.records import partition_of
from producers.settings import Settings
from tests.faults.application import FOLDER
from tests.fuzz.hostile import Hostile, records
from tests.prove.errand.application import sagas
from tests.prove.load import TOPICS
from tests.prove.parts import stoppable
from tests.prove.progress import tell
from tests.prove.running import APPLICATION
from tests.prove.witness import compared

ROUNDS = 10
# So that 100,000 records are a gigabyte or two.
LARGE_SHARE = 0.05
# Of so many records one goes to the statuses, and one to the dead letters, instead of where it belongs.
ELSEWHERE = 12
COMPLETES_WITHIN_SECONDS = 90.0
STORED_WITHIN_SECONDS = 90.0
# What a program may have more after the last round than after the half of them: it knows more sagas then. What leaks
# with every record would have doubled.
GROWTH_SHARE_MAX, GROWTH_BYTES_MAX = 0.25, 32 * 1024 * 1024
WATCHED = ("worker", "sink")
PARTS = (*WATCHED, "store", "kafka")


class Target:
    """A stack of its own with the errands of the proof; a context manager that stops it."""

    def __init__(self, folder: Path) -> None:
        self.metrics_port = choose_port([], set())
        faults = folder / "faults"
        faults.mkdir()
        named = {FOLDER: faults, "SOMA_HOME": folder, "SOMA_WORKER_METRICS_PORT": self.metrics_port}
        os.environ.update({name: str(value) for name, value in named.items()} | {"SOMA_APPLICATION": APPLICATION})
        self.stack = Stack(Settings(home=folder))

    def __enter__(self) -> "Target":
        self.stack.fetch()
        try:
            self.stack.up()
        except BaseException:
            self.stack.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.down()

    def address(self, name: str) -> str:
        """Where the broker (`kafka`) or the store (`clickhouse`) listens."""
        return str(read_object(self.stack.places.stack_file)[name])

    def pids(self) -> dict[str, int | None]:
        """The process of each part."""
        parts = {one["name"]: one.get("pid") for one in self.stack.status().get("parts", [])}
        return {name: parts.get(name) for name in PARTS}

    def memory_bytes(self) -> dict[str, int]:
        """What each watched program has in memory now."""
        pids = self.pids()
        return {name: psutil.Process(pids[name]).memory_info().rss for name in WATCHED if pids[name]}

    def lost_lanes(self) -> list[str]:
        """The lines of the worker's log that tell of a lost lane."""
        lines = self.stack.places.log("worker").read_text(errors="replace").splitlines()
        return [line for line in lines if "lane.lost" in line]

    def engine_faults(self) -> list[str]:
        """What the worker counts of its own errors."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        samples = [sample for family in families for sample in family.samples if sample.name == ENGINE_FAULTS.name]
        return [f"{sample.labels}: {sample.value:.0f}" for sample in samples if sample.value]


class Outsider:
    """Publishes hostile records, and errands whose completion it awaits."""

    def __init__(self, kafka: str, seed: int) -> None:
        self.published = self.refused = 0
        self._random = random.Random(seed)
        common = {"bootstrap.servers": kafka, "log_level": 0}
        settings = {"partitioner": "murmur2_random", "compression.type": "zstd", "message.max.bytes": 10_000_000}
        self._producer = Producer({**common, **settings, "linger.ms": 5})
        self._consumer = Consumer({**common, "group.id": "outsider", "isolation.level": "read_committed"})
        known = self._consumer.list_topics(timeout=20).topics[TOPICS.status].partitions
        self._partitions = len(known)
        self._consumer.assign([TopicPartition(TOPICS.status, index, 0) for index in known])

    def publish_until(self, wanted: int, hostile: Iterator[Hostile]) -> None:
        """Publish until the broker has taken so many in all; some it refuses for their size."""
        while self.published < wanted:
            while self.published + len(self._producer) < wanted:
                self._publish(next(hostile))
            assert self._producer.flush(60) == 0, "the broker takes no record"

    def _publish(self, one: Hostile) -> None:
        elsewhere = {0: TOPICS.status, 1: TOPICS.dead}.get(self._random.randrange(ELSEWHERE * 2), one.topic)
        try:
            self._write(elsewhere, one.value, one.key, list(one.headers), self._taken)
        except KafkaException:
            # It is larger than any client sends.
            self.refused += 1

    def _write(self, topic: str, value: bytes | None, key: bytes | None, headers: Any, taken: Any = None) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers, on_delivery=taken)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)

    def _taken(self, error: Any, message: Any) -> None:
        if error is None:
            self.published += 1
        else:
            self.refused += 1

    def uncompleted(self, name: str) -> set[str]:
        """Start an errand in every partition; those that have not completed in time."""
        drawn = (f"{name}-{number}" for number in range(10_000))
        chosen = {partition_of(saga.encode(), self._partitions): saga for saga in drawn}
        for saga in chosen.values():
            self._write(TOPICS.commands, b"{}", saga.encode(), [("ce_type", b"errand.start")])
        self._producer.flush(60)
        awaited, deadline = {saga.encode() for saga in chosen.values()}, time.monotonic() + COMPLETES_WITHIN_SECONDS
        while awaited and time.monotonic() < deadline:
            for message in self._consumer.consume(1_000, timeout=0.2):
                key = message.key()
                if isinstance(key, bytes) and key in awaited and state_of(message) == "completed":
                    awaited.discard(key)
        return {saga.decode() for saga in awaited}

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()


def state_of(message: Any) -> str:
    """The state that a status tells; empty where it tells none: an outsider may have written it."""
    try:
        return str(json.loads(message.value() or b"{}")["state"])
    except (ValueError, KeyError, TypeError):
        return ""


def fuzzed(target: Target, count: int, seed: int) -> tuple[int, list[str]]:
    """Publish so many records in rounds; how many the broker took, and all that was wrong."""
    (kind,) = sagas()
    # The broker refuses a few of them.
    hostile = records(kind.graph, seed, 2 * count, large_share=LARGE_SHARE)
    outsider = Outsider(target.address("kafka"), seed)
    pids, memory, failures = target.pids(), list[dict[str, int]](), list[str]()
    for number in range(1, ROUNDS + 1):
        outsider.publish_until(count * number // ROUNDS, hostile)
        late = outsider.uncompleted(f"good-{number}")
        failures += [f"not completed after round {number}: {sorted(late)}"] if late else []
        memory.append(target.memory_bytes())
        shown = {name: f"{size / 2**20:.0f} MB" for name, size in memory[-1].items()}
        tell(f"round {number}: {outsider.published} records published, {outsider.refused} refused, {shown}")
    failures += grown(memory[ROUNDS // 2 - 1], memory[-1])
    failures += [f"the engine found a fault in itself: {words}" for words in target.engine_faults()]
    if ended := {name for name, pid in target.pids().items() if pid != pids[name]}:
        failures.append(f"these programs have ended: {sorted(ended)}")
    if lost := target.lost_lanes():
        failures.append(f"{len(lost)} lanes were lost, e.g. {lost[0]}")
    outsider.close()
    return outsider.published, failures + not_stored(target)


def grown(half: dict[str, int], last: dict[str, int]) -> list[str]:
    """The programs that have much more in memory in the end than when half of the records were published."""
    return [
        f"{name} has grown from {half.get(name, 0) // 2**20} to {size // 2**20} MB"
        for name, size in last.items()
        if size > half.get(name, 0) * (1 + GROWTH_SHARE_MAX) + GROWTH_BYTES_MAX
    ]


def not_stored(target: Target) -> list[str]:
    """What ClickHouse does not have as Kafka has it, once the sink has had its time."""
    deadline = time.monotonic() + STORED_WITHIN_SECONDS
    client = get_client(dsn=target.address("clickhouse"), database="soma")
    while True:
        count, differing = compared(target.address("kafka"), client)
        if not differing:
            tell(f"all {count} records of the topics are in ClickHouse")
            return []
        if time.monotonic() > deadline:
            return [f"{len(differing)} records differ in ClickHouse, e.g. {differing[:3]}"]
        time.sleep(2)


def main() -> int:
    """See the module; the exit code is 0 whatever was found, for the figures say it."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove.fuzzing", description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    stoppable()
    with (
        TemporaryDirectory(prefix="soma-fuzz-", ignore_cleanup_errors=True) as folder,
        Target(Path(folder)) as target,
    ):
        count, failures = fuzzed(target, chosen.records, chosen.seed)
    print(json.dumps({"fuzzed": count, "fuzz_failures": failures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
