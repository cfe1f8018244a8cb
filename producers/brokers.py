"""Clients that no single broker can stop.

aiokafka's own client asks one broker after another and waits for each answer up to its request timeout (40 s); one lock
covers all connections that are being made. One frozen broker, which accepts connections and answers nothing, then stops
requests to all others. Here a question that any broker can answer goes to a second one after half a second, connecting
to one broker waits for no other, and each kind of request has a limit of its own.
"""

import asyncio
import contextlib
import inspect
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.conn import AIOKafkaConnection, CloseReason, create_conn
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    RequestTimedOutError,
    StaleMetadata,
    for_code,
)
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest

from producers.pauses import Pauses

log = logging.getLogger(__name__)

CONNECT_SECONDS_MAX = 6.0
CLOSE_SECONDS_MAX = 3.0
# How long one broker is asked alone before the next one is asked too.
ALONE_SECONDS = 0.5
# A broker that let a request time out is asked last for so long.
SILENT_SECONDS = 15.0
METADATA_GAP_SECONDS = 0.05
ANSWER_SECONDS_MAX = 5.0
OFFSET_COMMIT = 8
# By API key: JoinGroup, Heartbeat and SyncGroup; and what a coordinator answers them that is away, by its code:
# COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE and NOT_COORDINATOR.
ASKS_OF_A_MEMBER, COORDINATOR_AWAY = frozenset({11, 12, 14}), frozenset({14, 15, 16})
# Beside aiokafka's own groups of connections.
OFFSETS: Any = "offsets"
# By API key. For others the client's own request timeout counts: JoinGroup waits for the members of its group.
LIMITS_SECONDS = {
    1: 6.0,  # Fetch; it waits half a second for records
    2: 3.0,  # ListOffsets; a lane waits for it, and the leader may have moved by then
    3: ANSWER_SECONDS_MAX,  # Metadata
    8: 20.0,  # OffsetCommit; it waits until a dead replica is replaced
    9: ANSWER_SECONDS_MAX,  # OffsetFetch
    10: ANSWER_SECONDS_MAX,  # FindCoordinator
    12: 3.0,  # Heartbeat; the session ends after 6 s
    13: 3.0,  # LeaveGroup
    15: ANSWER_SECONDS_MAX,  # DescribeGroups
    18: ANSWER_SECONDS_MAX,  # ApiVersions
    61: ANSWER_SECONDS_MAX,  # DescribeProducers
    65: ANSWER_SECONDS_MAX,  # DescribeTransactions
    66: ANSWER_SECONDS_MAX,  # ListTransactions
}
UNREACHABLE = (KafkaError, OSError, TimeoutError)

Answer = TypeVar("Answer")


async def first_answer(asks: Sequence[Callable[[], Awaitable[Answer]]], alone_seconds: float = ALONE_SECONDS) -> Answer:
    """The first answer to arrive; the next is asked as soon as one has failed or was silent for `alone_seconds`.

    Raises the last error when all have failed.
    """
    waiting, running = list(asks), set[asyncio.Future[Answer]]()
    error: BaseException = KafkaConnectionError("there is no broker to ask")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(waiting.pop(0)()))
            patience = alone_seconds if waiting else None
            done, _ = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                running.discard(one)
                failed = one.exception()
                if failed is None:
                    return one.result()
                error = failed
        raise error
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class BrokerClient(AIOKafkaClient):  # type: ignore[misc]  # aiokafka ships no types for it
    """See the module. Rests on private names of aiokafka 0.14, each with a test.

    `failed_at` is when a broker was last not connected to, silent, or no coordinator, by the monotonic clock: aiokafka
    asks a group's coordinator without end, and its caller is told nothing.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.failed_at = -math.inf
        self._sync_task: asyncio.Task[None] | None = None
        self._connecting: dict[tuple[Any, ConnectionGroup], asyncio.Lock] = {}
        self._silent_since: dict[Any, float] = {}
        self._unreachable = set[Any]()
        self._asked_for_metadata_at = 0.0

    async def bootstrap(self) -> None:
        """Learn of the cluster from whichever of the named servers answers first."""
        request = MetadataRequest([])
        try:
            metadata = await first_answer(self._asks_of_servers(request))
        except UNREACHABLE as error:
            raise KafkaConnectionError(f"Unable to bootstrap from {self.hosts}") from error
        self.cluster.update_metadata(metadata)
        if self._sync_task is None:
            self._sync_task = asyncio.create_task(self._md_synchronizer())

    def _asks_of_servers(self, request: MetadataRequest) -> list[Callable[[], Awaitable[Any]]]:
        # In any order, or every client of ours would begin with the same broker, frozen or not.
        hosts = list(self.hosts)
        random.shuffle(hosts)
        return [partial(self._metadata_from, host, port, request) for host, port, _ in hosts]

    async def _metadata_from(self, host: str, port: int, request: MetadataRequest) -> Any:
        connection = await self._connect(host, port)
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                metadata = await connection.send(request)
        finally:
            connection.close()
        if not metadata.brokers:
            raise KafkaConnectionError(f"{host}:{port} knows no broker yet")
        return metadata

    async def _connect(self, host: str, port: int, on_close: Callable[..., None] | None = None) -> AIOKafkaConnection:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            return await create_conn(
                host,
                port,
                client_id=self._client_id,
                request_timeout_ms=self._request_timeout_ms,
                ssl_context=self._ssl_context,
                security_protocol=self._security_protocol,
                on_close=on_close,
                max_idle_ms=self._connections_max_idle_ms,
                sasl_mechanism=self._sasl_mechanism,
                sasl_plain_username=self._sasl_plain_username,
                sasl_plain_password=self._sasl_plain_password,
                sasl_kerberos_service_name=self._sasl_kerberos_service_name,
                sasl_kerberos_domain_name=self._sasl_kerberos_domain_name,
                sasl_oauth_token_provider=self._sasl_oauth_token_provider,
            )

    async def _get_conn(
        self, node_id: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT, no_hint: bool = False
    ) -> AIOKafkaConnection | None:
        """A connection to this broker; None where there is none to be had. Waits for no other broker's."""
        key = node_id, group
        connection = self._conns.get(key)
        if connection is not None and connection.connected():
            return connection
        async with self._connecting.setdefault(key, asyncio.Lock()):
            connection = self._conns.get(key)
            if connection is not None and connection.connected():
                return connection
            self._conns.pop(key, None)
            try:
                broker = self.cluster.broker_metadata(node_id)
                if broker is None:
                    raise StaleMetadata(f"broker {node_id} is not in the metadata")
                connection = await self._connect(broker.host, broker.port, self._on_connection_closed)
            except UNREACHABLE as error:
                if node_id not in self._unreachable:
                    # Once for an outage, not for every attempt.
                    self._unreachable.add(node_id)
                    log.info("broker.not_connected", extra={"broker": node_id, "error": repr(error)})
                if isinstance(error, TimeoutError):
                    self._silent_since[node_id] = time.monotonic()
                self.force_metadata_update()
                return None
            self._unreachable.discard(node_id)
            self._conns[key] = connection
            return connection

    async def send(self, node_id: Any, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT) -> Any:
        """The broker's answer. Raises `NodeNotReadyError` where the request was not sent.

        Raises `RequestTimedOutError` or `KafkaConnectionError` where it may have been.
        """
        try:
            answer = await self._sent(node_id, request, group)
        except UNREACHABLE:
            self.failed_at = time.monotonic()
            raise
        if request.API_KEY in ASKS_OF_A_MEMBER and answer.error_code in COORDINATOR_AWAY:
            self.failed_at = time.monotonic()
        return answer

    async def _sent(self, node_id: Any, request: Any, group: ConnectionGroup) -> Any:
        if request.API_KEY == OFFSET_COMMIT:
            # A broker answers one request of a connection after another: no heartbeat may wait behind this one.
            group = OFFSETS
        connection = await self._get_conn(node_id, group=group)
        if connection is None:
            raise NodeNotReadyError(f"broker {node_id} cannot be connected to")
        expects_answer = not (isinstance(request, ProduceRequest) and request.required_acks == 0)
        limit = LIMITS_SECONDS.get(request.API_KEY)
        try:
            if limit is None:
                answer = await connection.send(request, expect_response=expects_answer)
            else:
                async with asyncio.timeout(limit):
                    answer = await connection.send(request, expect_response=expects_answer)
        except TimeoutError as error:
            # Answers come in order: what was asked after this one would wait as well.
            connection.close(reason=CloseReason.CONNECTION_TIMEOUT)
            self._silent_since[node_id] = time.monotonic()
            raise RequestTimedOutError(f"broker {node_id} did not answer {type(request).__name__}") from error
        self._silent_since.pop(node_id, None)
        return answer

    def drop(self, node_id: Any) -> None:
        """Close the connection to a broker that has not answered; the next request gets a fresh one."""
        connection = self._conns.pop((node_id, ConnectionGroup.DEFAULT), None)
        if connection is not None:
            connection.close()

    async def ask_any(self, request: Any) -> Any:
        """The answer of the first broker that gives one, to a question that each of them can answer."""
        return await first_answer([partial(self.send, node, request) for node in self._nodes()])

    def _nodes(self) -> list[Any]:
        """All brokers: first those that are connected, last those that were silent lately; else in any order."""
        nodes = [broker.nodeId for broker in self.cluster.brokers()]
        random.shuffle(nodes)
        connected = {node for node, group in self._conns if group == ConnectionGroup.DEFAULT}
        return sorted(nodes, key=lambda node: (self._is_silent(node), node not in connected))

    def _is_silent(self, node: Any) -> bool:
        since = self._silent_since.get(node)
        return since is not None and time.monotonic() - since < SILENT_SECONDS

    def get_random_node(self) -> Any:
        """One of the brokers that are not known to be silent, if there is any; None where none is known."""
        nodes = [broker.nodeId for broker in self.cluster.brokers()]
        return random.choice([node for node in nodes if not self._is_silent(node)] or nodes) if nodes else None

    async def _metadata_update(self, cluster_metadata: Any, topics: Any) -> bool:
        """Refresh from any broker that is known, else from any that was named; whether it succeeded.

        Raises nothing: aiokafka's task that refreshes would end, and its callers would wait without end.
        """
        # Where a partition has no leader, aiokafka asks as fast as it is answered.
        await asyncio.sleep(self._asked_for_metadata_at + METADATA_GAP_SECONDS - time.monotonic())
        self._asked_for_metadata_at = time.monotonic()
        request = MetadataRequest(list(topics) if topics else None)
        asks = [partial(self.send, node, request) for node in self._nodes()] + self._asks_of_servers(request)
        try:
            metadata = await first_answer(asks)
        except Exception as error:
            log.warning("metadata.not_refreshed", extra={"error": repr(error)})
            cluster_metadata.failed_update(None)
            return False
        if metadata.brokers:
            cluster_metadata.update_metadata(metadata)
        return bool(metadata.brokers)

    async def coordinator_lookup(self, coordinator_type: CoordinationType, coordinator_key: str) -> Any:
        """The broker that coordinates this group or transactional id; raises what its code stands for."""
        response = await self.ask_any(FindCoordinatorRequest(coordinator_key, coordinator_type))
        if response.error_code:
            self.failed_at = time.monotonic()
            raise for_code(response.error_code)()
        return response.coordinator_id

    async def close(self) -> None:
        """Let go of the connections. A peer that says no farewell (TLS) is not waited for longer than a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await super().close()


CLIENT_SETTINGS = frozenset(inspect.signature(AIOKafkaClient.__init__).parameters) - {"self", "loop"}


def _client(settings: dict[str, Any]) -> BrokerClient:
    return BrokerClient(**{name: value for name, value in settings.items() if name in CLIENT_SETTINGS})


class Consumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types for it
    """aiokafka's consumer over a `BrokerClient`."""

    def __init__(self, *topics: str, **settings: Any) -> None:
        super().__init__(**settings)
        # Nothing was opened yet: aiokafka's client connects in `bootstrap`.
        self._client = _client(settings)
        if topics:
            self.subscribe(list(topics))


class AdminClient(AIOKafkaAdminClient):  # type: ignore[misc]  # aiokafka ships no types for it
    """aiokafka's admin client over a `BrokerClient`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._client = _client(settings)

    async def find_coordinator(self, group_id: str, coordinator_type: int = 0) -> Any:
        """The broker that coordinates the group; waits a moment for one that moves or is chosen just now."""
        pauses = Pauses(0.02, 0.5)
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            while True:
                try:
                    return await self._client.coordinator_lookup(CoordinationType(coordinator_type), group_id)
                except KafkaError as error:
                    if not error.retriable:
                        raise
                await pauses.wait()
