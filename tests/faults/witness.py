"""An independent reader (librdkafka) of everything that stands in the topics, and of what it should be equal to."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from confluent_kafka import Consumer, Message, TopicPartition

from producers.headers import NOOP_TYPE


class Seen(NamedTuple):
    """One committed record."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes | None
    headers: dict[str, str]

    @property
    def body(self) -> dict[str, Any]:
        """The value as JSON."""
        found: dict[str, Any] = json.loads(self.value or b"{}")
        return found


class Witness:
    """Reads topics from their beginning, and goes on from where it was; close it in the end."""

    def __init__(self, bootstrap_servers: str, topics: Iterable[str]) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "witness",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
            }
        )
        metadata = self._consumer.list_topics(timeout=10).topics
        self._partitions = [TopicPartition(topic, index, 0) for topic in topics for index in metadata[topic].partitions]
        self._consumer.assign(self._partitions)
        self.seen: list[Seen] = []

    def read_all(self) -> list[Seen]:
        """Every committed record up to the ends as they are now; once, before any `read_on`."""
        unread = len(self._partitions)
        while unread:
            message = self._consumer.poll(10)
            assert message is not None, "Kafka does not answer the witness"
            if message.error():
                unread -= 1
            else:
                self.seen.append(_seen(message))
        return self.seen

    def read_on(self) -> list[Seen]:
        """What was seen so far, and what has come since; it may lag a moment behind."""
        while (message := self._consumer.poll(0.05)) is not None:
            if not message.error():
                self.seen.append(_seen(message))
        return self.seen

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()


def _seen(message: Message) -> Seen:
    # The library's hints allow for what a consumed message never is.
    raw: Any = message
    try:
        headers = {name: (value or b"").decode(errors="replace") for name, value in raw.headers() or ()}
    except (SystemError, UnicodeDecodeError):
        # The library cannot read the headers of a record if the name of one of them is not UTF-8.
        headers = {}
    key = (raw.key() or b"").decode(errors="replace")
    return Seen(raw.topic(), raw.partition(), raw.offset(), key, raw.value(), headers)


def committed(bootstrap_servers: str, topics: Iterable[str]) -> list[Seen]:
    """Every committed record of the topics, from their beginning to their end as it is now."""
    witness = Witness(bootstrap_servers, topics)
    try:
        return witness.read_all()
    finally:
        witness.close()


def said_twice(records: Iterable[Seen]) -> list[tuple[str, str, str, str]]:
    """Every (saga, type, source, causation) that was said more than once; an outsider's words have no source."""
    said = Counter(
        (record.key, record.headers["ce_type"], record.headers["ce_source"], record.headers.get("ce_causationid", ""))
        for record in records
        if record.topic.endswith(".events") and record.headers.get("ce_source")
    )
    return [words for words, count in said.items() if count > 1]


def newest_states(records: Iterable[Seen]) -> dict[str, str]:
    """The newest state of every saga, by saga id."""
    return {record.key: record.body["state"] for record in without_noops(records) if record.topic.endswith(".status")}


def without_noops(records: Iterable[Seen]) -> list[Seen]:
    """All but the empty records that a lane writes, to every topic, to settle a transaction of its former life."""
    return [record for record in records if record.headers.get("ce_type") != NOOP_TYPE]
