"""A consumer group: its assignment, and the lives of its lanes. What they hear is read by the worker's reader."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from consumers.runtime.heartbeats import Heartbeat, proving_heartbeat
from consumers.runtime.kafka_transport import KafkaTransport
from consumers.runtime.lane import REVOKED_DRAIN_SECONDS, Host, Lane
from consumers.runtime.lease import Membership
from consumers.runtime.log_watch import LogWatch, vanished
from consumers.runtime.memory import Memory
from consumers.runtime.partitions import added_partitions, lane_count
from consumers.runtime.reader import Reader
from consumers.runtime.runners import RunItem
from consumers.runtime.transport import place_of
from producers.bounded_consumer import BoundedConsumer
from producers.group_coverage import words_for
from producers.records import Record
from producers.topic_identity import Identities, identities_of
from schemas.topics import SagaTopics, state_topic

log = logging.getLogger(__name__)

POLL_MS = 1_000
SESSION_SECONDS = 6
FAILED_POLL_PAUSE_SECONDS = 0.2
FAREWELL_SECONDS = 6.0
OFFSETS_SHOWN_EVERY_SECONDS = 5.0
LOOK_AT_LOGS_EVERY_SECONDS = 5.0
LOOK_SECONDS_MAX = 10.0
# The leader of the group makes assignments of what it knows of the topics.
METADATA_AGE_MS = 30_000
# What a broker takes beside an offset.
SHOWN_CHARACTERS_MAX = 2_000


@dataclass(frozen=True)
class Role:
    """What a participant is made of: its name, what it remembers, and who runs its items.

    One that is not `told_early` hears what its neighbours have committed only once everybody can read it.
    """

    name: str
    topics: SagaTopics
    is_door: bool
    remember: Callable[[int, int], Memory]
    run_item: RunItem
    told_early: bool = True

    @property
    def inputs(self) -> tuple[str, ...]:
        """The topics it hears."""
        return (self.topics.events, self.topics.commands) if self.is_door else (self.topics.events,)


class ParticipantGroup(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types for it
    """One member of the group `role.name`. `member` names this worker for static membership, stable over restarts."""

    def __init__(self, role: Role, host: Host, connection: dict[str, Any], member: str, reader: Reader) -> None:
        self.role, self._host, self._connection, self._reader = role, host, connection, reader
        self._consumer = BoundedConsumer(
            **connection,
            group_id=role.name,
            # What a static member gets is what the one before had, so a door has another name than the rest.
            group_instance_id=f"{role.name}.{member}{'.door' if role.is_door else ''}",
            isolation_level="read_committed",
            enable_auto_commit=False,
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=SESSION_SECONDS * 1_000,
            heartbeat_interval_ms=1_000,
            rebalance_timeout_ms=20_000,
            # Longer than the rebalance that a join waits for; a frozen coordinator costs no more.
            request_timeout_ms=25_000,
            max_poll_interval_ms=60_000,
            metadata_max_age_ms=METADATA_AGE_MS,
        )
        self._questions = BoundedConsumer(**connection, isolation_level="read_committed", enable_auto_commit=False)
        self._uncommitted = BoundedConsumer(**connection, isolation_level="read_uncommitted", enable_auto_commit=False)
        self._membership = Membership(SESSION_SECONDS)
        self._heartbeat: Heartbeat | None = None
        self._first_proof: asyncio.Future[bool] | None = None
        # How many lanes the participant has; 0 before that is known.
        self._lane_count = 0
        self.lanes: dict[int, Lane] = {}
        self._has_joined = False
        self._lives: dict[int, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.polled_at = time.monotonic()
        self.poll_error: BaseException | None = None

    async def start(self) -> None:
        """Join the group; the lanes open by themselves as partitions are assigned."""
        self._consumer.subscribe(list(self.role.inputs), listener=self)
        await self._questions.start()
        await self._uncommitted.start()
        self._note_counts(await identities_of(self._questions._client, self._read_topics()))
        await self._consumer.start()
        works = (self._poll(), self._show_offsets(), self._watch_logs())
        self._tasks = [asyncio.create_task(work, name=self.role.name) for work in works]

    async def stop(self) -> None:
        """Drain the lanes, leave the group. May be called twice."""
        await self._stop_lanes(self._host.drain_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._consumer.stop()
        await self._questions.stop()
        await self._uncommitted.stop()

    def join_again(self) -> None:
        """Have the group balanced again: a static member that restarts is given its old assignment."""
        self._consumer._coordinator.request_rejoin()

    def topics(self) -> tuple[str, ...]:
        """Every topic it reads or writes."""
        topics = self.role.topics
        return topics.commands, topics.events, topics.status, topics.dead, state_topic(self.role.name)

    def is_open(self) -> bool:
        """Whether the group gave it its partitions, and every lane of them is open; a spare member has none.

        A lane whose position is lost waits for an operator, and the others do not wait for it.
        """
        return self._has_joined and all(lane.is_live or lane.logs.position_lost for lane in self.lanes.values())

    def is_ready(self) -> bool:
        """Whether its lanes have also read the backlogs that they found, and get on."""
        return self._has_joined and all(lane.is_ready or lane.logs.position_lost for lane in self.lanes.values())

    def is_polling(self, within_seconds: float) -> bool:
        """Whether it has polled so lately, or its brokers are away: a group that is being balanced waits for them."""
        return time.monotonic() - max(self.polled_at, self._consumer._client.failed_at) < within_seconds

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Called by the consumer, which waits for it: finish the transactions, let go of the lanes."""
        await self._stop_lanes(REVOKED_DRAIN_SECONDS)

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Called by the consumer, which sends no heartbeat meanwhile: only start the lanes, restore elsewhere."""
        # The group says who reads; this consumer never does.
        self._consumer.pause(*assigned)
        for partition in assigned:
            # Without a position, aiokafka would ask the group for one, and most have none there.
            self._consumer.seek(partition, 0)
        counts = {topic: len(self._consumer.partitions_for_topic(topic) or ()) for topic in self.role.inputs}
        partitions = self._lane_count or counts[self.role.topics.events]
        # The events say who has a lane: of the commands the group may give another worker the same partition.
        indexes = {one.partition for one in assigned if one.topic == self.role.topics.events}
        for index in sorted(index for index in indexes if index < partitions):
            if index in self.lanes:
                await self._stop_lane(index, 0.0)
            added = added_partitions(counts, self.role.inputs, partitions, index) if self.role.is_door else ()
            self._start_lane(index, partitions, added)
        self._has_joined = True
        if self._heartbeat is None:
            self._heartbeat = proving_heartbeat(self._consumer, self._membership)
        # The consumer sends its own first heartbeat a second later; the steps of the lanes would wait for it.
        self._first_proof = asyncio.ensure_future(self._heartbeat())
        log.info("participant.assigned", extra={"participant": self.role.name, "partitions": sorted(self.lanes)})

    def _read_topics(self) -> tuple[str, ...]:
        return (*self.role.inputs, state_topic(self.role.name))

    def _note_counts(self, found: Identities) -> bool:
        """Note how many lanes there are; whether that has changed."""
        counts = {name: len(topic.partitions) for name, topic in found.topics.items()}
        former, self._lane_count = self._lane_count, lane_count(counts, self._read_topics()) or self._lane_count
        return former != self._lane_count

    def _start_lane(self, index: int, partitions: int, added: tuple[tuple[str, int], ...]) -> None:
        name, topics = self.role.name, self.role.topics
        states = state_topic(name)
        writes = tuple((topic, index) for topic in (states, topics.events, topics.dead, topics.status))
        if self.role.is_door:
            writes += tuple((topics.commands, other) for other in range(partitions))
        if added:
            writes += tuple((topics.events, other) for other in range(partitions) if other != index)
        heard = TopicPartition(topics.events, index)

        def take(records: list[Record]) -> None:
            lane.push(records)

        transport = KafkaTransport(
            self._connection,
            name,
            index,
            self._reader,
            take,
            lambda: heard in self._consumer.assignment(),
            self._membership,
            self._questions,
            self._uncommitted,
            self.role.inputs,
            states,
            writes,
            self.role.told_early,
            partitions,
            added,
        )
        lane = Lane(
            f"{name}.{index}",
            self._host,
            transport,
            lambda: self.role.remember(index, partitions),
            self.role.run_item,
        )
        self.lanes[index] = lane
        self._lives[index] = asyncio.create_task(lane.run(), name=lane.name)

    async def _stop_lanes(self, drain_seconds: float) -> None:
        await asyncio.gather(*(self._stop_lane(index, drain_seconds) for index in list(self.lanes)))

    async def _stop_lane(self, index: int, drain_seconds: float) -> None:
        lane, life = self.lanes.pop(index), self._lives.pop(index)
        await lane.stop(drain_seconds)
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(drain_seconds + FAREWELL_SECONDS):
                await asyncio.shield(life)
        if not life.done():
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)

    async def _poll(self) -> None:
        """Tell the group that this member is alive; nothing is ever fetched."""
        while True:
            try:
                await self._consumer.getmany(timeout_ms=POLL_MS)
                self.polled_at, self.poll_error = time.monotonic(), None
            except Exception as error:
                self.poll_error = error
                log.warning("participant.poll_failed", extra={"participant": self.role.name, "error": repr(error)})
                await asyncio.sleep(FAILED_POLL_PAUSE_SECONDS)

    async def _show_offsets(self) -> None:
        """Commit group offsets now and then: no lane starts from them, they only let lag displays work.

        Beside the offset stands why the lane's position is lost: the tracker and `soma doctor` read it there.
        """
        while True:
            await asyncio.sleep(OFFSETS_SHOWN_EVERY_SECONDS)
            offsets = {
                partition: shown
                for index, lane in self.lanes.items()
                for partition, shown in shown_offsets(index, lane, self.role.inputs).items()
                if partition in self._consumer.assignment()
            }
            if offsets:
                with contextlib.suppress(Exception):
                    await self._consumer.commit(offsets)

    async def _watch_logs(self) -> None:
        """Look now and then whether the topics are still those that the lanes read; no lane waits for it."""
        watch = LogWatch(self._read_topics())
        while True:
            await asyncio.sleep(LOOK_AT_LOGS_EVERY_SECONDS)
            try:
                async with asyncio.timeout(LOOK_SECONDS_MAX):
                    await self._look_at_logs(watch)
            except Exception as error:
                # No lane depends on it, and the next look may succeed.
                log.info("participant.not_looked", extra={"participant": self.role.name, "error": repr(error)})

    async def _look_at_logs(self, watch: LogWatch) -> None:
        found = await identities_of(self._questions._client, watch.topics)
        ids = watch.ids(found)
        for lane in self.lanes.values():
            lane.compare(found.cluster_id, ids)
        missing = vanished(self._consumer.assignment(), found)
        if self._note_counts(found):
            self.join_again()
        if missing:
            named = {"participant": self.role.name, "partitions": words_for(missing)}
            log.warning("participant.partitions.vanished", extra=named)
            # The group's next assignment is made of what this client knows.
            await self._consumer._client.force_metadata_update()
            self.join_again()
        read = {lane: lane.read_up_to() for lane in self.lanes.values() if lane.is_live}
        places = [TopicPartition(topic, index) for index in self.lanes for topic in watch.topics]
        gone = vanished(places, found)
        ends = await self._uncommitted.end_offsets(
            [one for one in places if one.topic in found.topics and one not in gone]
        )
        for index, lane in self.lanes.items():
            if lane in read:
                lane.compare_ends(read[lane], {topic: ends.get(TopicPartition(topic, index)) for topic in watch.topics})


def shown_offsets(index: int, lane: Lane, inputs: Iterable[str]) -> dict[TopicPartition, tuple[int, str]]:
    """Return what the group's offsets show of a lane: where it is, and why its position is lost where it is."""
    offsets = lane.committed_offsets()
    if lane.logs.position_lost:
        cause = lane.logs.position_lost[:SHOWN_CHARACTERS_MAX]
        return {TopicPartition(topic, index): (offsets.get(topic, 0), cause) for topic in inputs}
    return {TopicPartition(*place_of(key, index)): (offset, "") for key, offset in offsets.items() if lane.is_live}
