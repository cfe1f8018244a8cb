"""Gives a lane another position, by an operator's word: looked at first, then written under the lane's own id."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced

from consumers.kinds import SagaKind
from consumers.runtime.kafka_transport import logs_of, pass_over
from consumers.runtime.partitions import added_partitions, lane_count
from consumers.runtime.positions import StoredPosition
from consumers.runtime.resetting import BeginFrom, Reset, reset_of
from consumers.runtime.transport import JOURNAL_PREFIX, POSITION_KEY, input_key
from producers.bounded_consumer import BoundedConsumer
from producers.cluster import connection
from producers.errors import LaneLost
from producers.pauses import Pauses
from producers.records import Outgoing
from producers.settings import Settings
from producers.topic_identity import identities_of
from producers.transactions import TransactionalProducer
from schemas.topics import state_topic

# A lane that is fenced waits longer than that until it opens again.
ATTEMPTS = 5
SETTLED_SECONDS_MAX = 30.0
FIRST_PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.01, 0.2


class LaneReset:
    """One lane, whether or not it runs. Its state is read once, and then only what has come since."""

    def __init__(
        self,
        settings: Settings,
        kind: SagaKind,
        participant: str,
        partition: int,
        consumers: tuple[BoundedConsumer, BoundedConsumer, BoundedConsumer],
    ) -> None:
        self._connection, self._participant, self._partition = connection(settings), participant, partition
        self._reader, self._questions, self._uncommitted = consumers
        self._state = TopicPartition(state_topic(participant), partition)
        self._topics = kind.inputs()[participant]
        self._stored = StoredPosition()
        self._journals: set[str] = set()
        self._read_up_to: int | None = None

    async def plan(self, begin_from: BeginFrom) -> Reset:
        """Return what a reset would do now; changes nothing. Raises `PositionLost` where no position helps."""
        found = await identities_of(self._questions._client, [*self._topics, self._state.topic])
        counts = {name: len(topic.partitions) for name, topic in found.topics.items()}
        lanes = lane_count(counts, [*self._topics, self._state.topic])
        # A door, which hears commands as well, also reads what was added.
        added = added_partitions(counts, self._topics, lanes, self._partition) if len(self._topics) > 1 else ()
        places = [*((topic, self._partition) for topic in self._topics), *added]
        inputs = {input_key(*place, self._partition): TopicPartition(*place) for place in places}
        logs = await logs_of(self._questions, self._uncommitted, inputs, self._state, lanes)
        if logs.state is not None:
            await self._read_on(logs.state.start)
        former = self._stored.position
        return reset_of(self._participant, self._partition, former, bool(self._journals), logs, begin_from)

    async def write(self, begin_from: BeginFrom) -> Reset:
        """Fence the lane, write its new position, and return what was done. A lane that runs opens again from there.

        Raises:
            LaneLost: the lane has opened again each time before the position was written.
        """
        for _ in range(ATTEMPTS):
            producer = TransactionalProducer(self._connection, f"{self._participant}.{self._partition}")
            try:
                await producer.start()
                await self._settled()
                reset = await self.plan(begin_from)
                value = msgspec.msgpack.encode(reset.position)
                await producer.write([Outgoing(self._state.topic, self._partition, POSITION_KEY.encode(), value)])
                return reset
            except ProducerFenced:
                continue
            finally:
                await producer.close()
        raise LaneLost(
            f"{self._participant}.{self._partition} was opened by its worker again before its position was written:"
            " stop the worker (`soma down`), and repeat the command"
        )

    async def _settled(self) -> None:
        """Return when all that stands in the state partition is committed or aborted."""
        pauses = Pauses(FIRST_PAUSE_SECONDS, PAUSE_SECONDS_MAX)
        written = (await self._uncommitted.end_offsets([self._state]))[self._state]
        async with asyncio.timeout(SETTLED_SECONDS_MAX):
            while (await self._questions.end_offsets([self._state]))[self._state] < written:
                await pauses.wait()

    async def _read_on(self, start: int) -> None:
        if self._read_up_to is None:
            self._read_up_to = start
        self._reader.assign_at({self._state: self._read_up_to})
        end = (await self._questions.end_offsets([self._state]))[self._state]
        while (position := await self._reader.position(self._state)) < end:
            for record in (await self._reader.getmany(timeout_ms=100)).get(self._state, ()):
                pass_over(self._state, record.value)
                self._take((record.key or b"").decode(errors="replace"), record.value)
        self._read_up_to = position

    def _take(self, key: str, value: bytes | None) -> None:
        if key.startswith(JOURNAL_PREFIX):
            (self._journals.discard if value is None else self._journals.add)(key)
        else:
            self._stored.take(key, value)


@asynccontextmanager
async def lane_reset(settings: Settings, kind: SagaKind, participant: str, partition: int) -> AsyncIterator[LaneReset]:
    """Connect to a lane's logs; raises what the cluster answers."""
    named = connection(settings)
    async with (
        BoundedConsumer(**named, isolation_level="read_committed", enable_auto_commit=False) as reader,
        BoundedConsumer(**named, isolation_level="read_committed", enable_auto_commit=False) as questions,
        BoundedConsumer(**named, isolation_level="read_uncommitted", enable_auto_commit=False) as uncommitted,
    ):
        yield LaneReset(settings, kind, participant, partition, (reader, questions, uncommitted))
