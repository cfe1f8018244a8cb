"""Decompression bombs on every topic of a saga, on a real stack: they cost memory within a bound and stop nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import clickhouse_connect
import psutil
import pytest
import yaml
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from deploy.local.files import read_object
from deploy.local.stack import Stack
from producers.bounded_batches import BATCH_BYTES_MAX
from producers.settings import Settings
from tests.faults.hub import BRIEF, TOPICS, eventually

# Starting the stack and packing two gigabytes count as the first test's.
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

MIB = 1024 * 1024
BOMB = bytes(224 * MIB)
LARGE = bytes(BATCH_BYTES_MAX - MIB)
# What the sink needs for a record of the bound's size: what was unpacked, the value, the column, the request. Without
# the bound, one bomb takes three times its size (what was unpacked, a copy of it, the value), and there are seven.
MEMORY_MAX_BYTES = 6 * BATCH_BYTES_MAX
BOMBS = [
    (TOPICS.commands, 0, "zstd"),
    (TOPICS.commands, 1, "gzip"),
    (TOPICS.commands, 2, "lz4"),
    (TOPICS.events, 0, "zstd"),
    (TOPICS.events, 3, "gzip"),
    (TOPICS.status, 0, "zstd"),
    (TOPICS.dead, 0, "zstd"),
]
WITHIN = (TOPICS.events, 1, "zstd")
SAGA = "c-beside-the-bombs"

Range = tuple[str, int, int, int]


class Bombed(NamedTuple):
    """A stack into which the bombs were thrown: which offsets they have, and what it cost the programs."""

    environment: dict[str, str]
    stack: Stack
    ranges: set[Range]
    grown_bytes: dict[str, int]
    run: "subprocess.CompletedProcess[str]"

    def soma(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return soma(self.environment, *words)

    @property
    def addresses(self) -> dict[str, Any]:
        return read_object(self.stack.places.stack_file)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        client = clickhouse_connect.get_client(dsn=self.addresses["clickhouse"], database="soma")
        return [tuple(row) for row in client.query(sql).result_rows]

    def pid(self, part: str) -> int | None:
        """None while it is started again."""
        found: int | None = next(one["pid"] for one in self.stack.status()["parts"] if one["name"] == part)
        return found


def soma(environment: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "deploy.cli.main", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def bombed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bombed]:
    home: Path = tmp_path_factory.mktemp("bombed")
    environment = os.environ | {"SOMA_HOME": str(home)}
    stack = Stack(Settings(home=home))
    try:
        started = soma(environment, "up", "--detach")
        assert started.returncode == 0, started.stderr
        kafka = read_object(stack.places.stack_file)["kafka"]
        pids = {one["name"]: one["pid"] for one in stack.status()["parts"] if one["name"] in ("worker", "sink")}
        before = {name: peak_of(pid, reset=True) for name, pid in pids.items()}
        ranges = {thrown(kafka, *bomb, BOMB) for bomb in BOMBS}
        thrown(kafka, *WITHIN, LARGE)
        brief = home / "brief.yaml"
        brief.write_text(yaml.safe_dump(BRIEF))
        # It waits until the saga has ended, so all before it in its partition was read.
        run = soma(environment, "run", str(brief), "--id", SAGA, "--json")
        made = Bombed(environment, stack, ranges, {}, run)
        eventually(lambda: skipped_in_store(made) == ranges and large_in_store(made), seconds=60)
        yield made._replace(grown_bytes={name: peak_of(pid) - before[name] for name, pid in pids.items()})
    finally:
        soma(environment, "down")


def thrown(kafka: str, topic: str, partition: int, codec: str, value: bytes) -> Range:
    """Write one batch of three records, the second of them large, between two small batches."""
    offsets: list[int] = []

    def note(error: Any, message: Message) -> None:
        assert error is None, error
        offset = message.offset()
        assert offset is not None
        offsets.append(offset)

    producer = Producer(
        {
            "bootstrap.servers": kafka,
            "compression.type": codec,
            "message.max.bytes": 1_000_000_000,
            "batch.size": 1_000_000_000,
            "linger.ms": 2_000,
        }
    )
    for batch in ((b"before",), (b"{}", value, b"{}"), (b"after",)):
        for one in batch:
            producer.produce(topic, one, b"an-outsider", partition=partition, on_delivery=note)
        assert producer.flush(60) == 0
    return topic, partition, offsets[1], offsets[3]


def peak_of(pid: int, reset: bool = False) -> int:
    """The most memory the process has had since the last `reset`."""
    if reset:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    (line,) = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1]) * 1_024


def skipped_in_store(bombed: Bombed) -> set[Range]:
    return set(bombed.query("SELECT toString(_topic), _partition, first_offset, last_offset FROM skipped_batches"))


def large_in_store(bombed: Bombed) -> list[tuple[Any, ...]]:
    """The records above a megabyte: where they are from, their size, and how many zeros they have."""
    sizes = "length(value), countSubstrings(value, '\\0')"
    return bombed.query(
        f"SELECT toString(_topic), _partition, {sizes} FROM messages WHERE channel != 'dead' AND length(value) > {MIB}"
    )


def test_a_saga_beside_the_bombs_ends(bombed: Bombed) -> None:
    assert bombed.run.returncode == 0, bombed.run.stderr
    assert json.loads(bombed.run.stdout.splitlines()[-1])["state"] == "completed"


def test_each_bomb_among_commands_and_events_is_one_dead_letter(bombed: Bombed) -> None:
    listed = bombed.soma("dead", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    letters = [one for one in json.loads(listed.stdout)["dead_letters"] if one["origin"]["first_offset"] is not None]
    told = [
        (one["origin"]["topic"], one["origin"]["partition"], one["origin"]["first_offset"], one["origin"]["offset"])
        for one in letters
    ]
    assert sorted(told) == sorted(one for one in bombed.ranges if one[0] in (TOPICS.commands, TOPICS.events))
    assert all("bytes of codec" in one["reason"] and 0 < one["value_bytes"] < 2 * MIB for one in letters)
    replayed = bombed.soma("dead", "replay", letters[0]["id"])
    assert replayed.returncode == 1 and "cannot be unpacked" in replayed.stdout + replayed.stderr


def test_the_status_is_read_past_a_bomb(bombed: Bombed) -> None:
    status = bombed.soma("status", SAGA, "--json")
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["state"] == "completed"


def test_the_store_has_every_other_record_and_says_which_offsets_it_has_not(bombed: Bombed) -> None:
    def differing() -> set[tuple[str, int, int]]:
        stored = bombed.query("SELECT toString(_topic), _partition, _offset FROM messages")
        assert len(stored) == len(set(stored))
        skipped = {
            (topic, partition, offset)
            for topic, partition, first, last in skipped_in_store(bombed)
            for offset in range(first, last + 1)
        }
        return (set(stored) | skipped) ^ in_kafka(bombed.addresses["kafka"])

    eventually(lambda: not differing(), every=0.5)
    sink = bombed.pid("sink")
    assert sink is not None
    psutil.Process(sink).kill()
    eventually(lambda: bombed.pid("sink") not in (sink, None))
    eventually(lambda: not differing(), every=0.5)
    assert skipped_in_store(bombed) == bombed.ranges


def test_a_record_within_the_bound_is_stored_whole(bombed: Bombed) -> None:
    assert large_in_store(bombed) == [(*WITHIN[:2], len(LARGE), len(LARGE))]


def in_kafka(kafka: str) -> set[tuple[str, int, int]]:
    """Where the committed records stand, as an independent client reads them, bombs and all."""
    settings: dict[str, Any] = {"bootstrap.servers": kafka, "group.id": "witness", "enable.auto.commit": False}
    # librdkafka does not unpack to more than it may receive.
    settings |= {"receive.message.max.bytes": 1_000_000_000, "queued.max.messages.kbytes": 1}
    reader = Consumer(settings | {"enable.partition.eof": True})
    known = reader.list_topics(timeout=10).topics
    found: set[tuple[str, int, int]] = set()
    for place in [TopicPartition(topic, index, 0) for topic in TOPICS for index in known[topic].partitions]:
        reader.assign([place])
        while True:
            message: Any = reader.poll(10)
            assert message is not None, "Kafka does not answer the witness"
            if message.error():
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                break
            found.add((message.topic(), message.partition(), message.offset()))
    reader.close()
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of another process is read from /proc")
def test_worker_and_sink_take_no_more_memory_than_a_batch_may(bombed: Bombed) -> None:
    assert max(bombed.grown_bytes.values()) < MEMORY_MAX_BYTES, bombed.grown_bytes
