"""The lane's transport on Kafka: a transactional producer of its own, and a share of what its worker reads."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced

from consumers.runtime.lease import Membership
from consumers.runtime.reader import METADATA_AGE_MS, Reader, Share, Take
from consumers.runtime.transport import Log, Logs, Transport, input_key, place_of
from producers.bounded_consumer import BoundedConsumer
from producers.describing import transaction_state
from producers.errors import LaneLost, RecordRefused, StateUnreadable, Uncommittable
from producers.headers import NOOP_TYPE
from producers.pauses import Pauses
from producers.records import Outgoing, Record
from producers.skipped_batches import skipped_in
from producers.topic_identity import identities_of
from producers.transactions import Place, TransactionalProducer

log = logging.getLogger(__name__)

HANGING_AFTER_SECONDS = 1.0
SETTLED_SECONDS_MAX = 15.0
FIRST_PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.01, 0.2
ABORTED = ("Ongoing", "PrepareAbort", "CompleteAbort", "PrepareEpochFence")


class KafkaTransport(Transport):
    """One partition index of one participant. `writes` are all partitions its transactions may touch.

    Unless it is `told_early`, it hears what its neighbours have committed only once everybody can read it.

    `partitions` is how many lanes the participant has; `added` are partitions beyond that, of which this lane forwards
    what stands there.

    `take` gets what `reader` has of the inputs; `is_ours` tells whether the group still gives the partition to this
    worker, `membership` how lately the group has proved it. `questions` sees committed records only, `uncommitted` all;
    both are the participant's, for all its lanes.
    Kafka answers one request of a connection after another: what is asked over the reader's would wait for its long
    poll to end.
    """

    def __init__(
        self,
        connection: dict[str, Any],
        participant: str,
        partition: int,
        reader: Reader,
        take: Take,
        is_ours: Callable[[], bool],
        membership: Membership,
        questions: BoundedConsumer,
        uncommitted: BoundedConsumer,
        inputs: tuple[str, ...],
        state_topic: str,
        writes: tuple[tuple[str, int], ...],
        told_early: bool = True,
        partitions: int = 0,
        added: tuple[tuple[str, int], ...] = (),
    ) -> None:
        self._connection, self._reader, self._take, self._is_ours = connection, reader, take, is_ours
        self._membership = membership
        self._questions, self._uncommitted = questions, uncommitted
        self._transactional_id = f"{participant}.{partition}"
        self._partition = partition
        self._state = TopicPartition(state_topic, partition)
        self._writes, self._told_early = writes, told_early
        self._heard = {topic: TopicPartition(topic, partition) for topic in inputs}
        # What is only forwarded counts neither for the ends nor for what a neighbour tells.
        self._added = {input_key(*place, partition): TopicPartition(*place) for place in added}
        self._partitions = partitions
        self._shares: dict[str, Share] = {}
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
        """A broker that died may have lost the markers of a decided transaction: it then hides records without end.

        A no-op transaction of the same id, with the same decision, settles every partition that the id writes. It is
        written where something stays undecided for a second: in the state partition, which the lane alone writes, or in
        an input. There it may be another client's transaction, to which a no-op does nothing.

        Returns when the marker is written, or `restore` would read the state without the transaction that it settles.
        """
        inputs = list(self._heard.values())
        undecided = {partition: await self._written_end(partition) for partition in (self._state, *inputs)}
        if await self._are_decided(undecided, HANGING_AFTER_SECONDS):
            return
        assert self._producer is not None
        log.warning("lane.hanging", extra={"lane": self._transactional_id, "decided": decided})
        # The compacted topics take no record without a key.
        headers = (("ce_type", NOOP_TYPE.encode()),)
        noops = [Outgoing(topic, index, NOOP_TYPE.encode(), None, headers) for topic, index in self._writes]
        await self._producer.write(noops, commit=decided not in ABORTED)
        state = {self._state: await self._written_end(self._state)}
        if not await self._are_decided(state, SETTLED_SECONDS_MAX):
            raise LaneLost(f"{self._transactional_id}: a transaction in {self._state.topic} is not settled yet")
        # Longer than this only another client's transaction stays open.
        await self._are_decided(undecided, HANGING_AFTER_SECONDS)

    async def _are_decided(self, ends: dict[TopicPartition, int], seconds: float) -> bool:
        """Whether, within so many seconds, every record below these ends is committed or aborted, and so marked."""
        pauses = Pauses(FIRST_PAUSE_SECONDS, PAUSE_SECONDS_MAX)
        deadline = asyncio.get_running_loop().time() + seconds
        for partition, end in ends.items():
            while await self._decided_end(partition) < end:
                if asyncio.get_running_loop().time() > deadline:
                    return False
                await pauses.wait()
        return True

    async def _decided_end(self, partition: TopicPartition) -> int:
        return int((await self._questions.end_offsets([partition]))[partition])

    async def _written_end(self, partition: TopicPartition) -> int:
        return int((await self._uncommitted.end_offsets([partition]))[partition])

    async def restore(self) -> AsyncIterator[tuple[str, bytes | None]]:
        async with BoundedConsumer(
            **self._connection,
            isolation_level="read_committed",
            enable_auto_commit=False,
            metadata_max_age_ms=METADATA_AGE_MS,
        ) as reader:
            reader.assign_at(await reader.beginning_offsets([self._state]))
            end = (await reader.end_offsets([self._state]))[self._state]
            while await reader.position(self._state) < end:
                batches = await reader.getmany(self._state, timeout_ms=100)
                for record in batches.get(self._state, ()):
                    pass_over(self._state, record.value)
                    if record.key is not None:
                        yield record.key.decode(errors="replace"), record.value

    async def logs(self) -> Logs:
        inputs = self._heard | self._added
        return await logs_of(self._questions, self._uncommitted, inputs, self._state, self._partitions)

    async def ends(self) -> dict[str, int]:
        return await self._ends(self._questions)

    async def written(self) -> dict[str, int]:
        return await self._ends(self._uncommitted)

    async def _ends(self, reader: BoundedConsumer) -> dict[str, int]:
        offsets = await reader.end_offsets(list(self._heard.values()))
        return {partition.topic: offset for partition, offset in offsets.items()}

    def positions(self) -> dict[str, int]:
        return {topic: share.position for topic, share in self._shares.items()}

    def seek(self, offsets: dict[str, int]) -> None:
        if not self._is_ours():
            raise LaneLost(f"partition {self._partition} is no longer ours")
        self._close_shares()
        self._shares = {
            topic: self._reader.share(partition, offsets[topic], self._take, self._told_early)
            for topic, partition in (self._heard | self._added).items()
        }

    def pause(self, topics: Sequence[str]) -> None:
        for share in self._shares_of(topics):
            share.pause()

    def resume(self, topics: Sequence[str]) -> None:
        for share in self._shares_of(topics):
            share.resume()

    def _shares_of(self, topics: Sequence[str]) -> list[Share]:
        """Those of the lane's own partitions, and of the ones that were added to these topics."""
        return [share for key, share in self._shares.items() if place_of(key, self._partition)[0] in topics]

    def _close_shares(self) -> None:
        shares, self._shares = self._shares, {}
        for share in shares.values():
            share.close()

    async def commit(self, said: list[Outgoing], state: dict[str, bytes | None]) -> float | None:
        if self._producer is None:
            raise LaneLost("the lane is not open")
        topic = self._state.topic
        journals = [Outgoing(topic, self._partition, key.encode(), value) for key, value in state.items()]
        try:
            places = await self._producer.write(said + journals)
        except ProducerFenced as fenced:
            raise LaneLost(f"{self._transactional_id} was fenced by another owner") from fenced
        except RecordRefused as refused:
            largest = max(len(one.value or b"") for one in said + journals)
            raise Uncommittable(f"{refused}; the largest record has {largest} bytes") from refused
        self._tell_neighbours(said, places)
        told = [places[partition].at_ms for partition in self._heard.values() if partition in places]
        return min(told) / 1000 if told else None

    def _tell_neighbours(self, said: list[Outgoing], places: dict[tuple[str, int], Place]) -> None:
        """The lanes of this worker need not wait until what is decided is marked, and fetched."""
        for partition in self._heard.values():
            place = places.get(partition)
            if place is not None:
                self._reader.offer(partition, place.offset, _records(said, partition, place))

    def owns(self) -> bool:
        return self._membership.is_proved()

    async def close(self) -> None:
        self._close_shares()
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.close()


async def logs_of(
    questions: BoundedConsumer,
    uncommitted: BoundedConsumer,
    inputs: Mapping[str, TopicPartition],
    state: TopicPartition,
    partitions: int = 0,
) -> Logs:
    """Return the logs of a lane as the cluster has them now."""
    places = [*inputs.values(), state]
    found = await identities_of(questions._client, [place.topic for place in places])
    there = [one for one in places if one.topic in found.topics and one.partition in found.topics[one.topic].partitions]
    starts = await questions.beginning_offsets(there)
    # What a neighbour has committed may not be marked yet, and was heard all the same.
    ends = await uncommitted.end_offsets(there)
    logs = {place: Log(found.topics[place.topic].topic_id, starts[place], ends[place]) for place in there}
    heard = {topic: logs.get(place) for topic, place in inputs.items()}
    return Logs(found.cluster_id, heard, state.topic, logs.get(state), partitions)


def pass_over(place: TopicPartition, value: bytes | None) -> None:
    """Tell of a batch in the state topic that is not unpacked; nothing for any other value.

    No record that a lane writes is near the bound, so a batch above it holds nothing of the lane's.

    Raises:
        StateUnreadable: the batch could hold journals.
    """
    skipped = skipped_in(value)
    if skipped is None:
        return
    told = {"topic": place.topic, "partition": place.partition, "batch": str(skipped)}
    if not skipped.is_too_large:
        log.error("restore.batch_unreadable", extra=told)
        raise StateUnreadable(
            f"{place.topic} {place.partition} has {skipped}. Only the lane's own worker writes there: keep other"
            " publishers out by an ACL, and restore the topic from a backup"
        )
    log.error("restore.batch_skipped", extra=told)


def _records(said: list[Outgoing], partition: TopicPartition, place: Place) -> Iterator[Record]:
    """What was said there, as it will be read."""
    there = (one for one in said if (one.topic, one.partition) == partition)
    for offset, one in enumerate(there, start=place.offset):
        yield Record(one.topic, one.partition, offset, place.at_ms / 1000, one.key, one.value, one.headers)
