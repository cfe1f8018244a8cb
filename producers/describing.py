"""DescribeTransactions (KIP-664, API 65), which aiokafka lacks: what the coordinator has decided for a producer."""

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields


class DescribeTransactionsResponse_v0(Response):
    """One state per asked id."""

    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "transaction_states",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", CompactString("utf-8")),
                ("transaction_state", CompactString("utf-8")),
                ("transaction_timeout_ms", Int32),
                ("transaction_start_time_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                (
                    "topics",
                    CompactArray(
                        ("topic", CompactString("utf-8")),
                        ("partitions", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeTransactionsRequest_v0(RequestStruct):
    """Asks for some ids."""

    FLEXIBLE_VERSION = True
    API_KEY = 65
    API_VERSION = 0
    RESPONSE_TYPE = DescribeTransactionsResponse_v0
    SCHEMA = Schema(("transactional_ids", CompactArray(CompactString("utf-8"))), ("tags", TaggedFields))


class DescribeTransactionsRequest(Request[DescribeTransactionsRequest_v0]):
    """See the module."""

    API_KEY = 65

    def __init__(self, transactional_id: str) -> None:
        self._transactional_id = transactional_id

    def build(self, request_struct_class: type[DescribeTransactionsRequest_v0]) -> DescribeTransactionsRequest_v0:
        """The request as it goes over the wire."""
        return request_struct_class([self._transactional_id], {})


async def transaction_state(client: AIOKafkaClient, transactional_id: str) -> str:
    """What the coordinator says of this id: Empty, Ongoing, PrepareCommit, CompleteAbort, …; "" if it knows none."""
    node = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
    await client.ready(node, group=ConnectionGroup.COORDINATION)
    request = DescribeTransactionsRequest(transactional_id)
    response = await client.send(node, request, group=ConnectionGroup.COORDINATION)
    error_code, _, state, *_ = response.transaction_states[0]
    return "" if error_code else str(state)
