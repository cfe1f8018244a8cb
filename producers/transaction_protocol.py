"""The transaction requests of KIP-890 (transactions, version 2), which aiokafka lacks.

A produce request adds its partitions to the transaction by itself, and each end of a transaction gives the producer a
new epoch, so that nothing of an earlier transaction can ever land in a later one.
"""

from io import BytesIO
from typing import Any

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import Request, RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from producers.brokers import BrokerClient

TRANSACTION_FEATURE = "transaction.version"
FINALIZED_FEATURES_TAG = 2


class ProduceResponse_v12(Response):
    """One error code for each partition."""

    API_KEY = 0
    API_VERSION = 12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("offset", Int64),
                        ("timestamp", Int64),
                        ("log_start_offset", Int64),
                        (
                            "record_errors",
                            CompactArray(
                                ("batch_index", Int32), ("message", CompactString("utf-8")), ("tags", TaggedFields)
                            ),
                        ),
                        ("error_message", CompactString("utf-8")),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("throttle_time_ms", Int32),
        ("tags", TaggedFields),
    )


class ProduceRequest_v12(RequestStruct):
    """One batch for each partition."""

    FLEXIBLE_VERSION = True
    API_KEY = 0
    API_VERSION = 12
    RESPONSE_TYPE = ProduceResponse_v12
    SCHEMA = Schema(
        ("transactional_id", CompactString("utf-8")),
        ("required_acks", Int16),
        ("timeout", Int32),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(("partition", Int32), ("messages", CompactBytes), ("tags", TaggedFields)),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class AddingProduceRequest(Request[ProduceRequest_v12]):
    """Produces, and adds the partitions to the transaction. `topics`: (topic, [(partition, batch)])."""

    API_KEY = 0

    def __init__(self, transactional_id: str, timeout_ms: int, topics: list[tuple[str, list[tuple[int, bytes]]]]):
        self._transactional_id, self._timeout_ms, self._topics = transactional_id, timeout_ms, topics
        self.required_acks = -1

    def build(self, request_struct_class: type[ProduceRequest_v12]) -> ProduceRequest_v12:
        """The request as it goes over the wire."""
        no_tags: dict[int, bytes] = {}
        topics = [
            (topic, [(partition, batch, no_tags) for partition, batch in partitions], no_tags)
            for topic, partitions in self._topics
        ]
        return request_struct_class(self._transactional_id, self.required_acks, self._timeout_ms, topics, no_tags)


class EndTxnResponse_v5(Response):
    """The id and the epoch of the next transaction."""

    API_KEY = 26
    API_VERSION = 5
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("tags", TaggedFields),
    )


class EndTxnRequest_v5(RequestStruct):
    """Commits or aborts."""

    FLEXIBLE_VERSION = True
    API_KEY = 26
    API_VERSION = 5
    RESPONSE_TYPE = EndTxnResponse_v5
    SCHEMA = Schema(
        ("transactional_id", CompactString("utf-8")),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("transaction_result", Boolean),
        ("tags", TaggedFields),
    )


class BumpingEndTxnRequest(Request[EndTxnRequest_v5]):
    """Commits or aborts, and takes a new epoch."""

    API_KEY = 26

    def __init__(self, transactional_id: str, producer_id: int, producer_epoch: int, commit: bool):
        self._fields = (transactional_id, producer_id, producer_epoch, commit)

    def build(self, request_struct_class: type[EndTxnRequest_v5]) -> EndTxnRequest_v5:
        """The request as it goes over the wire."""
        return request_struct_class(*self._fields, {})


class ApiVersionsResponse_v3(Response):
    """The finalized features are in the tags."""

    API_KEY = 18
    API_VERSION = 3
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "api_versions",
            CompactArray(("api_key", Int16), ("min_version", Int16), ("max_version", Int16), ("tags", TaggedFields)),
        ),
        ("throttle_time_ms", Int32),
        ("tags", TaggedFields),
    )


class ApiVersionsRequest_v3(RequestStruct):
    """Asks what the cluster can do."""

    FLEXIBLE_VERSION = True
    API_KEY = 18
    API_VERSION = 3
    RESPONSE_TYPE = ApiVersionsResponse_v3
    SCHEMA = Schema(
        ("client_software_name", CompactString("utf-8")),
        ("client_software_version", CompactString("utf-8")),
        ("tags", TaggedFields),
    )

    def parse_response_header(self, read_buffer: Any) -> ResponseHeader_v0:
        """KIP-511: the header of this response is never a flexible one."""
        return ResponseHeader_v0.decode(read_buffer)


class FeaturesRequest(Request[ApiVersionsRequest_v3]):
    """See `has_transactions_version_2`."""

    API_KEY = 18

    def build(self, request_struct_class: type[ApiVersionsRequest_v3]) -> ApiVersionsRequest_v3:
        """The request as it goes over the wire."""
        return request_struct_class("soma", "1", {})


_FEATURES = CompactArray(
    ("name", CompactString("utf-8")), ("max_level", Int16), ("min_level", Int16), ("tags", TaggedFields)
)


async def has_transactions_version_2(client: BrokerClient) -> bool:
    """Whether the whole cluster has agreed on transactions of KIP-890."""
    try:
        response = await client.ask_any(FeaturesRequest())
    except (NotImplementedError, IncompatibleBrokerVersion):
        return False
    raw = response.tags.get(FINALIZED_FEATURES_TAG)
    features = _FEATURES.decode(BytesIO(raw)) if raw else []
    return any(name == TRANSACTION_FEATURE and level >= 2 for name, level, *_ in features)
