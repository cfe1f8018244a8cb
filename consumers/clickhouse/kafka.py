"""The Kafka side of the sink: who it is there, which topics it waits for, and what it asks beside its consumer."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import TopicAuthorizationFailedError, UnknownTopicOrPartitionError, for_code

from producers.bounded_consumer import BoundedConsumer
from producers.brokers import AdminClient
from producers.cluster import connection
from producers.group_coverage import Watch
from producers.settings import Settings
from producers.topic_identity import identities_of
from schemas.topics import SagaSchema

from .batches import KafkaRecord

log = logging.getLogger(__name__)

GROUP = "soma.sink"
ASK_AGAIN_AFTER_SECONDS = 1.0
REREAD_RECORDS = 5_000
# Longer than one attempt to insert: a partition that is taken away is let go of only when its insert has ended.
REBALANCE_TIMEOUT_MILLISECONDS = 90_000


def topics_of(catalogue: Iterable[SagaSchema]) -> list[str]:
    """Every topic whose records are stored: commands, events, status and dead of each saga."""
    return sorted(topic for schema in catalogue for topic in schema.topics)


def member_name(place: str, topics: Iterable[str]) -> str:
    """The name of a static member: of this place, and of these topics, which its old assignment then fits."""
    return f"{place}.{blake2b(','.join(sorted(topics)).encode(), digest_size=4).hexdigest()}"


def new_consumer(settings: Settings, instance: str | None = None, group: str = GROUP) -> BoundedConsumer:
    """A consumer that begins nowhere by itself: a position it does not know is an error, never a silent jump.

    `instance` makes it a static member: after a crash the next one of that name gets the partitions at once. What it
    gets is what the one before had, so a sink of other topics must have another name (`member_name`).
    """
    return BoundedConsumer(
        **connection(settings),
        group_id=group,
        group_instance_id=instance,
        client_id=instance or group,
        isolation_level="read_committed",
        enable_auto_commit=False,
        partition_assignment_strategy=[RangePartitionAssignor],
        session_timeout_ms=10_000,
        heartbeat_interval_ms=2_000,
        rebalance_timeout_ms=REBALANCE_TIMEOUT_MILLISECONDS,
        max_poll_interval_ms=300_000,
        fetch_max_wait_ms=200,
        metadata_max_age_ms=30_000,
    )


def missing_in(described: Iterable[dict[str, Any]]) -> list[str]:
    """The topics that are not there. One that this user may not see is no missing one: raises its error. PURE."""
    missing: list[str] = []
    for topic in described:
        error = for_code(topic["error_code"])
        if error is TopicAuthorizationFailedError:
            raise error(topic["topic"])
        if error is UnknownTopicOrPartitionError:
            missing.append(topic["topic"])
    return sorted(missing)


class SinkCluster:
    """What the sink asks Kafka beside its consumer: topic ids, who reads what, and parts of a log again.

    `consumer` is the sink's own, which joins its group again where a partition has no reader.
    """

    def __init__(self, settings: Settings, consumer: BoundedConsumer, topics: Sequence[str], group: str) -> None:
        self.consumer = consumer
        self.topics = topics
        self.admin = AdminClient(**connection(settings))
        self.reader = BoundedConsumer(
            **connection(settings),
            isolation_level="read_committed",
            enable_auto_commit=False,
        )
        self.watch = Watch(self.admin, {group: topics})

    async def start(self) -> None:
        """Connect."""
        await self.admin.start()
        await self.reader.start()

    async def stop(self) -> None:
        """Let go of the connections."""
        await self.reader.stop()
        await self.admin.close()

    async def topic_ids(self) -> dict[str, str]:
        """The ids of the topics that exist, by name."""
        found = await identities_of(self.admin._client, self.topics)
        return {name: topic.topic_id for name, topic in found.topics.items()}

    async def vanished(self, partitions: Iterable[TopicPartition]) -> set[TopicPartition]:
        """Those of these partitions that their topics no longer have: a topic was made again with fewer.

        A static member that restarts is given its old assignment, whatever has become of the topics.
        """
        found = await identities_of(self.admin._client, self.topics)
        vanished = {
            one
            for one in partitions
            if one.topic in found.topics and one.partition not in found.topics[one.topic].partitions
        }
        if vanished:
            # The group's next assignment is made of what this client knows.
            await self.consumer._client.force_metadata_update()
        return vanished

    async def unread(self) -> tuple[TopicPartition, ...]:
        """The partitions that no sink of the group reads, now and when this was asked before."""
        return next(iter((await self.watch.look()).values()), ())

    def join_again(self) -> None:
        """Have the group balanced again, so that every partition gets a reader."""
        self.consumer._coordinator.request_rejoin()

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where the logs begin."""
        found: Mapping[TopicPartition, int] = await self.reader.beginning_offsets(list(partitions))
        return found

    async def records_between(
        self, partition: TopicPartition, first: int, last: int
    ) -> AsyncIterator[Sequence[KafkaRecord]]:
        """The records of the log from `first` to `last`, in pieces; those that the log still has."""
        self.reader.assign([partition])
        self.reader.seek(partition, first)
        end = min(last + 1, (await self.reader.end_offsets([partition]))[partition])
        while await self.reader.position(partition) < end:
            found = await self.reader.getmany(timeout_ms=200, max_records=REREAD_RECORDS)
            records = [record for record in found.get(partition, ()) if record.offset <= last]
            if records:
                yield records


async def cluster_with(settings: Settings, topics: Iterable[str]) -> str:
    """Wait until all these topics exist; the Kafka cluster's id.

    Raises:
        KafkaError: the cluster is not reachable.
    """
    admin = AdminClient(**connection(settings))
    await admin.start()
    try:
        said: list[str] = []
        while missing := missing_in(await admin.describe_topics(sorted(topics))):
            if missing != said:
                log.warning("sink.waiting.for.topics", extra={"missing": missing})
                said = missing
            await asyncio.sleep(ASK_AGAIN_AFTER_SECONDS)
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()
