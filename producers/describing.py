"""The requests of KIP-664, which aiokafka lacks.

DescribeTransactions tells what the coordinator has decided for a transactional id, DescribeProducers which transactions
are open in a partition, ListTransactions which transactional ids a broker coordinates.
"""

import asyncio
from typing import NamedTuple

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

from producers.error_codes import Reaction, error_code
from producers.pauses import Pauses

LOOK_SECONDS_MAX = 30.0
FIRST_PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.01, 0.5
TRANSACTIONAL_ID_NOT_FOUND = 105


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


class DescribeProducersResponse_v0(Response):
    """The producers of each partition; the start of an open transaction is -1 where none is open."""

    API_KEY = 61
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("error_message", CompactString("utf-8")),
                        (
                            "active_producers",
                            CompactArray(
                                ("producer_id", Int64),
                                ("producer_epoch", Int32),
                                ("last_sequence", Int32),
                                ("last_timestamp", Int64),
                                ("coordinator_epoch", Int32),
                                ("current_txn_start_offset", Int64),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeProducersRequest_v0(RequestStruct):
    """Asks for some partitions."""

    FLEXIBLE_VERSION = True
    API_KEY = 61
    API_VERSION = 0
    RESPONSE_TYPE = DescribeProducersResponse_v0
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeProducersRequest(Request[DescribeProducersRequest_v0]):
    """Goes to the leader of the partitions; needs READ on their topics."""

    API_KEY = 61

    def __init__(self, topics: list[tuple[str, list[int]]]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[DescribeProducersRequest_v0]) -> DescribeProducersRequest_v0:
        """The request as it goes over the wire."""
        return request_struct_class([(topic, partitions, {}) for topic, partitions in self._topics], {})


class ListTransactionsResponse_v0(Response):
    """The transactions that one broker coordinates, as far as the caller may DESCRIBE them."""

    API_KEY = 66
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_state_filters", CompactArray(CompactString("utf-8"))),
        (
            "transaction_states",
            CompactArray(
                ("transactional_id", CompactString("utf-8")),
                ("producer_id", Int64),
                ("transaction_state", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class ListTransactionsRequest_v0(RequestStruct):
    """Asks for those of some producers."""

    FLEXIBLE_VERSION = True
    API_KEY = 66
    API_VERSION = 0
    RESPONSE_TYPE = ListTransactionsResponse_v0
    SCHEMA = Schema(
        ("state_filters", CompactArray(CompactString("utf-8"))),
        ("producer_id_filters", CompactArray(Int64)),
        ("tags", TaggedFields),
    )


class ListTransactionsRequest(Request[ListTransactionsRequest_v0]):
    """Goes to every broker: each knows only what it coordinates."""

    API_KEY = 66

    def __init__(self, producer_ids: list[int]) -> None:
        self._producer_ids = producer_ids

    def build(self, request_struct_class: type[ListTransactionsRequest_v0]) -> ListTransactionsRequest_v0:
        """The request as it goes over the wire."""
        return request_struct_class([], self._producer_ids, {})


class Described(NamedTuple):
    """What a coordinator knows of a transactional id; `state` is empty where it knows none."""

    state: str
    timeout_ms: int = 0
    started_at_ms: int = -1


async def transaction_state(client: AIOKafkaClient, transactional_id: str) -> str:
    """What the coordinator says of this id: Empty, Ongoing, PrepareCommit, CompleteAbort, …; "" if it knows none."""
    return (await described(client, transactional_id)).state


async def described(client: AIOKafkaClient, transactional_id: str) -> Described:
    """What the coordinator says of this id.

    Waits up to 30 s for a coordinator that is moving, or that a fresh cluster has not chosen yet: TimeoutError then.
    """
    pauses = Pauses(FIRST_PAUSE_SECONDS, PAUSE_SECONDS_MAX)
    async with asyncio.timeout(LOOK_SECONDS_MAX):
        while True:
            try:
                return await _asked_coordinator(client, transactional_id)
            except KafkaError as error:
                if not _passes(error):
                    raise
            await pauses.wait()


def _passes(error: KafkaError) -> bool:
    """Whether another attempt may get an answer."""
    code = getattr(error, "errno", None)
    repeatable = (Reaction.RETRY, Reaction.LOOK_AGAIN)
    return error_code(code).reaction in repeatable if code is not None else bool(error.retriable)


async def _asked_coordinator(client: AIOKafkaClient, transactional_id: str) -> Described:
    node = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
    request = DescribeTransactionsRequest(transactional_id)
    response = await client.send(node, request, group=ConnectionGroup.COORDINATION)
    code, _, state, timeout_ms, started_at_ms, *_ = response.transaction_states[0]
    if code == TRANSACTIONAL_ID_NOT_FOUND:
        return Described("")
    if code:
        raise for_code(code)(error_code(code).name)
    return Described(state, timeout_ms, started_at_ms)
