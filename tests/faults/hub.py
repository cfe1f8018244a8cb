"""A real stack for fault tests: its own folder, the dying application, and what a test needs to ask of it."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import clickhouse_connect
import psutil
from confluent_kafka import Producer

from deploy.local.files import read_object
from deploy.local.stack import Stack
from producers.settings import Settings
from schemas.topics import SagaTopics
from tests.faults.application import FOLDER, LOG
from tests.faults.witness import Seen, Witness, committed, newest_states, without_noops

TOPICS = SagaTopics.of("campaign")
BRIEF: dict[str, Any] = {
    "name": "Spring",
    "goal": "Sell tulips to people who like them",
    "audience": {"description": "gardeners", "recipients": ["ada@example.org", "bob@example.org"]},
    "channels": ["email", "social", "blog"],
    "sources": ["Tulips sell best in spring. Gardeners like colours that last."],
    "review": "none",
}
FINAL = {"completed", "rejected", "expired", "cancelled", "compensated"}


class Hub:
    """One running stack; `stop` it in the end."""

    def __init__(
        self, home: Path, application: str = "tests.faults.application:sagas", topics: SagaTopics = TOPICS
    ) -> None:
        self.home, self.faults, self.topics = home, home / "faults", topics
        self.faults.mkdir(parents=True)
        self._environment = os.environ | {
            FOLDER: str(self.faults),
            "SOMA_HOME": str(home),
            "SOMA_APPLICATION": application,
        }
        self.stack = Stack(Settings(home=home))
        self.soma("up", "--detach")
        self.addresses = read_object(self.stack.places.stack_file)
        self._producer = Producer(
            {"bootstrap.servers": self.addresses["kafka"], "partitioner": "murmur2_random", "linger.ms": 1}
        )

        self._states: dict[str, str] = {}
        self._counted = 0
        self._status = Witness(self.addresses["kafka"], [topics.status])
        self._events = Witness(self.addresses["kafka"], [topics.events])

    def stop(self) -> None:
        """Stop the stack."""
        self._status.close()
        self._events.close()
        self.soma("down")

    def soma(self, *words: str, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the real command; fails if it ends with another exit code."""
        command = [sys.executable, "-m", "deploy.cli.main", *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == exit_code, done.stderr
        return done

    def publish(
        self,
        wire_type: str,
        saga_id: str | None,
        body: dict[str, Any] | bytes | None,
        message_id: str = "",
        **named: Any,
    ) -> None:
        """Say a command as any program could: key, type, JSON."""
        self.publish_soon(wire_type, saga_id, body, message_id, **named)
        self.flush()

    def flush(self) -> None:
        """Wait until all that was said is written."""
        assert self._producer.flush(30) == 0

    def publish_soon(
        self,
        wire_type: str,
        saga_id: str | None,
        body: dict[str, Any] | bytes | None,
        message_id: str = "",
        **named: Any,
    ) -> None:
        """The same, without waiting."""
        headers: list[tuple[str, str | bytes | None]] = [("ce_type", wire_type)]
        if message_id:
            headers.append(("ce_id", message_id))
        value = json.dumps(body).encode() if isinstance(body, dict) else body
        key = None if saga_id is None else saga_id.encode()
        self._producer.produce(self.topics.commands, value, key, headers=headers, **named)

    def records(self, *topics: str) -> list[Seen]:
        """Every committed record that says something, of these topics, or of all that reach ClickHouse."""
        return without_noops(committed(self.addresses["kafka"], topics or self.topics))

    def states(self) -> dict[str, str]:
        """The newest state of every saga; it may lag a moment behind."""
        seen = self._status.read_on()
        self._states |= newest_states(seen[self._counted :])
        self._counted = len(seen)
        return self._states

    def answers(self, message_id: str) -> list[str]:
        """The types of the events that a command led to."""
        return [
            record.headers["ce_type"]
            for record in self._events.read_on()
            if record.headers.get("ce_causationid") == message_id
        ]

    def ask_to_die(self, moment: str) -> None:
        """The next worker that comes to this moment dies there."""
        (self.faults / moment).touch()

    def has_died(self, moment: str) -> bool:
        """Whether a worker has died there since it was asked to."""
        return not (self.faults / moment).exists()

    def crash_points(self) -> list[str]:
        """Where workers died, in order."""
        log = self.faults / LOG
        return log.read_text().splitlines() if log.exists() else []

    def pid(self, part: str) -> int | None:
        """The pid of a running part."""
        if part == "supervisor":
            supervisor = self.stack.supervisor()
            return supervisor.pid if supervisor else None
        parts = self.stack.status().get("parts", [])
        return next((one["pid"] for one in parts if one["name"] == part and one["state"] == "running"), None)

    def kill(self, part: str) -> bool:
        """SIGKILL the part if it runs; whether it did."""
        pid = self.pid(part)
        if pid is None:
            return False
        try:
            psutil.Process(pid).kill()
        except psutil.NoSuchProcess:
            return False
        return True

    def clickhouse_difference(self) -> set[tuple[str, int, int]]:
        """The records that stand in Kafka or in ClickHouse's `messages`, but not in both, or not once."""
        every = committed(self.addresses["kafka"], self.topics)
        kafka = {(record.topic, record.partition, record.offset): record.value for record in every}
        client = clickhouse_connect.get_client(dsn=self.addresses["clickhouse"], database="soma")
        rows = client.query(
            "SELECT _topic, _partition, _offset, value FROM messages", query_formats={"String": "bytes"}
        )
        found: dict[tuple[str, int, int], bytes] = {}
        twice: set[tuple[str, int, int]] = set()
        for topic, partition, offset, value in rows.result_rows:
            place = (topic.decode() if isinstance(topic, bytes) else topic, partition, offset)
            if place in found:
                twice.add(place)
            found[place] = value
        differing = {place for place in kafka.keys() & found.keys() if (kafka[place] or b"") != (found[place] or b"")}
        return twice | differing | (kafka.keys() ^ found.keys())


def eventually(condition: Callable[[], object], seconds: float = 60.0, every: float = 0.1) -> None:
    """Wait until the condition holds; fails with what it last was."""
    deadline = time.monotonic() + seconds
    while not (last := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {last!r}"
        time.sleep(every)


def names(count: int, seed: int = 0) -> list[str]:
    """Saga ids that no other test uses."""
    drawn = random.Random(seed)
    return [f"c-{drawn.getrandbits(64):016x}" for _ in range(count)]
