"""How a consumer group stands at one partition: who is in it, and how far behind it is."""

from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from producers.bounded_consumer import BoundedConsumer
from producers.cluster import connection
from producers.settings import Settings

# In an answer to DescribeGroups: error, name, state, protocol type, protocol, members.
MEMBERS_PLACE = 5


@dataclass(frozen=True)
class GroupStanding:
    """How many members a group has, and how many records of one partition it has not heard yet."""

    members: int
    behind: int


async def standing_of(settings: Settings, group: str, topic: str, partition: int) -> GroupStanding:
    """Ask the cluster; raises `ConnectionError` where it does not answer."""
    place = TopicPartition(topic, partition)
    admin, consumer = AIOKafkaAdminClient(**connection(settings)), BoundedConsumer(**connection(settings))
    try:
        await admin.start()
        await consumer.start()
        (answer,) = await admin.describe_consumer_groups([group])
        (described,) = answer.groups
        offsets: dict[TopicPartition, Any] = await admin.list_consumer_group_offsets(group, partitions=[place])
        end = (await consumer.end_offsets([place]))[place]
    except KafkaError as error:
        raise ConnectionError(str(error)) from error
    finally:
        await consumer.stop()
        await admin.close()
    committed = offsets[place].offset if place in offsets else 0
    return GroupStanding(len(described[MEMBERS_PLACE]), end - max(0, committed))
