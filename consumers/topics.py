"""The topics a hub needs on its cluster: planned, compared with what is there, and created."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from consumers.kinds import SagaKind
from consumers.runtime.transport import FIRST_POSITION_KEY, Position
from consumers.topic_rules import Drift, TopicKind, drifts, replica_drift, settings_of
from producers.bounded_consumer import BoundedConsumer
from producers.brokers import AdminClient
from producers.cluster import connection
from producers.diagnosis import kafka_failure
from producers.errors import ConnectionFailed, SomaError
from producers.settings import Settings
from producers.topic_configuration import change_settings, settings_in_effect
from schemas.topics import state_topic

PARTITIONS = "partitions"
STATE = ".state"


class TopicsDiffer(SomaError):
    """The cluster has topics of ours that cannot be used as they are; a line for each."""


@dataclass(frozen=True)
class WantedTopic:
    """One topic, as it should be."""

    name: str
    kind: TopicKind
    partitions: int
    replication: int

    @property
    def configuration(self) -> dict[str, str]:
        """The settings that it is made with."""
        return settings_of(self.kind, self.replication)


@dataclass(frozen=True)
class Plan:
    """What is missing on the cluster, and what is there but differs."""

    missing: tuple[WantedTopic, ...]
    drift: tuple[Drift, ...]


def wanted_topics(kinds: tuple[SagaKind, ...], settings: Settings) -> tuple[WantedTopic, ...]:
    """Every topic of these saga kinds."""
    return tuple(
        WantedTopic(name, kind, settings.partitions, settings.replication)
        for saga in kinds
        for name, kind in topic_kinds(saga).items()
    )


def topic_kinds(saga: SagaKind) -> dict[str, TopicKind]:
    """The topics of a saga kind, each with what it holds."""
    topics = saga.graph.schema.topics
    return {
        topics.commands: TopicKind.COMMANDS,
        topics.events: TopicKind.EVENTS,
        topics.status: TopicKind.STATUS,
        topics.dead: TopicKind.DEAD,
    } | {state_topic(participant): TopicKind.STATE for participant in saga.participants}


async def plan(settings: Settings, kinds: tuple[SagaKind, ...]) -> Plan:
    """Compare the cluster with what is wanted; changes nothing.

    Raises `ConnectionFailed` where Kafka does not tell, and `AccessDenied` with the right that is missing.
    """
    wanted = wanted_topics(kinds, settings)
    async with administering(settings) as admin:
        missing, counted, replicas = await _there(settings, admin, wanted)
        names = {name for topic in wanted for name in topic.configuration}
        try:
            found = await settings_in_effect(admin, replicas, names)
        except KafkaError as error:
            named = ", ".join(map(str, error.args))
            raise await kafka_failure(settings, error, f"DESCRIBE_CONFIGS on topic {named}") from error
    drift = list(counted)
    for topic in wanted:
        if topic.name in found:
            drift += replica_drift(topic.name, replicas[topic.name], topic.replication)
            drift += drifts(topic.name, topic.kind, replicas[topic.name], found[topic.name])
    return Plan(missing, tuple(drift))


@asynccontextmanager
async def administering(settings: Settings) -> AsyncIterator[AdminClient]:
    """An admin client while inside."""
    admin = AdminClient(**connection(settings))
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _there(
    settings: Settings, admin: AdminClient, wanted: tuple[WantedTopic, ...]
) -> tuple[tuple[WantedTopic, ...], tuple[Drift, ...], dict[str, int]]:
    """What is missing, which partition counts differ, and how many replicas each topic has that is there."""
    partitions: dict[str, list[Any]] = {}
    for described in await admin.describe_topics([topic.name for topic in wanted]):
        name, error = described["topic"], for_code(described["error_code"])
        if error is TopicAuthorizationFailedError:
            raise await kafka_failure(settings, error(name), f"DESCRIBE on topic {name}")
        if error is not UnknownTopicOrPartitionError:
            partitions[name] = described["partitions"]
    missing = tuple(topic for topic in wanted if topic.name not in partitions)
    is_said = "partitions" in settings.model_fields_set
    counts = {name: len(found) for name, found in partitions.items()}
    counted = count_mistakes([topic.name for topic in wanted], counts, settings.partitions, is_said)
    replicas = {name: min((len(one["replicas"]) for one in found), default=1) for name, found in partitions.items()}
    return missing, counted, replicas


def count_mistakes(wanted: list[str], counts: Mapping[str, int], partitions: int, is_said: bool) -> tuple[Drift, ...]:
    """What is wrong with the partition counts of the topics that are there. PURE.

    All topics of a saga have one count. Topics that are missing would be created with SOMA_PARTITIONS, so those that
    are there must have it too: one that a broker made by itself (auto.create.topics.enable) has the broker's default.
    The state topics, which this program alone makes, have as many as there are lanes; what another topic has beyond
    that was added, and is read for forwarding only (see `consumers.runtime.partitions`).
    """
    found: list[Drift] = []
    for saga in dict.fromkeys(name.partition(".")[0] for name in wanted):
        mine = [name for name in wanted if name.partition(".")[0] == saga]
        there = {name: counts[name] for name in mine if name in counts}
        is_complete = len(there) == len(mine)
        if len(set(there.values())) <= 1 and is_complete and not is_said:
            continue
        lanes = min((count for name, count in there.items() if name.endswith(STATE)), default=0)
        # Where nothing is missing, the lanes say what is right unless another count was asked for.
        right = lanes if lanes and is_complete and not is_said else partitions
        for name, count in there.items():
            if count > right == lanes:
                found.append(_added(name, count, lanes))
            elif count != right:
                others = sorted({other for topic, other in there.items() if topic != name})
                found.append(
                    Drift(
                        name,
                        PARTITIONS,
                        str(count),
                        f"{right} (SOMA_PARTITIONS)",
                        f"the other topics of {saga} that are there have {', '.join(map(str, others)) or 'none'}, and a"
                        " saga's messages go to the same partition of each",
                        is_dangerous=True,
                        remedy=f"set SOMA_PARTITIONS={count} if that is meant; if the broker made the topic by itself"
                        f" and it is empty, delete it (`kafka-topics --delete --topic {name}`) and run `soma topics"
                        " apply` again",
                    )
                )
    return tuple(found)


def _added(name: str, count: int, lanes: int) -> Drift:
    return Drift(
        name,
        PARTITIONS,
        str(count),
        str(lanes),
        f"the {count - lanes} added ones hold no saga: the door forwards commands and events that other clients put"
        " there, and nothing reads the others",
        is_dangerous=False,
        remedy="Kafka removes no partitions; a saga kind with more of them needs topics of its own",
    )


async def apply(
    settings: Settings, kinds: tuple[SagaKind, ...], begin_from: str | None = None
) -> tuple[WantedTopic, ...]:
    """Create what is missing, and give every lane without one its first position; returns what was missing.

    A participant created together with its saga's events begins at their beginning. One that joins a saga with history
    is given a position only if `begin_from` says "beginning" or "now". May be called at any time, by several at once.
    Raises `TopicsDiffer` and changes nothing if partition counts differ. Changes no topic that is there; see `mend`.
    """
    async with administering(settings) as admin:
        missing, counted, _ = await _there(settings, admin, wanted_topics(kinds, settings))
        if unusable := [one for one in counted if one.is_dangerous]:
            raise TopicsDiffer("\n".join(map(str, unusable)))
        await _create(settings, admin, missing)
    for kind in kinds:
        await _give_positions(settings, kind, begin_from)
    return missing


async def mend(settings: Settings, drift: Iterable[Drift]) -> tuple[tuple[Drift, ...], tuple[Drift, ...]]:
    """Set each setting that can be set to its value in the table; what is mended now, and what is not.

    Raises `AccessDenied` where the right is missing.
    """
    every = tuple(drift)
    wanted: dict[str, dict[str, str]] = {}
    for one in every:
        if one.value is not None:
            wanted.setdefault(one.topic, {})[one.setting] = one.value
    async with administering(settings) as admin:
        failed = await change_settings(admin, wanted)
    for topic, (code, _) in failed.items():
        if for_code(code) in (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
            raise await kafka_failure(settings, for_code(code)(topic), f"ALTER_CONFIGS on topic {topic}")
    mended = tuple(one for one in every if one.value is not None and one.topic not in failed)
    left = tuple(
        replace(one, remedy=f"Kafka refuses {one.value}: {failed[one.topic][1]}") if one.value is not None else one
        for one in every
        if one not in mended
    )
    return mended, left


async def _create(settings: Settings, admin: AdminClient, missing: tuple[WantedTopic, ...]) -> None:
    if not missing:
        return
    topics = [
        NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=topic.configuration)
        for topic in missing
    ]
    response = await admin.create_topics(topics)
    for name, code, message in response.topic_errors:
        error = for_code(code)
        if error in (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
            raise await kafka_failure(settings, error(name), f"CREATE on topic {name}")
        if code and error is not TopicAlreadyExistsError:
            raise ConnectionFailed(
                f"Kafka at {settings.bootstrap_servers}",
                f"does not create the topic {name} ({error.__name__}: {message or error.description})",
                "check SOMA_PARTITIONS and SOMA_REPLICATION against the brokers there are",
            )


async def _give_positions(settings: Settings, kind: SagaKind, begin_from: str | None) -> None:
    topics = kind.graph.schema.topics
    async with BoundedConsumer(**connection(settings), enable_auto_commit=False) as consumer:
        ends = await _ends(consumer, [topics.events, topics.commands, *map(state_topic, kind.participants)])
        starts: dict[TopicPartition, int] = await consumer.beginning_offsets(list(ends))
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
                    # Another key than that of a live position: one that is written late replaces none.
                    offsets = _offsets(ends if begin_from == "now" else starts, topics, partition.partition)
                    value = msgspec.msgpack.encode(Position(offsets, clean=True))
                    await producer.send_and_wait(
                        partition.topic, value, FIRST_POSITION_KEY.encode(), partition=partition.partition
                    )


async def _ends(consumer: BoundedConsumer, names: list[str]) -> dict[TopicPartition, int]:
    partitions: list[TopicPartition] = []
    for name in names:
        await consumer._client._wait_on_metadata(name)
        partitions += [TopicPartition(name, index) for index in consumer.partitions_for_topic(name) or ()]
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    return ends


def _offsets(found: dict[TopicPartition, int], topics: Any, partition: int) -> dict[str, int]:
    places = {topic: TopicPartition(topic, partition) for topic in (topics.events, topics.commands)}
    return {topic: found[place] for topic, place in places.items() if place in found}
