"""What the log, the world's file and ClickHouse say in the end, read by a client that had no part in it (librdkafka).

A run has a million records and more: of each only a short hash is kept, and ClickHouse is compared partition by
partition.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b, md5
from pathlib import Path
from typing import Any, NamedTuple

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, Message, TopicPartition

from producers.headers import NOOP_TYPE
from tests.prove.errand.words import SCHEMA
from tests.prove.load import FINAL, TOPICS
from tests.prove.views import Row, Tally, views_difference

UNDOING = frozenset(kind for kind, declared in SCHEMA.messages.items() if hasattr(declared, "undoes"))
# What may become of a wish. A call that comes too late finds the errand completed.
ALLOWED: Mapping[str, frozenset[str]] = {
    "plain": frozenset({"completed"}),
    "slow": frozenset({"completed"}),
    "refused": frozenset({"compensated"}),
    "broken": frozenset({"compensated"}),
    "cancelled": frozenset({"cancelled", "completed"}),
}

# Which effect stands on which: those of a higher stage are undone first, those of one stage in any order.
STAGES = {"buy_goods": 1, "wrap_goods": 2, "hire_rider": 3, "book_slot": 3, "deliver_goods": 4}


@dataclass
class Evidence:
    """What was found of the events; `seen` has a hash of all words that must be said once."""

    said_twice: list[str] = field(default_factory=list)
    undone_twice: list[str] = field(default_factory=list)
    undone: set[str] = field(default_factory=set)
    completed: set[str] = field(default_factory=set)
    ends: Counter[str] = field(default_factory=Counter)
    seen: set[bytes] = field(default_factory=set)

    def hear(self, saga: str, wire_type: str, source: str, causation: str) -> None:
        """Take one committed event."""
        words = f"{saga}\0{wire_type}\0{source}\0{causation}"
        mark = blake2b(words.encode(), digest_size=8).digest()
        if mark in self.seen:
            self.said_twice.append(words.replace("\0", " "))
        self.seen.add(mark)
        if wire_type in UNDOING:
            undone = blake2b(f"undone\0{saga}\0{wire_type}".encode(), digest_size=8).digest()
            if undone in self.seen:
                self.undone_twice.append(f"{saga} {wire_type}")
            self.seen.add(undone)
            self.undone.add(saga)
        if wire_type == "errand.completed":
            self.completed.add(saga)


def lost(wishes: Mapping[str, str], states: Mapping[str, str]) -> list[str]:
    """The errands that came to no end, or to another one than their wish leads to."""
    return [
        f"{saga} ({wish}): {states.get(saga, 'nothing')}"
        for saga, wish in wishes.items()
        if states.get(saga) not in ALLOWED[wish]
    ]


def effects_wrong(lines: Iterable[str], states: Mapping[str, str]) -> list[str]:
    """Effects that stand although their errand was undone, or were undone although it completed."""
    done: dict[str, str] = {}
    undone: set[str] = set()
    for line in lines:
        verb, _, rest = line.rstrip("\n").partition(" ")
        if verb == "undo":
            undone.add(rest)
        else:
            done[rest] = rest.partition(" ")[0]
    wrong = [f"undone: {key}" for key in undone if states.get(key.partition(" ")[0]) == "completed"]
    ended_otherwise = {saga for saga, state in states.items() if state in FINAL and state != "completed"}
    return wrong + [f"left: {key}" for key, saga in done.items() if saga in ended_otherwise and key not in undone]


def undo_order(lines: Iterable[str]) -> list[str]:
    """Effects undone before a later one of their errand was, and effects made after their undo.

    The first undo of an effect counts: after a crash several of them may be done again, from the last commit on.
    """
    reached: dict[str, int] = {}
    undone: set[str] = set()
    wrong = []
    for line in lines:
        verb, _, key = line.rstrip("\n").partition(" ")
        saga, step, *_ = key.split(" ")
        if verb == "do":
            wrong += [f"made after it was undone: {key}"] if key in undone else []
        elif key not in undone:
            undone.add(key)
            if STAGES[step] > reached.get(saga, STAGES[step]):
                wrong.append(f"undone after what it stands on: {key}")
            reached[saga] = STAGES[step]
    return wrong


def records(kafka: str, topic: str, partition: int) -> Iterator[Message]:
    """Every committed record of one partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "log_level": 0,
            "group.id": "prove-witness",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0)])
    try:
        while True:
            for message in consumer.consume(10_000, timeout=1.0):
                if message.error():
                    return
                yield message
    finally:
        consumer.close()


def partitions_of(kafka: str, topic: str) -> list[int]:
    """The partitions of a topic."""
    consumer = Consumer({"bootstrap.servers": kafka, "log_level": 0, "group.id": "prove-witness"})
    try:
        return sorted(consumer.list_topics(topic, timeout=20).topics[topic].partitions)
    finally:
        consumer.close()


def events_of(kafka: str) -> Evidence:
    """All that was said of errands."""
    evidence = Evidence()
    for partition in partitions_of(kafka, TOPICS.events):
        for message in records(kafka, TOPICS.events, partition):
            headers = {name: (value or b"").decode() for name, value in _headers(message)}
            if headers.get("ce_type") == NOOP_TYPE:
                # Says nothing: a lane has settled a transaction that hung.
                continue
            source, causation = headers.get("ce_source", ""), headers.get("ce_causationid", "")
            evidence.hear(_key(message), headers.get("ce_type", ""), source, causation)
    return evidence


def final_states(kafka: str) -> tuple[dict[str, str], list[str]]:
    """The last state of every errand, and which of them stand still without naming a cause."""
    states: dict[str, str] = {}
    causeless: dict[str, bool] = {}
    for partition in partitions_of(kafka, TOPICS.status):
        for message in records(kafka, TOPICS.status, partition):
            if _key(message) == NOOP_TYPE:
                continue
            status = json.loads(_value(message) or b"{}")
            states[_key(message)] = status["state"]
            causeless[_key(message)] = status["state"] in ("stuck", "held") and not status.get("cause")
    return states, [saga for saga, is_causeless in causeless.items() if is_causeless]


class Stored(NamedTuple):
    """How many records there are, and what ClickHouse does not have as Kafka has it."""

    records: int
    differing: list[str]
    views: list[str]


def stored(kafka: str, clickhouse: str) -> Stored:
    """Compare ClickHouse with Kafka: every record once and equal, and what every view and aggregate shows."""
    client, tally = clickhouse_connect.get_client(dsn=clickhouse, database="soma"), Tally()
    count, differing = compared(kafka, client, lambda topic, message: tally.hear(_row(topic, message)))
    # Of a table that lacks records the views say nothing new.
    return Stored(count, differing, [] if differing else views_difference(client, tally.expected()))


def compared(
    kafka: str, client: Client, hear: Callable[[str, Message], None] = lambda topic, message: None
) -> tuple[int, list[str]]:
    """How many records there are, and which do not stand once, and equal, in both; `hear` is given each."""
    count, differing = 0, []
    for topic in TOPICS:
        for partition in partitions_of(kafka, topic):
            expected: dict[int, bytes | None] = {}
            for one in records(kafka, topic, partition):
                expected[_offset(one)] = digest_of(_value(one))
                hear(topic, one)
            count += len(expected)
            rows = client.query(
                "SELECT _offset, MD5(value) FROM messages WHERE _topic = {t:String} AND _partition = {p:UInt32}",
                parameters={"t": topic, "p": partition},
                query_formats={"FixedString": "bytes"},
            ).result_rows
            differing += [f"{topic}/{partition}/{words}" for words in unequal(expected, rows)]
    return count, differing


def _row(topic: str, message: Message) -> Row:
    headers = {name: (value or b"").decode() for name, value in _headers(message)}
    at = datetime.fromtimestamp(message.timestamp()[1] / 1_000, UTC)
    return Row(topic.rpartition(".")[2], at, _key(message), _value(message), headers)


def digest_of(value: bytes | None) -> bytes | None:
    """As ClickHouse's MD5 gives it: of a record without a value, such as a no-op's, there is none."""
    return None if value is None else md5(value).digest()


def unequal(expected: Mapping[int, bytes | None], rows: Iterable[Sequence[Any]]) -> list[str]:
    """What is wrong with the rows (offset and digest), given the digests in Kafka; a tombstone's digest is None."""
    awaited, wrong = dict(expected), []
    for offset, digest in rows:
        if offset not in awaited or awaited.pop(offset) != digest:
            wrong.append(f"{offset}: another value, too many, or not in Kafka")
    return wrong + [f"{offset}: not in ClickHouse" for offset in awaited]


def world_lines(path: Path) -> Iterator[str]:
    """The lines of the world's file."""
    with path.open() as lines:
        yield from lines


def _key(message: Message) -> str:
    key = message.key()
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key or "")


def _value(message: Message) -> bytes | None:
    value = message.value()
    return value.encode() if isinstance(value, str) else value


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None
    return offset


def _headers(message: Message) -> Iterable[tuple[str, bytes | None]]:
    raw: Any = message
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in raw.headers() or ()]
