"""The topics a hub needs on its cluster: planned, compared with what is there, and created."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from consumers.kinds import SagaKind
from consumers.runtime.transport import POSITION_KEY, Position
from producers.bounded_consumer import BoundedConsumer
from producers.brokers import AdminClient
from producers.cluster import connection
from producers.diagnosis import kafka_failure
from producers.errors import ConnectionFailed, SomaError
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
    """The cluster has topics of ours with another partition count; a line for each. It is fixed for a topic's life."""


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
    admin = AdminClient(**connection(settings))
    await admin.start()
    try:
        return await _planned(settings, admin, wanted_topics(kinds, settings))
    finally:
        await admin.close()


async def _planned(settings: Settings, admin: AdminClient, wanted: tuple[WantedTopic, ...]) -> Plan:
    counts: dict[str, int] = {}
    for described in await admin.describe_topics([topic.name for topic in wanted]):
        name, error = described["topic"], for_code(described["error_code"])
        if error is TopicAuthorizationFailedError:
            raise await kafka_failure(settings, error(name), f"DESCRIBE on topic {name}")
        if error is not UnknownTopicOrPartitionError:
            counts[name] = len(described["partitions"])
    missing = tuple(topic for topic in wanted if topic.name not in counts)
    is_said = "partitions" in settings.model_fields_set
    return Plan(missing, count_mistakes([topic.name for topic in wanted], counts, settings.partitions, is_said))


def count_mistakes(wanted: list[str], counts: Mapping[str, int], partitions: int, is_said: bool) -> tuple[str, ...]:
    """What is wrong with the partition counts of the topics that are there, a line for each topic. PURE.

    All topics of a saga have one count. Topics that are missing would be created with SOMA_PARTITIONS, so those that
    are there must have it too: one that a broker made by itself (auto.create.topics.enable) has the broker's default.
    """
    found: list[str] = []
    for saga in dict.fromkeys(name.partition(".")[0] for name in wanted):
        mine = [name for name in wanted if name.partition(".")[0] == saga]
        there = {name: counts[name] for name in mine if name in counts}
        is_complete = len(there) == len(mine)
        if len(set(there.values())) <= 1 and is_complete and not is_said:
            continue
        for name, count in there.items():
            if count != partitions:
                others = sorted({other for topic, other in there.items() if topic != name})
                found.append(
                    f"{name} has {count} partition{'' if count == 1 else 's'}, and SOMA_PARTITIONS is {partitions}"
                    f" (the other topics of {saga} that are there have {', '.join(map(str, others)) or 'none'}):"
                    f" set SOMA_PARTITIONS={count} if that is meant; if the broker made the topic by itself and it is"
                    f" empty, delete it (`kafka-topics --delete --topic {name}`) and run `soma topics apply` again"
                )
    return tuple(found)


async def apply(settings: Settings, kinds: tuple[SagaKind, ...], begin_from: str | None = None) -> Plan:
    """Create what is missing, and give every lane without one its first position; returns what was missing.

    A participant created together with its saga's events begins at their beginning. One that joins a saga with history
    is given a position only if `begin_from` says "beginning" or "now". May be called at any time, by several at once.
    Raises `TopicsDiffer` and changes nothing if partition counts differ.
    """
    admin = AdminClient(**connection(settings))
    await admin.start()
    try:
        found = await _planned(settings, admin, wanted_topics(kinds, settings))
        if found.differing:
            raise TopicsDiffer("\n".join(found.differing))
        await _create(settings, admin, found.missing)
    finally:
        await admin.close()
    for kind in kinds:
        await _give_positions(settings, kind, begin_from)
    return found


async def _create(settings: Settings, admin: AdminClient, missing: tuple[WantedTopic, ...]) -> None:
    if not missing:
        return
    topics = [
        NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=topic.configuration)
        for topic in missing
    ]
    response = await admin.create_topics(topics)
    for name, code, *_ in response.topic_errors:
        error = for_code(code)
        if error in (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
            raise await kafka_failure(settings, error(name), f"CREATE on topic {name}")
        if code and error is not TopicAlreadyExistsError:
            raise ConnectionFailed(
                f"Kafka at {settings.bootstrap_servers}",
                f"does not create the topic {name} ({error.__name__}: {error.description})",
                "check SOMA_PARTITIONS and SOMA_REPLICATION against the brokers there are",
            )


async def _give_positions(settings: Settings, kind: SagaKind, begin_from: str | None) -> None:
    topics = kind.graph.schema.topics
    async with BoundedConsumer(**connection(settings), enable_auto_commit=False) as consumer:
        ends = await _ends(consumer, [topics.events, topics.commands, *map(state_topic, kind.participants)])
    has_history = any(end for partition, end in ends.items() if partition.topic == topics.events)
    if has_history and begin_from is None:
        return
    async with AsyncExitStack() as life:
        producer = AIOKafkaProducer(**connection(settings), enable_idempotence=True)
        # A start that fails leaves tasks and connections behind unless it is stopped.
        life.push_async_callback(producer.stop)
        await producer.start()
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
