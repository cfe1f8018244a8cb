"""Errands in a closed loop: so many are open at once, and a new one starts where one has ended. librdkafka speaks."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.topics import SagaTopics
from tests.prove.progress import tell

TOPICS = SagaTopics.of("errand")
FINAL = frozenset({"completed", "compensated", "cancelled", "rejected", "expired"})
WISHES = {"plain": 82, "slow": 5, "refused": 6, "broken": 2, "cancelled": 5}
DOWN_SECONDS_MAX = 120_000
LOOKS_EVERY_SECONDS = 1.0


class _Status(msgspec.Struct):
    state: str


class Load:
    """Starts errands in a thread of its own until `number` have started; `close` it in the end.

    `kafka` says where the broker is now: where it comes back at another address, the load follows it, and says again
    what was not acknowledged (a command's id makes it one).
    """

    def __init__(self, kafka: Callable[[], str], number: int, open_most: int, seed: int) -> None:
        self.wishes: dict[str, str] = {}
        self.states: dict[str, str] = {}
        self.not_written: list[str] = []
        self.failure = ""
        self._ended: set[str] = set()
        self._number, self._open_most, self._random = number, open_most, random.Random(seed)
        self._kafka, self._address, self._looked_at = kafka, kafka(), time.monotonic()
        self._unwritten: dict[tuple[str, str], bytes] = {}
        self._producer, self._consumer = _producer(self._address), _consumer(self._address)
        known = self._consumer.list_topics(timeout=20).topics[TOPICS.status].partitions
        self._positions = dict.fromkeys(known, 0)
        self._assign()
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
        try:
            while not self._closing.is_set():
                self._follow()
                while len(self.wishes) < self._number and len(self.wishes) - len(self._ended) < self._open_most:
                    self._start()
                self._producer.poll(0)
                self._hear()
        except Exception as error:
            # The certificate says so.
            self.failure = repr(error)

    def _hear(self) -> None:
        for message in self._consumer.consume(1_000, timeout=0.05):
            key, value, partition, offset = message.key(), message.value(), message.partition(), message.offset()
            if message.error() or partition is None or offset is None:
                continue
            self._positions[partition] = offset + 1
            if isinstance(key, bytes) and isinstance(value, bytes):
                saga = key.decode()
                self.states[saga] = state = msgspec.json.decode(value, type=_Status).state
                if state in FINAL:
                    self._ended.add(saga)

    def _follow(self) -> None:
        """Where the broker has another address than before, go on there."""
        if time.monotonic() - self._looked_at < LOOKS_EVERY_SECONDS:
            return
        self._looked_at = time.monotonic()
        address = self._kafka()
        if address in ("", self._address):
            return
        tell(f"the broker has moved from {self._address} to {address}")
        former, self._address = self._producer, address
        self._consumer.close()
        self._producer, self._consumer = _producer(address), _consumer(address)
        former.purge()
        self._assign()
        for (wire_type, saga), value in list(self._unwritten.items()):
            self._publish(wire_type, saga, value)

    def _assign(self) -> None:
        self._consumer.assign([TopicPartition(TOPICS.status, *place) for place in self._positions.items()])

    def _start(self) -> None:
        saga = f"e-{self._random.getrandbits(64):016x}"
        wish = self._random.choices(list(WISHES), list(WISHES.values()))[0]
        self.wishes[saga] = wish
        self._publish("errand.start", saga, json.dumps({"wish": wish}).encode())
        if wish == "cancelled":
            self._publish("errand.cancel", saga, b"{}")

    def _publish(self, wire_type: str, saga: str, value: bytes) -> None:
        headers: list[tuple[str, str | bytes | None]] = [("ce_type", wire_type), ("ce_id", f"{wire_type}/{saga}")]
        self._unwritten[wire_type, saga] = value
        address = self._address

        def written(error: Any, message: Any) -> None:
            if error is None:
                self._unwritten.pop((wire_type, saga), None)
            elif address == self._address:
                self.not_written.append(saga)

        while True:
            try:
                self._producer.produce(TOPICS.commands, value, saga.encode(), headers=headers, on_delivery=written)
                return
            except BufferError:
                self._producer.poll(0.1)


def _producer(address: str) -> Producer:
    return Producer(
        {
            "bootstrap.servers": address,
            "log_level": 0,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "message.timeout.ms": DOWN_SECONDS_MAX,
            "linger.ms": 5,
        }
    )


def _consumer(address: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": address,
            "log_level": 0,
            "group.id": "load",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
