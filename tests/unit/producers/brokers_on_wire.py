"""Brokers of a few lines: they speak Kafka's protocol over real connections, and answer as a test tells them to."""

import asyncio
import struct
import time
from collections import defaultdict
from collections.abc import Callable
from io import BytesIO
from typing import Any, NamedTuple, Self

from aiokafka.protocol.admin import ApiVersionRequest_v0
from aiokafka.protocol.api import RequestHeader_v1, RequestHeader_v2, ResponseHeader_v0, ResponseHeader_v1
from aiokafka.protocol.commit import OffsetCommitRequest_v2
from aiokafka.protocol.coordination import FindCoordinatorRequest_v1
from aiokafka.protocol.group import HeartbeatRequest_v1
from aiokafka.protocol.metadata import MetadataRequest_v1
from aiokafka.protocol.offset import OffsetRequest_v1
from aiokafka.protocol.produce import ProduceRequest_v3
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest_v0, EndTxnRequest_v0, InitProducerIdRequest_v0

from producers.describing import DescribeTransactionsRequest_v0
from producers.transaction_protocol import ApiVersionsRequest_v3, EndTxnRequest_v5, ProduceRequest_v12

PRODUCE, OFFSETS, METADATA, FIND, VERSIONS, INIT, ADD, END, DESCRIBE = 0, 2, 3, 10, 18, 22, 24, 26, 65
COMMIT_OFFSETS, HEARTBEAT = 8, 12
ANY_VERSION: dict[tuple[int, int], Any] = {
    (one.API_KEY, one.API_VERSION): one
    for one in (
        ApiVersionRequest_v0,
        ApiVersionsRequest_v3,
        MetadataRequest_v1,
        FindCoordinatorRequest_v1,
        OffsetRequest_v1,
        InitProducerIdRequest_v0,
        AddPartitionsToTxnRequest_v0,
        ProduceRequest_v3,
        EndTxnRequest_v0,
        ProduceRequest_v12,
        EndTxnRequest_v5,
        DescribeTransactionsRequest_v0,
        OffsetCommitRequest_v2,
        HeartbeatRequest_v1,
    )
}
# transaction.version 2 in the finalized features.
FEATURES = b"\x02\x14transaction.version\x00\x02\x00\x02\x00"
SILENCE = object()


class Asked(NamedTuple):
    """One request that arrived: at which node, of which kind, when, and what it holds."""

    node: int
    api: int
    at: float
    request: Any


class Brokers:
    """Three brokers and who leads what. `codes` has the error codes to answer first, by (node, API key).

    A code may be `SILENCE`: the request is taken and never answered. `before` is called with each request.
    """

    def __init__(self, version: int = 2) -> None:
        self.version = version
        self.leaders: dict[tuple[str, int], int] = defaultdict(lambda: 1)
        self.topics: dict[str, int] = {}
        self.coordinator = 1
        self.codes: dict[tuple[int, int], list[Any]] = defaultdict(list)
        self.silent: set[int] = set()
        self.throttle_ms = 0
        self.asked: list[Asked] = []
        self.before: Callable[[Asked], None] = lambda asked: None
        self.epoch = 0
        self._servers: dict[int, asyncio.Server] = {}
        self._talks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        for node in (1, 2, 3):
            self._servers[node] = await asyncio.start_server(self._talk_at(node), "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"127.0.0.1:{self._port(node)}" for node in self._servers)

    def requests(self, api: int) -> list[Asked]:
        """The requests of one kind, in order."""
        return [one for one in self.asked if one.api == api]

    def _port(self, node: int) -> int:
        return int(self._servers[node].sockets[0].getsockname()[1])

    def _talk_at(self, node: int) -> Callable[..., Any]:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._talks.add(task)
            is_mute = False
            try:
                while True:
                    (size,) = struct.unpack(">i", await reader.readexactly(4))
                    answer = self._answer(node, await reader.readexactly(size))
                    # Answers come in order: behind one that does not come, none does.
                    is_mute = is_mute or answer is None
                    if answer is not None and not is_mute:
                        writer.write(struct.pack(">i", len(answer)) + answer)
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                return
            finally:
                writer.close()

        return talk

    def _answer(self, node: int, raw: bytes) -> bytes | None:
        api, version = struct.unpack(">hh", raw[:4])
        kind = ANY_VERSION[api, version]
        stream = BytesIO(raw)
        header = (RequestHeader_v2 if kind.FLEXIBLE_VERSION else RequestHeader_v1).SCHEMA.decode(stream)
        asked = Asked(node, api, time.monotonic(), kind.decode(stream))
        self.asked.append(asked)
        if node in self.silent:
            return None
        self.before(asked)
        code = self.codes[node, api].pop(0) if self.codes[node, api] else 0
        if code is SILENCE:
            return None
        body = self._body(asked, code).encode()
        is_plain = api == VERSIONS or not kind.FLEXIBLE_VERSION
        head = ResponseHeader_v0(header[2]) if is_plain else ResponseHeader_v1(header[2], {})
        return bytes(head.encode() + body)

    def _body(self, asked: Asked, code: int) -> Any:
        kind = asked.request.RESPONSE_TYPE
        known: dict[int, Callable[..., Any]] = {
            VERSIONS: self._versions,
            METADATA: self._metadata,
            FIND: lambda kind, _, code: kind(
                0, code, None, self.coordinator, "127.0.0.1", self._port(self.coordinator)
            ),
            INIT: self._initialised,
            ADD: lambda kind, request, code: kind(
                0, [(topic, [(index, code) for index in indexes]) for topic, indexes in request.topics]
            ),
            PRODUCE: self._produced,
            END: self._ended,
            DESCRIBE: lambda kind, request, code: kind(
                0, [(code, request.transactional_ids[0], "CompleteCommit", 0, 0, 7, self.epoch, [], {})], {}
            ),
            COMMIT_OFFSETS: lambda kind, request, code: kind([]),
            HEARTBEAT: lambda kind, request, code: kind(0, code),
            OFFSETS: lambda kind, request, code: kind(
                [(topic, [(index, code, -1, 5) for index, _ in partitions]) for topic, partitions in request.topics]
            ),
        }
        return known[asked.api](kind, asked.request, code)

    def _versions(self, kind: Any, request: Any, code: int) -> Any:
        last = {
            INIT: 0,
            METADATA: 1,
            FIND: 1,
            ADD: 0,
            OFFSETS: 1,
            DESCRIBE: 0,
            VERSIONS: 3,
            COMMIT_OFFSETS: 2,
            HEARTBEAT: 1,
        }
        last |= {PRODUCE: 12, END: 5} if self.version == 2 else {PRODUCE: 3, END: 0}
        ranges = [(api, 0, version) for api, version in last.items()]
        if request.API_VERSION == 0:
            return kind(code, ranges)
        # aiokafka writes no length before a tag's bytes.
        tags = {2: bytes([len(FEATURES)]) + FEATURES} if self.version == 2 else {}
        return kind(code, [(*one, {}) for one in ranges], 0, tags)

    def _metadata(self, kind: Any, request: Any, code: int) -> Any:
        brokers = [(node, "127.0.0.1", self._port(node), None) for node in self._servers]
        topics = [
            (0, name, False, [(0, index, self.leaders[name, index], [1, 2, 3], [1, 2, 3]) for index in range(count)])
            for name, count in self.topics.items()
        ]
        return kind(brokers, 1, topics)

    def _initialised(self, kind: Any, request: Any, code: int) -> Any:
        self.epoch += code == 0
        return kind(0, code, 7, self.epoch)

    def _produced(self, kind: Any, request: Any, code: int) -> Any:
        if kind.API_VERSION < 12:
            topics = [(topic, [(index, code, 3, 9) for index, _ in parts]) for topic, parts in request.topics]
            return kind(topics, self.throttle_ms)
        answers: list[Any] = [
            (topic, [(index, code, 3, 9, 0, [(0, None, {})] if code else [], None, {}) for index, *_ in parts], {})
            for topic, parts, _ in request.topics
        ]
        return kind(answers, self.throttle_ms, {})

    def _ended(self, kind: Any, request: Any, code: int) -> Any:
        if kind.API_VERSION == 0:
            return kind(0, code)
        # A repeated end of the former epoch is answered as the first one was.
        self.epoch = request.producer_epoch + 1 if code == 0 else self.epoch
        return kind(0, code, 7, self.epoch, {})
