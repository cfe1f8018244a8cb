"""What this user may do with which topic: Metadata version 8 (KIP-430), of which aiokafka has version 5."""

from collections.abc import Mapping
from enum import IntEnum

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import TopicAuthorizationFailedError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from producers.cluster import connection
from producers.errors import AccessDenied
from producers.settings import Settings


class Operation(IntEnum):
    """An ACL's operation; its number is its bit in the answer."""

    READ = 3
    WRITE = 4
    DESCRIBE = 8


class MetadataResponse_v8(Response):
    """Topics with the operations allowed on them, as bits."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8")))),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
        ("cluster_operations", Int32),
    )


class MetadataRequest_v8(RequestStruct):
    """Asks for some topics."""

    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponse_v8
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_operations", Boolean),
        ("include_topic_operations", Boolean),
    )


class RightsRequest(Request[MetadataRequest_v8]):
    """See the module."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[MetadataRequest_v8]) -> MetadataRequest_v8:
        """The request as it goes over the wire."""
        return request_struct_class(self._topics, False, False, True)


async def require(settings: Settings, wanted: Mapping[str, frozenset[Operation]]) -> None:
    """Ask the cluster whether this user may do all of this, by topic; one that does not exist lacks no right.

    Raises `AccessDenied`, which names every right that is missing.
    """
    client = AIOKafkaClient(**connection(settings))
    try:
        await client.bootstrap()
        answer = await client.send(client.get_random_node(), RightsRequest(sorted(wanted)))
    finally:
        await client.close()
    missing: list[str] = []
    for error_code, topic, _, _, operations in answer.topics:
        denied = error_code == TopicAuthorizationFailedError.errno
        allowed = set() if denied else {one for one in Operation if operations & (1 << one)}
        lacking = sorted(wanted[topic] - allowed) if denied or not error_code else []
        if lacking:
            missing.append(f"{' and '.join(one.name for one in lacking)} on topic {topic}")
    if missing:
        user = settings.kafka_security.username or "ANONYMOUS"
        raise AccessDenied(
            f"Kafka at {settings.bootstrap_servers}",
            f"denies User:{user} {', '.join(missing)}",
            "allow it with an ACL (`kafka-acls --add`)",
        )
