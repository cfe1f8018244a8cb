"""The Kafka side of the sink: who it is there, and which topics it waits for."""

import asyncio
import logging
from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from producers.bounded_consumer import BoundedConsumer
from producers.cluster import connection
from producers.settings import Settings
from schemas.topics import SagaSchema

log = logging.getLogger(__name__)

GROUP = "soma.sink"
ASK_AGAIN_AFTER_SECONDS = 1.0
# Longer than one attempt to insert: a partition that is taken away is let go of only when its insert has ended.
REBALANCE_TIMEOUT_MILLISECONDS = 90_000


def topics_of(catalogue: Iterable[SagaSchema]) -> list[str]:
    """Every topic whose records are stored: commands, events, status and dead of each saga."""
    return sorted(topic for schema in catalogue for topic in schema.topics)


def new_consumer(settings: Settings, instance: str | None = None, group: str = GROUP) -> BoundedConsumer:
    """A consumer that begins nowhere by itself: a position it does not know is an error, never a silent jump.

    `instance` makes it a static member: after a crash the next one of that name gets the partitions at once.
    """
    return BoundedConsumer(
        **connection(settings),
        group_id=group,
        group_instance_id=instance,
        client_id=instance or group,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        partition_assignment_strategy=[RangePartitionAssignor],
        session_timeout_ms=10_000,
        heartbeat_interval_ms=2_000,
        rebalance_timeout_ms=REBALANCE_TIMEOUT_MILLISECONDS,
        max_poll_interval_ms=300_000,
        fetch_max_wait_ms=200,
        metadata_max_age_ms=30_000,
    )


async def cluster_with(settings: Settings, topics: Iterable[str]) -> str:
    """Wait until all these topics exist; the Kafka cluster's id.

    Raises:
        KafkaError: the cluster is not reachable.
    """
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        said: list[str] = []
        while missing := sorted(set(topics) - set(await admin.list_topics())):
            if missing != said:
                log.warning("sink.waiting.for.topics", extra={"missing": missing})
                said = missing
            await asyncio.sleep(ASK_AGAIN_AFTER_SECONDS)
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()
