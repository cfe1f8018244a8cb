"""Starts sagas and watches them end, from outside: librdkafka, not the engine's own client."""

import json
import threading
import time
from collections.abc import Iterable
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

FINAL = frozenset({"completed", "compensated", "rejected", "cancelled", "expired"})


class Standing(msgspec.Struct):
    """What is read of a status record."""

    state: str


class Audience:
    """Publishes commands and notes when each saga's final status can be read; close it in the end."""

    def __init__(self, bootstrap_servers: str, saga: str = "relay") -> None:
        self._saga = saga
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "log_level": 0,
                "partitioner": "murmur2_random",
                "linger.ms": 0,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "log_level": 0,
                "group.id": "audience",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            }
        )
        status = f"{saga}.status"
        known = self._consumer.list_topics(timeout=10).topics[status].partitions
        self._consumer.assign([TopicPartition(status, index, 0) for index in known])
        self.started: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.states: dict[str, str] = {}
        self._closing = False
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._watching.start()

    def start(self, saga_ids: Iterable[str], **fields: Any) -> None:
        """Publish a start command for each, with these fields; returns before they are written."""
        self.say("start", saga_ids, **fields)

    def say(self, command: str, saga_ids: Iterable[str], **fields: Any) -> None:
        """Publish this command for each, with these fields; its sagas count as started from now on."""
        body = json.dumps(fields).encode()
        headers: list[tuple[str, str | bytes | None]] = [("ce_type", f"{self._saga}.{command}")]
        for saga_id in saga_ids:
            self.started[saga_id] = time.perf_counter()
            self._producer.produce(f"{self._saga}.commands", body, saga_id.encode(), headers=headers)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until every start is written."""
        left = self._producer.flush(600)
        if left:
            raise RuntimeError(f"{left} starts were not written")

    def wait(self, saga_ids: Iterable[str], seconds: float = 300.0) -> None:
        """Wait until all of these have ended."""
        missing = set(saga_ids)
        deadline = time.monotonic() + seconds
        while missing := missing - self.ended.keys():
            if time.monotonic() > deadline:
                some = sorted(missing)[:3]
                raise RuntimeError(
                    f"{len(missing)} sagas have not ended, e.g. {[(s, self.states.get(s)) for s in some]}"
                )
            time.sleep(0.05)

    def wait_until_all(self, saga_ids: Iterable[str], state: str, seconds: float = 600.0) -> None:
        """Wait until the last status of each of these has that state."""
        missing = set(saga_ids)
        deadline = time.monotonic() + seconds
        while missing := {saga_id for saga_id in missing if self.states.get(saga_id) != state}:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(missing)} sagas are not {state}, e.g. {sorted(missing)[:3]}")
            time.sleep(0.1)

    def close(self) -> None:
        """Stop watching."""
        self._closing = True
        self._watching.join()
        self._consumer.close()

    def _watch(self) -> None:
        decode = msgspec.json.Decoder(Standing).decode
        while not self._closing:
            # An audience that asks without pause would take the broker's time from those it measures.
            first = self._consumer.poll(0.1)
            if first is None:
                continue
            now = time.perf_counter()
            batch = [first, *self._consumer.consume(1_000, timeout=0)]
            for message in batch:
                key, value = message.key(), message.value()
                if message.error() or key is None or value is None:
                    continue
                saga_id = key.decode() if isinstance(key, bytes) else key
                self.states[saga_id] = state = decode(value).state
                if state in FINAL:
                    self.ended.setdefault(saga_id, now)
