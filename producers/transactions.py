"""A transactional producer that is used up by its first error (crash-only).

It speaks the protocol itself, over aiokafka's connections: one produce request and one end for each transaction, where
the brokers have transactions of version 2 (KIP-890), and one more to add the partitions where they have not. aiokafka's
own producer passes each of them through a queue and a background task, knows version 1 only, and would have to be
thrown away after an error all the same.
"""

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    LeaderNotAvailableError,
    NotCoordinatorError,
    ProducerFenced,
    for_code,
)
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from producers.records import Outgoing
from producers.transaction_protocol import AddingProduceRequest, BumpingEndTxnRequest, has_transactions_version_2

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.005
BETWEEN_TRANSACTIONS_SECONDS = 0.001
COMMIT_SECONDS_MAX = 30.0
CLOSE_SECONDS_MAX = 3.0
BATCH_BYTES_MAX = 512 * 1024
# Brokers read no request of more than 100 MB; a door may forward to hundreds of partitions at once.
REQUEST_BYTES_MAX = 32 * 1024 * 1024
TRANSACTION_TIMEOUT_MS = 5_000
REQUEST_TIMEOUT_MS = 15_000
NOT_YET = (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
)
# INVALID_PRODUCER_EPOCH and PRODUCER_FENCED; aiokafka knows the first one only.
FENCED_CODES = (47, 90)

# The batches of one partition, in order.
Batches = dict[tuple[str, int], list[bytes]]


class Place(NamedTuple):
    """Where records were written: the offset of the first, the others follow it; and the time the broker gave them."""

    offset: int
    at_ms: int


class TransactionalProducer:
    """One transactional id. After any exception from `write` it must be closed, and another one started."""

    def __init__(self, connection: dict[str, Any], transactional_id: str) -> None:
        self.transactional_id = transactional_id
        self._client = AIOKafkaClient(**connection | {"request_timeout_ms": REQUEST_TIMEOUT_MS})
        self._coordinator = -1
        self._is_version_2 = False
        self._producer_id = self._epoch = -1
        self._places: dict[tuple[str, int], Place] = {}
        # How many records each partition has been sent in this epoch.
        self._sequences: dict[tuple[str, int], int] = defaultdict(int)

    async def start(self) -> None:
        """InitProducerId: fences the former owner of the id, and settles what it left open."""
        await self._client.bootstrap()
        request = InitProducerIdRequest(self.transactional_id, TRANSACTION_TIMEOUT_MS)
        async with asyncio.timeout(COMMIT_SECONDS_MAX):
            while True:
                try:
                    self._coordinator = await self._client.coordinator_lookup(
                        CoordinationType.TRANSACTION, self.transactional_id
                    )
                    response = await self._client.send(self._coordinator, request)
                    _raise(response.error_code)
                    break
                except NOT_YET:
                    await asyncio.sleep(RETRY_SECONDS)
        self._producer_id, self._epoch = response.producer_id, response.producer_epoch
        self._is_version_2 = await has_transactions_version_2(self._client, self._coordinator)

    async def write(self, records: Iterable[Outgoing], commit: bool = True) -> dict[tuple[str, int], Place]:
        """Write all of it in one transaction; when this returns it is committed (or, on request, aborted).

        Gives the places in those partitions that took all of theirs in one batch, and whose records have the broker's
        time. Readers of committed records get them once the transaction is marked there, a moment later.
        """
        async with asyncio.timeout(COMMIT_SECONDS_MAX):
            batches = self._batches(records)
            in_one = [partition for partition, waiting in batches.items() if len(waiting) == 1]
            self._places.clear()
            for topic in {topic for topic, _ in batches}:
                # Returns at once where it is known.
                await self._client.add_topic(topic)
            if not self._is_version_2:
                await self._add_partitions(batches)
            while batches:
                await self._produce(next_request(batches))
                batches = {partition: waiting for partition, waiting in batches.items() if waiting}
            await self._end(commit)
            return {partition: self._places[partition] for partition in in_one if partition in self._places}

    def _batches(self, records: Iterable[Outgoing]) -> Batches:
        """Pack the records; one that is larger than a batch has one to itself."""
        now_ms = int(time.time() * 1_000)
        finished: Batches = defaultdict(list)
        filling: dict[tuple[str, int], tuple[DefaultRecordBatchBuilder, int]] = {}
        for record in records:
            partition = record.topic, record.partition
            builder, count = filling.get(partition) or (self._builder(partition), 0)
            headers = list(record.headers)
            if builder.append(count, now_ms, record.key, record.value, headers) is None:
                finished[partition].append(self._built(partition, builder, count))
                builder, count = self._builder(partition), 0
                builder.append(count, now_ms, record.key, record.value, headers)
            filling[partition] = builder, count + 1
        for partition, (builder, count) in filling.items():
            finished[partition].append(self._built(partition, builder, count))
        return finished

    def _builder(self, partition: tuple[str, int]) -> DefaultRecordBatchBuilder:
        return DefaultRecordBatchBuilder(
            magic=2,
            compression_type=0,
            is_transactional=1,
            producer_id=self._producer_id,
            producer_epoch=self._epoch,
            base_sequence=self._sequences[partition],
            batch_size=BATCH_BYTES_MAX,
        )

    def _built(self, partition: tuple[str, int], builder: DefaultRecordBatchBuilder, count: int) -> bytes:
        self._sequences[partition] += count
        return bytes(builder.build())

    def _leader(self, partition: tuple[str, int]) -> int:
        leader = self._client.cluster.leader_for_partition(TopicPartition(*partition))
        if leader is None or leader == -1:
            raise LeaderNotAvailableError(f"{partition[0]} {partition[1]} has no leader that is known of")
        return int(leader)

    async def _add_partitions(self, batches: Batches) -> None:
        request = AddPartitionsToTxnRequest(
            self.transactional_id, self._producer_id, self._epoch, _by_topic({one: one[1] for one in batches})
        )
        await self._coordinate(
            request, lambda response: [code for _, partitions in response.errors for _, code in partitions]
        )

    async def _coordinate(self, request: Any, codes: Callable[[Any], list[int]]) -> Any:
        """The coordinator's answer, once the transaction before this one is marked in all its partitions."""
        while True:
            response = await self._client.send(self._coordinator, request)
            try:
                for code in codes(response):
                    _raise(code)
                return response
            except ConcurrentTransactions:
                await asyncio.sleep(BETWEEN_TRANSACTIONS_SECONDS)

    async def _produce(self, batches: dict[tuple[str, int], bytes]) -> None:
        by_leader: dict[int, dict[tuple[str, int], bytes]] = defaultdict(dict)
        for partition, batch in batches.items():
            by_leader[self._leader(partition)][partition] = batch
        if len(by_leader) == 1:
            await self._produce_at(*by_leader.popitem())
        else:
            await asyncio.gather(*(self._produce_at(leader, some) for leader, some in by_leader.items()))

    async def _produce_at(self, leader: int, batches: dict[tuple[str, int], bytes]) -> None:
        while batches:
            topics = _by_topic({partition: (partition[1], batch) for partition, batch in batches.items()})
            request: Any = (
                AddingProduceRequest(self.transactional_id, REQUEST_TIMEOUT_MS, topics)
                if self._is_version_2
                else ProduceRequest(self.transactional_id, -1, REQUEST_TIMEOUT_MS, topics)
            )
            response = await self._client.send(leader, request)
            for topic, answers in ((found[0], found[1]) for found in response.topics):
                for partition, code, offset, at_ms in (answer[:4] for answer in answers):
                    with contextlib.suppress(ConcurrentTransactions):
                        _raise(code)
                        del batches[topic, partition]
                        # -1: the time is the client's.
                        if at_ms >= 0:
                            self._places[topic, partition] = Place(offset, at_ms)
            if batches:
                await asyncio.sleep(BETWEEN_TRANSACTIONS_SECONDS)

    async def _end(self, commit: bool) -> None:
        fields = (self.transactional_id, self._producer_id, self._epoch, commit)
        request: Any = BumpingEndTxnRequest(*fields) if self._is_version_2 else EndTxnRequest(*fields)
        response = await self._coordinate(request, lambda response: [response.error_code])
        if self._is_version_2:
            self._producer_id, self._epoch = response.producer_id, response.producer_epoch
            self._sequences.clear()

    async def close(self) -> None:
        """Let go of the connections, whatever state they are in; takes at most three seconds, raises nothing."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._client.close()
        except Exception as error:
            log.info("producer.stop_failed", extra={"id": self.transactional_id, "error": repr(error)})


def next_request(batches: Batches) -> dict[tuple[str, int], bytes]:
    """Take the next batch of each partition out, as many of them as fit into one request, and at least one. PURE."""
    request: dict[tuple[str, int], bytes] = {}
    size_bytes = 0
    for partition, waiting in batches.items():
        size_bytes += len(waiting[0]) if waiting else 0
        if request and size_bytes > REQUEST_BYTES_MAX:
            break
        if waiting:
            request[partition] = waiting.pop(0)
    return request


def _raise(code: int) -> None:
    """Raises what the code stands for; nothing for 0."""
    if code in FENCED_CODES:
        raise ProducerFenced()
    if code != 0:
        raise for_code(code)()


def _by_topic(by_partition: dict[tuple[str, int], Any]) -> list[tuple[str, list[Any]]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for (topic, _), one in by_partition.items():
        found[topic].append(one)
    return list(found.items())
