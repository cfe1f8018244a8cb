"""Errands in a closed loop: so many are open at once, and a new one starts where one has ended. librdkafka speaks."""

import json
import random
import threading
import time
from collections import Counter
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.topics import SagaTopics

TOPICS = SagaTopics.of("errand")
FINAL = frozenset({"completed", "compensated", "cancelled", "rejected", "expired"})
WISHES = {"plain": 82, "slow": 5, "refused": 6, "broken": 2, "cancelled": 5}
DOWN_SECONDS_MAX = 120_000


class _Status(msgspec.Struct):
    state: str


class Load:
    """Starts errands in a thread of its own until `number` have started; `close` it in the end."""

    def __init__(self, kafka: str, number: int, open_most: int, seed: int) -> None:
        self.wishes: dict[str, str] = {}
        self.states: dict[str, str] = {}
        self._ended: set[str] = set()
        self._number, self._open_most, self._random = number, open_most, random.Random(seed)
        self._producer = Producer(
            {
                "bootstrap.servers": kafka,
                "log_level": 0,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "message.timeout.ms": DOWN_SECONDS_MAX,
                "linger.ms": 5,
            }
        )
        self.not_written: list[str] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka,
                "log_level": 0,
                "group.id": "load",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            }
        )
        known = self._consumer.list_topics(timeout=20).topics[TOPICS.status].partitions
        self._consumer.assign([TopicPartition(TOPICS.status, index, 0) for index in known])
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def ended(self) -> int:
        """How many have ended."""
        return len(self._ended)

    @property
    def is_done(self) -> bool:
        """Whether all were started and have ended."""
        return len(self.wishes) >= self._number and len(self._ended) >= len(self.wishes)

    def wait(self, seconds: float) -> bool:
        """Wait until all have ended, but no longer than so many seconds; whether they have."""
        deadline = time.monotonic() + seconds
        while not self.is_done and time.monotonic() < deadline and self._thread.is_alive():
            time.sleep(0.2)
        return self.is_done

    def stop_starting(self) -> None:
        """Start no more."""
        self._number = len(self.wishes)

    def outcomes(self) -> Counter[tuple[str, str]]:
        """How often which wish came to which state."""
        return Counter((wish, self.states.get(saga, "none")) for saga, wish in self.wishes.items())

    def close(self) -> None:
        """Stop watching."""
        self._closing.set()
        self._thread.join()
        self._producer.flush(30)
        self._consumer.close()

    def _run(self) -> None:
        decode = msgspec.json.Decoder(_Status).decode
        while not self._closing.is_set():
            while len(self.wishes) < self._number and len(self.wishes) - len(self._ended) < self._open_most:
                self._start()
            self._producer.poll(0)
            for message in self._consumer.consume(1_000, timeout=0.05):
                key, value = message.key(), message.value()
                if message.error() or not isinstance(key, bytes) or not isinstance(value, bytes):
                    continue
                saga = key.decode()
                self.states[saga] = state = decode(value).state
                if state in FINAL:
                    self._ended.add(saga)

    def _start(self) -> None:
        saga = f"e-{self._random.getrandbits(64):016x}"
        wish = self._random.choices(list(WISHES), list(WISHES.values()))[0]
        self.wishes[saga] = wish
        self._publish("errand.start", saga, {"wish": wish})
        if wish == "cancelled":
            self._publish("errand.cancel", saga, {})

    def _publish(self, wire_type: str, saga: str, body: dict[str, Any]) -> None:
        headers: list[tuple[str, str | bytes | None]] = [("ce_type", wire_type), ("ce_id", f"{wire_type}/{saga}")]

        def written(error: Any, message: Any) -> None:
            if error is not None:
                self.not_written.append(saga)

        while True:
            try:
                self._producer.produce(
                    TOPICS.commands, json.dumps(body).encode(), saga.encode(), headers=headers, on_delivery=written
                )
                return
            except BufferError:
                self._producer.poll(0.1)
