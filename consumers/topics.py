"""The topics a hub needs on its cluster: planned, compared with what is there, and created."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from consumers.kinds import SagaKind
from consumers.runtime.transport import POSITION_KEY, Position
from producers.bounded_consumer import BoundedConsumer
from producers.cluster import connection
from producers.errors import SomaError
from producers.settings import Settings
from schemas.topics import state_topic

FOREVER = "-1"
# The segment that is being written is never compacted, and a restore reads all of it.
COMPACTED = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.2",
    "segment.ms": "600000",
    "segment.bytes": "33554432",
}
MEGABYTE = 1024 * 1024
# What a topic takes in one batch; the engine bounds each record below it, by its encoded size. Every topic says it:
# a cluster may have another default than the brokers' own megabyte.
BATCH_BYTES_MAX = {
    # A command has at most 256 kB. Clients fill their batches up to a megabyte, and the door answers what is larger.
    "commands": MEGABYTE + 64 * 1024,
    # An event has at most 640 kB.
    "events": MEGABYTE + 64 * 1024,
    # A status is cut at 768 kB.
    "status": MEGABYTE + 64 * 1024,
    # A letter has the first megabyte of the record it tells of, each byte of which may take six in JSON.
    "dead": 8 * MEGABYTE,
    # A journal takes no input above 4 MB, and no outcome above 6.
    "state": 8 * MEGABYTE,
}


class TopicsDiffer(SomaError):
    """The cluster has a topic of ours with another partition count. It is fixed for a topic's life."""


@dataclass(frozen=True)
class WantedTopic:
    """One topic, as it should be."""

    name: str
    partitions: int
    replication: int
    configuration: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What is missing on the cluster, and what is there but differs (in words)."""

    missing: tuple[WantedTopic, ...]
    differing: tuple[str, ...]


def wanted_topics(kinds: tuple[SagaKind, ...], settings: Settings) -> tuple[WantedTopic, ...]:
    """Every topic of these saga kinds."""
    wanted: list[WantedTopic] = []
    for kind in kinds:
        topics = kind.graph.schema.topics
        sized = {name: {"max.message.bytes": str(size)} for name, size in BATCH_BYTES_MAX.items()}
        # The broker's own clock decides whether a command beat a deadline.
        kept = {"message.timestamp.type": "LogAppendTime", "retention.ms": FOREVER}
        shapes = {
            topics.commands: kept | sized["commands"],
            topics.events: kept | sized["events"],
            # The sink has this long to read each status before only the newest is kept.
            topics.status: COMPACTED | {"min.compaction.lag.ms": "86400000"} | sized["status"],
            topics.dead: {"retention.ms": FOREVER} | sized["dead"],
        } | {state_topic(participant): COMPACTED | sized["state"] for participant in kind.participants}
        wanted += [
            WantedTopic(name, settings.partitions, settings.replication, shape) for name, shape in shapes.items()
        ]
    return tuple(wanted)


async def plan(settings: Settings, kinds: tuple[SagaKind, ...]) -> Plan:
    """Compare the cluster with what is wanted; changes nothing."""
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        return await _planned(admin, wanted_topics(kinds, settings))
    finally:
        await admin.close()


async def _planned(admin: AIOKafkaAdminClient, wanted: tuple[WantedTopic, ...]) -> Plan:
    there = set(await admin.list_topics())
    known = [topic.name for topic in wanted if topic.name in there]
    described = await admin.describe_topics(known) if known else []
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
    by_saga: dict[str, set[int]] = {}
    for name, count in counts.items():
        by_saga.setdefault(name.partition(".")[0], set()).add(count)
    differing = tuple(
        f"the topics of {saga} have {sorted(counts)} partitions; all of one saga must have the same number"
        for saga, counts in by_saga.items()
        if len(counts) > 1
    )
    missing = tuple(topic for topic in wanted if topic.name not in there)
    # Topics that join a saga already there take its partition count, whatever the setting says now.
    fitted = tuple(
        WantedTopic(topic.name, min(by_saga.get(topic.name.partition(".")[0], {topic.partitions})), *_rest(topic))
        for topic in missing
    )
    return Plan(fitted, differing)


def _rest(topic: WantedTopic) -> tuple[int, dict[str, str]]:
    return topic.replication, topic.configuration


async def apply(settings: Settings, kinds: tuple[SagaKind, ...], begin_from: str | None = None) -> Plan:
    """Create what is missing, and give every lane without one its first position; returns what was missing.

    A participant created together with its saga's events begins at their beginning. One that joins a saga with history
    is given a position only if `begin_from` says "beginning" or "now". May be called at any time, by several at once.
    Raises `TopicsDiffer` and changes nothing if partition counts differ.
    """
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        found = await _planned(admin, wanted_topics(kinds, settings))
        if found.differing:
            raise TopicsDiffer("; ".join(found.differing))
        await _create(admin, found.missing)
    finally:
        await admin.close()
    for kind in kinds:
        await _give_positions(settings, kind, begin_from)
    return found


async def _create(admin: AIOKafkaAdminClient, missing: tuple[WantedTopic, ...]) -> None:
    if not missing:
        return
    topics = [
        NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=topic.configuration)
        for topic in missing
    ]
    response = await admin.create_topics(topics)
    for name, code, *_ in response.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise SomaError(f"the topic {name} cannot be created: {for_code(code).__name__}")


async def _give_positions(settings: Settings, kind: SagaKind, begin_from: str | None) -> None:
    topics = kind.graph.schema.topics
    async with BoundedConsumer(**connection(settings), enable_auto_commit=False) as consumer:
        ends = await _ends(consumer, [topics.events, topics.commands, *map(state_topic, kind.participants)])
    has_history = any(end for partition, end in ends.items() if partition.topic == topics.events)
    if has_history and begin_from is None:
        return
    async with AIOKafkaProducer(**connection(settings), enable_idempotence=True) as producer:
        for participant in kind.participants:
            for partition, end in ends.items():
                if partition.topic == state_topic(participant) and end == 0:
                    offsets = _offsets(ends, topics, partition.partition) if begin_from == "now" else {}
                    value = msgspec.msgpack.encode(Position(offsets, clean=True))
                    await producer.send_and_wait(
                        partition.topic, value, POSITION_KEY.encode(), partition=partition.partition
                    )


async def _ends(consumer: BoundedConsumer, names: list[str]) -> dict[TopicPartition, int]:
    partitions: list[TopicPartition] = []
    for name in names:
        await consumer._client._wait_on_metadata(name)
        partitions += [TopicPartition(name, index) for index in consumer.partitions_for_topic(name) or ()]
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    return ends


def _offsets(ends: dict[TopicPartition, int], topics: Any, partition: int) -> dict[str, int]:
    return {topic: ends[TopicPartition(topic, partition)] for topic in (topics.events, topics.commands)}
