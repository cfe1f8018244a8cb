"""Which topics these are: the ids that Kafka gives them (KIP-516), and the cluster's own id.

A topic that was deleted and made again has its old name and another id; its offsets begin again. aiokafka's Metadata
request ends at version 5 and knows no ids, so version 12 (Apache Kafka 3.1 and newer) is defined here.
"""

import uuid
from collections.abc import Iterable
from io import BytesIO
from typing import NamedTuple

from aiokafka.errors import IncompatibleBrokerVersion, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from producers.brokers import BrokerClient

UNKNOWN_TOPIC = 3
TEXT = CompactString("utf-8")


class Uuid(AbstractType[uuid.UUID]):
    """Sixteen bytes."""

    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        """As it goes over the wire."""
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        """As it came over the wire."""
        return uuid.UUID(bytes=data.read(16))


class MetadataResponse_v12(Response):
    """Brokers, the cluster's id, and the topics asked for."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(("node_id", Int32), ("host", TEXT), ("port", Int32), ("rack", TEXT), ("tags", TaggedFields)),
        ),
        ("cluster_id", TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", TEXT),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class MetadataRequest_v12(RequestStruct):
    """Asks for some topics by name; creates none."""

    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = MetadataResponse_v12
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("topic", TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class MetadataRequest(Request[MetadataRequest_v12]):
    """See the module."""

    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[MetadataRequest_v12]) -> MetadataRequest_v12:
        """The request as it goes over the wire."""
        return request_struct_class([(uuid.UUID(int=0), name, {}) for name in self._topics], False, False, {})


class TopicIdentity(NamedTuple):
    """A topic as the cluster has it now. `topic_id` is "" where the brokers are too old to tell."""

    topic_id: str
    partitions: tuple[int, ...]


class Identities(NamedTuple):
    """The cluster's id, and the topics that exist, by name."""

    cluster_id: str
    topics: dict[str, TopicIdentity]


async def identities_of(client: BrokerClient, topics: Iterable[str]) -> Identities:
    """Ask the brokers, until one answers, which of these topics exist and which ids they have; creates none.

    Raises:
        KafkaError: no broker answers, or one refuses to describe a topic.
    """
    named = list(topics)
    try:
        answer: MetadataResponse_v12 = await client.ask_any(MetadataRequest(named))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return await _without_ids(client, named)
    found: dict[str, TopicIdentity] = {}
    for error_code, name, topic_id, _, partitions, *_ in answer.topics:
        if error_code == UNKNOWN_TOPIC:
            continue
        if error_code:
            raise for_code(error_code)(f"topic {name}")
        found[name] = TopicIdentity(str(topic_id), tuple(sorted(one[1] for one in partitions)))
    return Identities(str(answer.cluster_id), found)


async def _without_ids(client: BrokerClient, topics: list[str]) -> Identities:
    cluster = await client.fetch_all_metadata()
    found = {
        name: TopicIdentity("", tuple(sorted(cluster.partitions_for_topic(name) or ())))
        for name in topics
        if name in cluster.topics()
    }
    return Identities("", found)
