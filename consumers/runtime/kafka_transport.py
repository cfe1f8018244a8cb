"""The lane's transport on Kafka: a transactional producer of its own, and a share of the participant's consumer."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ProducerFenced

from consumers.runtime.transport import Transport
from producers.describing import transaction_state
from producers.errors import LaneLost
from producers.headers import NOOP_TYPE
from producers.records import Outgoing
from producers.transactions import TransactionalProducer

log = logging.getLogger(__name__)

HANGING_AFTER_SECONDS = 1.0
ABORTED = ("Ongoing", "PrepareAbort", "CompleteAbort", "PrepareEpochFence")


class KafkaTransport(Transport):
    """One partition index of one participant. `writes` are all partitions its transactions may touch.

    `consumer` and `questions` see committed records only, `uncommitted` all; they are the participant's, for all its
    lanes. Kafka answers one request of a connection after another: what is asked over the consumer's own would wait for
    its long poll to end.
    """

    def __init__(
        self,
        connection: dict[str, Any],
        participant: str,
        partition: int,
        consumer: AIOKafkaConsumer,
        questions: AIOKafkaConsumer,
        uncommitted: AIOKafkaConsumer,
        inputs: tuple[str, ...],
        state_topic: str,
        writes: tuple[tuple[str, int], ...],
    ) -> None:
        self._connection, self._consumer = connection, consumer
        self._questions, self._uncommitted = questions, uncommitted
        self._transactional_id = f"{participant}.{partition}"
        self._partition = partition
        self._state = TopicPartition(state_topic, partition)
        self._writes = writes
        self._heard = {topic: TopicPartition(topic, partition) for topic in inputs}
        self._producer: TransactionalProducer | None = None

    async def open(self) -> None:
        decided = await self._decided_before()
        self._producer = TransactionalProducer(self._connection, self._transactional_id)
        await self._producer.start()
        await self._settle_hanging(decided)

    async def _decided_before(self) -> str:
        """What the coordinator had decided of the former owner's last transaction; InitProducerId wipes it out."""
        return await transaction_state(self._questions._client, self._transactional_id)

    async def _settle_hanging(self, decided: str) -> None:
        """A broker that died may have lost the markers of a decided transaction: it then hides records for ever.

        The lane alone writes its state partition, so after InitProducerId nothing there can be open. If something is,
        a no-op transaction of the same id with the same decision settles every partition the id writes.
        """
        deadline = asyncio.get_running_loop().time() + HANGING_AFTER_SECONDS
        while await self._end(self._questions) < await self._end(self._uncommitted):
            if asyncio.get_running_loop().time() > deadline:
                assert self._producer is not None
                log.warning("lane.hanging", extra={"lane": self._transactional_id, "decided": decided})
                # The compacted topics take no record without a key.
                headers = (("ce_type", NOOP_TYPE.encode()),)
                noops = [Outgoing(topic, index, NOOP_TYPE.encode(), None, headers) for topic, index in self._writes]
                await self._producer.write(noops, commit=decided not in ABORTED)
                return
            await asyncio.sleep(0.05)

    async def _end(self, reader: AIOKafkaConsumer) -> int:
        return int((await reader.end_offsets([self._state]))[self._state])

    async def restore(self) -> AsyncIterator[tuple[str, bytes | None]]:
        async with AIOKafkaConsumer(
            **self._connection, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest"
        ) as reader:
            reader.assign([self._state])
            end = (await reader.end_offsets([self._state]))[self._state]
            while await reader.position(self._state) < end:
                batches = await reader.getmany(self._state, timeout_ms=100)
                for record in batches.get(self._state, ()):
                    if record.key is not None:
                        yield record.key.decode(), record.value

    async def beginnings(self) -> dict[str, int]:
        offsets = await self._questions.beginning_offsets(list(self._heard.values()))
        return {partition.topic: offset for partition, offset in offsets.items()}

    async def ends(self) -> dict[str, int]:
        offsets = await self._questions.end_offsets(list(self._heard.values()))
        return {partition.topic: offset for partition, offset in offsets.items()}

    def positions(self) -> dict[str, int]:
        # The consumer's own public `position` is a coroutine; the lane must read it between two records.
        assignment = self._consumer._subscription.subscription
        if assignment is None or assignment.assignment is None:
            return {}
        found: dict[str, int] = {}
        for topic, partition in self._heard.items():
            state = assignment.assignment.state_value(partition)
            if state is not None and state.has_valid_position:
                found[topic] = state.position
        return found

    def seek(self, offsets: dict[str, int]) -> None:
        for topic, partition in self._heard.items():
            if partition not in self._consumer.assignment():
                raise LaneLost(f"{partition.topic} {partition.partition} is no longer ours")
            self._consumer.seek(partition, offsets[topic])

    def pause(self, topics: Sequence[str]) -> None:
        self._consumer.pause(*self._ours(topics))

    def resume(self, topics: Sequence[str]) -> None:
        self._consumer.resume(*self._ours(topics))

    def _ours(self, topics: Sequence[str]) -> list[TopicPartition]:
        assignment = self._consumer.assignment()
        return [self._heard[topic] for topic in topics if self._heard[topic] in assignment]

    async def commit(self, said: list[Outgoing], state: dict[str, bytes | None]) -> None:
        if self._producer is None:
            raise LaneLost("the lane is not open")
        topic = self._state.topic
        journals = [Outgoing(topic, self._partition, key.encode(), value) for key, value in state.items()]
        try:
            await self._producer.write(said + journals)
        except ProducerFenced as fenced:
            raise LaneLost(f"{self._transactional_id} was fenced by another owner") from fenced

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.close()
