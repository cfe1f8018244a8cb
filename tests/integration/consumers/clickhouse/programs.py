"""The store and the sink as programs of their own, to be killed; and readers that know nothing of either."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from consumers.clickhouse.connecting import connect

STORE = "import sys; from producers.settings import Settings; from deploy.cli.store import store;" + (
    "sys.exit(store(Settings(), int(sys.argv[1])))"
)
SINK = (
    "import sys, json, logging; logging.basicConfig(level='INFO'); from producers.settings import Settings;"
    "from deploy.cli.sink import sink; from consumers.clickhouse.sink import Options; "
    "from consumers.clickhouse.batches import Limits;"
    "sys.exit(sink(Settings(), options=Options(limits=Limits(*json.loads(sys.argv[1])), commit_every_seconds=1.0,"
    " check_every_seconds=0.5, believe_after_seconds=0.5)))"
)


def until(is_so: Callable[[], Any], seconds: float = 30.0, what: str = "") -> Any:
    """Ask again and again until the answer is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := is_so()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or is_so}"
        time.sleep(0.02)
    return answer


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Program:
    """A Python program that can be started again and again."""

    def __init__(self, home: Path, name: str, code: str, *arguments: str, **environment: str) -> None:
        self.home = home
        self.log = home / f"{name}.log"
        self.command = [sys.executable, "-c", code, *arguments]
        self.environment = os.environ | {"SOMA_HOME": str(home)} | environment
        self.running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        assert self.running is not None
        return self.running.pid

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        if self.running is not None and self.running.poll() is None:
            self.running.kill()
            self.running.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.running is not None
        self.running.terminate()
        return self.running.wait(timeout=20)

    def exit_code(self, seconds: float = 30.0) -> int:
        assert self.running is not None
        return self.running.wait(timeout=seconds)


class StoreProgram(Program):
    """`soma store`."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(home, "store", STORE, str(self.port))

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def start(self) -> None:
        super().start()
        until(self.answers, what="the store listens")

    def client(self, database: str) -> Client:
        return connect(self.url, database)


class SinkProgram(Program):
    """`soma sink`, with small batches."""

    def __init__(
        self, home: Path, kafka: str, store: str, database: str, limits: tuple[int, int, float] = (500, 1 << 20, 0.1)
    ) -> None:
        self.ready_file = home / "run" / "sink.ready"
        super().__init__(
            home,
            "sink",
            SINK,
            json.dumps(limits),
            KAFKA_BOOTSTRAP_SERVERS=kafka,
            CLICKHOUSE_URL=store,
            SOMA_CLICKHOUSE_DATABASE=database,
        )

    def is_ready(self) -> bool:
        try:
            return bool(json.loads(self.ready_file.read_text())["pid"] == self.pid)
        except FileNotFoundError:
            return False


def make_topics(servers: str, topics: Iterable[str], partitions: int) -> None:
    """Make the topics."""
    admin = AdminClient({"bootstrap.servers": servers})
    for future in admin.create_topics([NewTopic(topic, partitions, 1) for topic in topics]).values():
        future.result()


def empty(servers: str, topics: Iterable[str]) -> None:
    """Delete all records; offsets go on from where they were."""
    admin = AdminClient({"bootstrap.servers": servers})

    def is_empty() -> bool:
        try:
            known = admin.list_topics(timeout=10).topics
            ends = [TopicPartition(topic, one, OFFSET_END) for topic in topics for one in known[topic].partitions]
            for future in admin.delete_records(ends).values():
                future.result()
        except (KafkaException, KeyError):
            # A topic that was made a moment ago is not known to every broker yet.
            return False
        return True

    until(is_empty, what="the topics are empty")


def say(servers: str, records: Iterable[dict[str, Any]], **config: Any) -> int:
    """Publish the records (as `Producer.produce` takes them); how many."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 5, **config})
    failures: list[Any] = []
    count = 0
    for record in records:
        producer.produce(**record, on_delivery=lambda error, _: failures.append(error) if error else None)
        producer.poll(0)
        count += 1
    producer.flush(30)
    assert not failures
    return count


Row = tuple[str, int, int, bytes | None, bytes | None, tuple[tuple[bytes, bytes], ...]]


def in_kafka(servers: str, topics: Iterable[str]) -> list[Row]:
    """Every record, as an independent client reads it: topic, partition, offset, key, value, headers."""
    settings = {"bootstrap.servers": servers, "group.id": "nobody", "enable.auto.commit": False}
    reader = Consumer(settings | {"isolation.level": "read_committed", "enable.partition.eof": True})
    known = reader.list_topics(timeout=10).topics
    places = [TopicPartition(topic, one, OFFSET_BEGINNING) for topic in topics for one in known[topic].partitions]
    reader.assign(places)
    rows: list[Row] = []
    ended: set[tuple[str, int]] = set()
    while len(ended) < len(places):
        for message in reader.consume(5_000, timeout=1.0):
            place: Any = (message.topic(), message.partition())
            if message.error():
                ended.add(place)
                continue
            said: Any = message.headers() or []
            headers = tuple((name.encode(), value or b"") for name, value in said)
            rows.append((*place, message.offset(), message.key(), message.value(), headers))
    reader.close()
    return sorted(rows, key=lambda row: row[:3])


def in_store(client: Client) -> list[Row]:
    """Every row of `messages`, likewise."""
    rows = client.query(
        "SELECT toString(_topic), _partition, _offset, _key, value, mapKeys(headers), mapValues(headers) FROM messages"
        " ORDER BY _topic, _partition, _offset",
        query_formats={"String": "bytes"},
    ).result_rows
    return [
        (topic.decode(), partition, offset, key, value, tuple(zip(names, values, strict=True)))
        for topic, partition, offset, key, value, names, values in rows
    ]


def count_in(client: Client, table: str = "messages") -> int:
    """How many rows; 0 where there is no such table yet."""
    try:
        return int(client.query(f"SELECT count() FROM {table}").result_rows[0][0])
    except DatabaseError as error:
        if error.code in (60, 81):
            return 0
        raise


def check_exact(servers: str, topics: Iterable[str], client: Client) -> list[Row]:
    """ClickHouse has Kafka's records, to the record, and every view has counted each of them once."""
    rows = in_kafka(servers, topics)
    assert in_store(client) == rows
    said = {row[:3] for row in client.query("SELECT toString(_topic), _partition, _offset FROM dead_rows").result_rows}
    assert said == {row[:3] for row in rows if not is_json(row[4])}
    assert count_in(client, "dead_rows") == len(said)
    spoken = [row for row in rows if (b"ce_type", b"soma.noop") not in row[5]]
    assert sum_of(client, "message_counts") == len(spoken)
    timed = [row for row in spoken if row[0].endswith(".events") and b"ce_startedat" in dict(row[5])]
    assert sum_of(client, "step_durations") == len(timed)
    return rows


def sum_of(client: Client, table: str) -> int:
    """How many messages the aggregate has counted."""
    return int(client.query(f"SELECT sum(count) FROM {table}").result_rows[0][0])


def is_json(value: bytes | None) -> bool:
    """Whether the engine's decoder takes the value for JSON."""
    try:
        msgspec.json.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
