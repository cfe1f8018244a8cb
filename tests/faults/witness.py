"""An independent reader (librdkafka) of everything that stands in the topics, and of what it should be equal to."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition


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


def committed(bootstrap_servers: str, topics: Iterable[str]) -> list[Seen]:
    """Every committed record of the topics, from their beginning to their end as it is now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "witness",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    try:
        metadata = consumer.list_topics(timeout=10).topics
        partitions = [TopicPartition(topic, index, 0) for topic in topics for index in metadata[topic].partitions]
        consumer.assign(partitions)
        seen: list[Seen] = []
        open_partitions = len(partitions)
        while open_partitions:
            message = consumer.poll(10)
            assert message is not None, "Kafka does not answer the witness"
            if message.error():
                open_partitions -= 1
                continue
            headers = {name: value.decode(errors="replace") for name, value in message.headers() or ()}
            key = (message.key() or b"").decode(errors="replace")
            seen.append(Seen(message.topic(), message.partition(), message.offset(), key, message.value(), headers))
        return seen
    finally:
        consumer.close()


def said_twice(records: Iterable[Seen]) -> list[tuple[str, str, str, str]]:
    """Every (saga, type, source, causation) that was said more than once."""
    said = Counter(
        (record.key, record.headers["ce_type"], record.headers["ce_source"], record.headers.get("ce_causationid", ""))
        for record in records
        if record.topic.endswith(".events")
    )
    return [words for words, count in said.items() if count > 1]


def newest_states(records: Iterable[Seen]) -> dict[str, str]:
    """The newest state of every saga, by saga id."""
    return {record.key: record.body["state"] for record in records if record.topic.endswith(".status")}
