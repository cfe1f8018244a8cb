"""How a consumer group stands at one partition: who is in it, and how far behind it is."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, for_code

from producers.bounded_consumer import BoundedConsumer
from producers.brokers import AdminClient
from producers.cluster import connection
from producers.open_transactions import look_for_open_transactions
from producers.settings import Settings
from schemas.topics import SagaTopics

# In an answer to DescribeGroups: error, name, state, protocol type, protocol, members.
ERROR_PLACE, MEMBERS_PLACE = 0, 5
LOADS_WITHIN_SECONDS = 5.0
ASK_AGAIN_AFTER_SECONDS = 0.1


@dataclass(frozen=True)
class GroupStanding:
    """How many members a group has, and how many records of one partition it has not read yet.

    `held_by` tells of an open transaction that hides what stands behind it there, or on the saga's commands, and of the
    command that ends it. `lost` says why the position of the partition's lane is lost, with the command that resets it.
    """

    members: int
    behind: int
    held_by: str = ""
    lost: str = ""


async def standing_of(settings: Settings, group: str, topic: str, partition: int) -> GroupStanding:
    """Ask the cluster; raises `ConnectionError` where it does not answer."""
    place = TopicPartition(topic, partition)
    admin, consumer = AdminClient(**connection(settings)), BoundedConsumer(**connection(settings))
    try:
        await admin.start()
        await consumer.start()
        described = await _described(admin, group)
        offsets: dict[TopicPartition, Any] = await admin.list_consumer_group_offsets(group, partitions=[place])
        end = (await consumer.end_offsets([place]))[place]
    except (KafkaError, TimeoutError) as error:
        raise ConnectionError(str(error) or type(error).__name__) from error
    finally:
        await consumer.stop()
        await admin.close()
    committed = offsets[place].offset if place in offsets else 0
    lost = _shown_beside(group, place, offsets)
    commands = SagaTopics.of(topic.partition(".")[0]).commands
    held = await look_for_open_transactions(settings, (topic, commands), partition)
    words = [f"{one.words}; `{one.remedy(settings.bootstrap_servers)}` ends it now" for one in held]
    return GroupStanding(len(described[MEMBERS_PLACE]), end - max(0, committed), next(iter(words), ""), lost)


async def lost_positions(settings: Settings, groups: Iterable[str]) -> dict[tuple[str, int], str]:
    """Return why the position of a lane is lost, by its participant and partition; only of those where it is.

    The lane's worker writes it beside the group's offsets. Raises what the cluster answers.
    """
    found: dict[tuple[str, int], str] = {}
    admin = AdminClient(**connection(settings))
    await admin.start()
    try:
        for group in groups:
            offsets: dict[TopicPartition, Any] = await admin.list_consumer_group_offsets(group)
            for place in sorted(offsets):
                if lost := _shown_beside(group, place, offsets):
                    found[group, place.partition] = lost
    finally:
        await admin.close()
    return found


def _shown_beside(group: str, place: TopicPartition, offsets: Mapping[TopicPartition, Any]) -> str:
    """Return what stands beside the offset, for people; nothing where that is nothing."""
    beside = offsets[place].metadata if place in offsets else ""
    return f"{group}.{place.partition} {beside}" if beside else ""


async def _described(admin: AdminClient, group: str) -> Any:
    """What the group's coordinator tells of it; one that still loads its groups is asked again for a few seconds."""
    deadline = asyncio.get_running_loop().time() + LOADS_WITHIN_SECONDS
    while True:
        (answer,) = await admin.describe_consumer_groups([group])
        (described,) = answer.groups
        if not described[ERROR_PLACE]:
            return described
        # Such an answer has no members either, and says nothing of whether there are some.
        error = for_code(described[ERROR_PLACE])
        if not error.retriable or asyncio.get_running_loop().time() > deadline:
            raise ConnectionError(error.__name__)
        await asyncio.sleep(ASK_AGAIN_AFTER_SECONDS)
