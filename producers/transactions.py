"""A transactional producer that is used up by its first error (crash-only).

Facts it rests on were found on a real broker: records whose futures are not awaited may be missing from a transaction
that commits; a fenced or failed aiokafka producer cannot be used again; the stock back-off between two transactions is
20 ms, and 100 ms for a retry, which is what a whole transaction of ours should take at most.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.producer import sender

from producers.records import Outgoing

log = logging.getLogger(__name__)

RETRY_BACKOFF_MS = 5
BETWEEN_TRANSACTIONS_SECONDS = 0.001
COMMIT_SECONDS_MAX = 30.0
CLOSE_SECONDS_MAX = 3.0
BATCH_BYTES_MAX = 512 * 1024
REQUEST_BYTES_MAX = 8 * 1024 * 1024
TRANSACTION_TIMEOUT_MS = 5_000


class TransactionalProducer:
    """One transactional id. After any exception from `write` it must be closed, and another one started."""

    def __init__(self, connection: dict[str, Any], transactional_id: str) -> None:
        # aiokafka keeps this wait as a module constant; its issue tracker knows, there is no other way to set it.
        sender.BACKOFF_OVERRIDE = BETWEEN_TRANSACTIONS_SECONDS
        self.transactional_id = transactional_id
        self._producer = AIOKafkaProducer(
            **connection | {"retry_backoff_ms": RETRY_BACKOFF_MS},
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=REQUEST_BYTES_MAX,
            request_timeout_ms=15_000,
        )

    @property
    def client(self) -> Any:
        """The aiokafka client, for requests that aiokafka has no method for."""
        return self._producer.client

    async def start(self) -> None:
        """InitProducerId: fences the former owner of the id, and settles what it left open."""
        await self._producer.start()

    async def write(self, records: Iterable[Outgoing], commit: bool = True) -> None:
        """Write all of it in one transaction; when this returns it is committed (or, on request, aborted)."""
        async with asyncio.timeout(COMMIT_SECONDS_MAX):
            await self._producer.begin_transaction()
            acknowledged = []
            for (topic, partition), batch in self._by_partition(records).items():
                acknowledged += await self._send(topic, partition, batch)
            for future in acknowledged:
                await future
            await (self._producer.commit_transaction() if commit else self._producer.abort_transaction())

    @staticmethod
    def _by_partition(records: Iterable[Outgoing]) -> dict[tuple[str, int], list[Outgoing]]:
        batches: dict[tuple[str, int], list[Outgoing]] = defaultdict(list)
        for record in records:
            batches[record.topic, record.partition].append(record)
        return batches

    async def _send(self, topic: str, partition: int, records: list[Outgoing]) -> list[asyncio.Future[Any]]:
        futures: list[asyncio.Future[Any]] = []
        builder = self._producer.create_batch()
        for record in records:
            fields = {"key": record.key, "value": record.value, "timestamp": None, "headers": list(record.headers)}
            if builder.append(**fields) is None:
                futures.append(await self._producer.send_batch(builder, topic, partition=partition))
                builder = self._producer.create_batch()
                if builder.append(**fields) is None:
                    # Larger than a batch: it travels alone.
                    future = await self._producer.send(
                        topic, record.value, record.key, partition, headers=list(record.headers)
                    )
                    futures.append(future)
        if builder.record_count():
            futures.append(await self._producer.send_batch(builder, topic, partition=partition))
        return futures

    async def close(self) -> None:
        """Let go of the connections, whatever state they are in; takes at most three seconds, raises nothing."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._producer.stop()
        except Exception as error:
            log.info("producer.stop_failed", extra={"id": self.transactional_id, "error": repr(error)})
            with contextlib.suppress(Exception):
                await self._producer.client.close()
