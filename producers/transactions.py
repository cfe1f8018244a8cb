"""A transactional producer that repeats what can be repeated, and is used up by any other error (crash-only).

It speaks the protocol itself, over aiokafka's connections: one produce request and one end for each transaction, where
the brokers have transactions of version 2 (KIP-890), and one more to add the partitions where they have not. aiokafka's
own producer passes each of them through a queue and a background task, knows version 1 only, and would have to be
thrown away after an error all the same.

What is repeated, and why that writes nothing twice (`error_codes` says what is done about each code):

- A batch is sent again as the same bytes: same producer id, epoch and sequence. A leader knows the last five batches of
  a producer, this one has one batch of a partition under way, and a new leader has the old one's list from the log. A
  batch that is there already is answered like the first time, or with DUPLICATE_SEQUENCE_NUMBER.
- A batch that arrives late, after its transaction has ended, finds its sequence used (version 1) or its epoch over
  (version 2). A broker that was frozen and still thinks that it leads cannot replicate what it appends.
- InitProducerId may be repeated: each one only takes a newer epoch. A late one fences this producer, and the lane opens
  again.
- AddPartitionsToTxn may be repeated. A late one may open an empty transaction, which times out.
- EndTxn is repeated after an answer that says it was not done. When there was *no* answer it is repeated only with
  version 2: there each transaction has an epoch of its own, and a late request of the former epoch ends nothing. With
  version 1 it could end the next transaction before its records are complete; so the outcome stays unknown.
"""

import asyncio
import contextlib
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.errors import (
    CorrelationIdError,
    KafkaConnectionError,
    NodeNotReadyError,
    ProducerFenced,
    RequestTimedOutError,
    StaleMetadata,
    for_code,
)
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest

from producers.batches import BATCH_BYTES_MAX, Batches, Packer, Partition, next_request
from producers.beside import UnlessDoneWithin, together
from producers.brokers import UNREACHABLE, BrokerClient
from producers.error_codes import Reaction, error_code
from producers.errors import RecordRefused
from producers.pauses import Pauses
from producers.records import Outgoing
from producers.transaction_protocol import AddingProduceRequest, BumpingEndTxnRequest, has_transactions_version_2

__all__ = ["BATCH_BYTES_MAX", "Place", "TransactionalProducer"]

log = logging.getLogger(__name__)

# Longer than a broker's session (9 s by default) and the election of a controller before it: until a dead broker is
# replaced, nothing that has a replica there can be written. A shorter timeout would abort the transactions of all
# lanes, those of live leaders too; 15 s did so on a loaded machine.
TRANSACTION_TIMEOUT_MS = 30_000
# Before a transaction begins, the one before must be marked in all its partitions; a coordinator waits 30 s (the
# brokers' `request.timeout.ms`) for a broker that froze just then. A lane that opens again would wait as well.
COMMIT_SECONDS_MAX = OPEN_SECONDS_MAX = TRANSACTION_TIMEOUT_MS / 1_000 + 30.0
CLOSE_SECONDS_MAX = 3.0
# How long a leader waits for its replicas, and a moment longer for the answer; both within one transaction.
REPLICATED_MS_MAX = 5_000
REQUEST_TIMEOUT_MS = 6_000
# Without an answer for so long, find out whether another broker is in charge now.
LOOK_SECONDS = 1.0
FIRST_PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.001, 0.25
# Idle lanes learn of a moved leader before they write; not all at the same moment.
METADATA_AGE_MS = 30_000
# In metadata, where a partition has no leader.
NO_BROKER = -1
# Where nothing was sent, or nothing was heard of it.
NOT_SENT = (NodeNotReadyError, StaleMetadata)
UNANSWERED = (KafkaConnectionError, RequestTimedOutError, CorrelationIdError, OSError)


NO_PARTITION: Partition = ("", -1)
# The error codes of an answer, each with the partition that it concerns.
Codes = Callable[[Any], list[tuple[Partition, int]]]


class Place(NamedTuple):
    """Where records were written: the offset of the first, the others follow it; and the time the broker gave them."""

    offset: int
    at_ms: int


class Moved(Exception):
    """Another broker is in charge now; what was asked of the former one is not waited for."""


class TransactionalProducer:
    """One transactional id. After any exception from `write` it must be closed, and another one started."""

    def __init__(self, connection: dict[str, Any], transactional_id: str) -> None:
        self.transactional_id = transactional_id
        timeouts = {
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "metadata_max_age_ms": int(METADATA_AGE_MS * random.uniform(0.7, 1.0)),
        }
        self._client = BrokerClient(**connection | timeouts)
        self._coordinator = NO_BROKER
        # What the last attempt failed at, for the error of a transaction that ran out of time.
        self._hindrance = ""
        self._is_version_2 = False
        self._producer_id = self._epoch = -1
        self._places: dict[Partition, Place] = {}
        # How many records each partition has been sent in this epoch.
        self._sequences: dict[Partition, int] = defaultdict(int)
        # Until when a broker wants no request, by the loop's clock.
        self._throttled: dict[int, float] = {}

    async def start(self) -> None:
        """InitProducerId: fences the former owner of the id, and settles what it left open."""
        async with asyncio.timeout(OPEN_SECONDS_MAX):
            await self._client.bootstrap()
            await self._find_coordinator()
            request = InitProducerIdRequest(self.transactional_id, TRANSACTION_TIMEOUT_MS)
            response = await self._coordinate(request, _only_code)
            self._producer_id, self._epoch = response.producer_id, response.producer_epoch
            self._is_version_2 = await has_transactions_version_2(self._client)

    async def write(self, records: Iterable[Outgoing], commit: bool = True) -> dict[Partition, Place]:
        """Write all of it in one transaction; when this returns it is committed (or, on request, aborted).

        Gives the places in those partitions that took all of theirs in one batch, and whose records have the broker's
        time. Readers of committed records get them once the transaction is marked there, a moment later.

        Raises `RecordRefused` where a record is at fault, `ProducerFenced` where another owner has the id, TimeoutError
        where the outcome is not known within the transaction's timeout; anything else a broker may answer.
        """
        self._hindrance = ""
        try:
            async with asyncio.timeout(COMMIT_SECONDS_MAX):
                return await self._written(self._batches(records), commit)
        except TimeoutError as error:
            within = f"is not known to be over after {COMMIT_SECONDS_MAX:g} s"
            raise TimeoutError(f"the transaction of {self.transactional_id} {within}: {self._hindrance}") from error

    async def _written(self, batches: Batches, commit: bool) -> dict[Partition, Place]:
        in_one = [partition for partition, waiting in batches.items() if len(waiting) == 1]
        self._places.clear()
        await self._know({topic for topic, _ in batches})
        if not self._is_version_2:
            await self._add_partitions(batches)
        while batches:
            await self._produce(next_request(batches))
            batches = {partition: waiting for partition, waiting in batches.items() if waiting}
        await self._end(commit)
        return {partition: self._places[partition] for partition in in_one if partition in self._places}

    def _batches(self, records: Iterable[Outgoing]) -> Batches:
        return Packer(self._producer_id, self._epoch, self._sequences).pack(records)

    async def _know(self, topics: set[str]) -> None:
        """Ask for the leaders of topics that were not written to before, all at once; returns at once otherwise."""
        if not topics <= self._client._topics:
            self._hindrance = f"no broker tells who leads {', '.join(sorted(topics))}"
            await self._client.set_topics(topics | self._client._topics)

    def _leader(self, partition: Partition) -> int:
        leader = self._client.cluster.leader_for_partition(TopicPartition(*partition))
        return NO_BROKER if leader is None else int(leader)

    async def _find_coordinator(self) -> bool:
        """Look the coordinator up; whether it is another one than before. Where it cannot be told, it is not."""
        former = self._coordinator
        with contextlib.suppress(*UNREACHABLE):
            self._coordinator = await self._client.coordinator_lookup(
                CoordinationType.TRANSACTION, self.transactional_id
            )
        return self._coordinator != former

    async def _find_leaders(self, leader: int, partitions: Iterable[Partition]) -> bool:
        """Refresh the metadata; whether one of these is led by another broker than `leader` now."""
        await self._client.force_metadata_update()
        return any(self._leader(partition) not in (leader, NO_BROKER) for partition in partitions)

    async def _answer(self, node: int, request: Any, has_moved: Callable[[], Awaitable[bool]]) -> Any:
        """The broker's answer. Raises `Moved` when it says nothing and another one is in charge."""
        loop = asyncio.get_running_loop()
        if node in self._throttled:
            await asyncio.sleep(self._throttled.pop(node) - loop.time())
        try:
            async with asyncio.timeout(None) as patience:
                # Most answers come before the look begins, and cost no task of their own.
                look = partial(self._look_around, node, request, has_moved, patience)
                with UnlessDoneWithin(LOOK_SECONDS, look):
                    response = await self._client.send(node, request)
        except TimeoutError:
            if not patience.expired():
                raise
            # What is sent next over the same connection would wait until this one is answered.
            self._client.drop(node)
            raise Moved(f"broker {node} does not answer, and another one is in charge now") from None
        if response.throttle_time_ms > 0:
            self._throttled[node] = loop.time() + response.throttle_time_ms / 1_000
        return response

    async def _look_around(
        self, node: int, request: Any, has_moved: Callable[[], Awaitable[bool]], patience: asyncio.Timeout
    ) -> None:
        """End the patience with a silent broker as soon as another one is in charge."""
        self._hindrance = f"broker {node} does not answer {type(request).__name__}"
        while True:
            if await has_moved():
                return patience.reschedule(asyncio.get_running_loop().time())
            await asyncio.sleep(LOOK_SECONDS)

    async def _add_partitions(self, batches: Batches) -> None:
        request = AddPartitionsToTxnRequest(
            self.transactional_id, self._producer_id, self._epoch, _by_topic({one: one[1] for one in batches})
        )
        await self._coordinate(
            request,
            lambda response: [((topic, index), code) for topic, answers in response.errors for index, code in answers],
        )

    async def _coordinate(self, request: Any, codes: Codes, may_repeat: bool = True) -> Any:
        """The coordinator's answer, whichever broker that is, once it is neither busy nor moving.

        A request that `may_repeat` only after an answer raises where there was none.
        """
        pauses = Pauses(FIRST_PAUSE_SECONDS, PAUSE_SECONDS_MAX)
        while True:
            reaction: Reaction | None = Reaction.LOOK_AGAIN
            try:
                response = await self._answer(self._coordinator, request, self._find_coordinator)
                reaction = _worst([self._raised_unless_repeatable(code, where) for where, code in codes(response)])
                if reaction is None:
                    return response
            except NOT_SENT as error:
                self._hindrance = f"coordinator {self._coordinator}: {error!r}"
            except (Moved, *UNANSWERED) as error:
                self._hindrance = f"coordinator {self._coordinator}: {error!r}"
                if not may_repeat:
                    raise
            await pauses.wait()
            if reaction is Reaction.LOOK_AGAIN:
                await self._find_coordinator()

    async def _produce(self, batches: dict[Partition, bytes]) -> None:
        """Write one batch of each partition, wherever its leader is or goes."""
        pauses = Pauses(FIRST_PAUSE_SECONDS, PAUSE_SECONDS_MAX)
        sent_before: set[Partition] = set()
        while True:
            by_leader: dict[int, dict[Partition, bytes]] = defaultdict(dict)
            for partition, batch in batches.items():
                by_leader[self._leader(partition)][partition] = batch
            leaderless = by_leader.pop(NO_BROKER, {})
            if leaderless:
                self._hindrance = (
                    f"no leader is known for {', '.join(f'{topic} {index}' for topic, index in leaderless)}"
                )
            asks = [self._produce_at(leader, some, sent_before) for leader, some in by_leader.items()]
            reactions = await together(asks)
            unwritten = {partition for some in by_leader.values() for partition in some}
            if not unwritten and not leaderless:
                return
            sent_before |= unwritten
            batches = {partition: batches[partition] for partition in (*unwritten, *leaderless)}
            await pauses.wait()
            if leaderless or _worst(reactions) is Reaction.LOOK_AGAIN:
                await self._client.force_metadata_update()

    async def _produce_at(
        self, leader: int, batches: dict[Partition, bytes], sent_before: set[Partition]
    ) -> Reaction | None:
        """Take out of `batches` what the leader has written; what to do about the others."""
        topics = _by_topic({partition: (partition[1], batch) for partition, batch in batches.items()})
        request: Any = (
            AddingProduceRequest(self.transactional_id, REPLICATED_MS_MAX, topics)
            if self._is_version_2
            else ProduceRequest(self.transactional_id, -1, REPLICATED_MS_MAX, topics)
        )

        async def has_moved() -> bool:
            # With version 2 the leader asks the coordinator, and hangs where that one is frozen.
            return await self._find_leaders(leader, list(batches)) or (
                self._is_version_2 and await self._find_coordinator()
            )

        try:
            response = await self._answer(leader, request, has_moved)
        except (Moved, *NOT_SENT, *UNANSWERED) as error:
            self._hindrance = f"leader {leader}: {error!r}"
            return Reaction.LOOK_AGAIN
        reactions: list[Reaction | None] = []
        for topic, answers in ((found[0], found[1]) for found in response.topics):
            for partition, code, offset, at_ms, *details in answers:
                where = topic, partition
                reaction = self._raised_unless_repeatable(code, where, details, was_sent_before=where in sent_before)
                if reaction is None:
                    del batches[where]
                    # -1: the time is the client's, or the place of a batch that was there already is not told.
                    if at_ms >= 0 and offset >= 0 and code == 0:
                        self._places[where] = Place(offset, at_ms)
                reactions.append(reaction)
        return _worst(reactions)

    async def _end(self, commit: bool) -> None:
        fields = (self.transactional_id, self._producer_id, self._epoch, commit)
        request: Any = BumpingEndTxnRequest(*fields) if self._is_version_2 else EndTxnRequest(*fields)
        response = await self._coordinate(request, _only_code, self._is_version_2)
        if self._is_version_2:
            self._producer_id, self._epoch = response.producer_id, response.producer_epoch
            self._sequences.clear()

    def _raised_unless_repeatable(
        self, code: int, partition: Partition, details: Iterable[Any] = (), was_sent_before: bool = False
    ) -> Reaction | None:
        """None where all is well, else the reaction that makes another attempt; raises what no other attempt mends."""
        if code == 0:
            return None
        name, reaction = error_code(code)
        if reaction in (Reaction.RETRY, Reaction.LOOK_AGAIN):
            self._hindrance = f"{name}{_at(partition)}"
            return reaction
        if reaction is Reaction.WRITTEN and was_sent_before:
            return None
        if reaction is Reaction.FENCED:
            raise ProducerFenced(name)
        if reaction is Reaction.REFUSED:
            raise _refused(partition, name, list(details))
        raise for_code(code)(f"{name}{_at(partition)}")

    async def close(self) -> None:
        """Let go of the connections, whatever state they are in; takes at most three seconds, raises nothing."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._client.close()
        except Exception as error:
            log.info("producer.stop_failed", extra={"id": self.transactional_id, "error": repr(error)})


def _only_code(response: Any) -> list[tuple[Partition, int]]:
    return [(NO_PARTITION, response.error_code)]


def _refused(partition: Partition, name: str, details: list[Any]) -> RecordRefused:
    """From the rest of a partition's answer: log start offset and, of newer brokers, the records at fault and why."""
    errors, detail = (details[1] or [], details[2] or "") if len(details) > 2 else ([], "")
    return RecordRefused(*partition, name, tuple(index for index, *_ in errors), detail)


def _at(partition: Partition) -> str:
    topic, index = partition
    return f" at {topic} {index}" if topic else ""


def _worst(reactions: Iterable[Reaction | None]) -> Reaction | None:
    """Looking again includes sending again; sending again is more than nothing."""
    there = set(reactions)
    return next((one for one in (Reaction.LOOK_AGAIN, Reaction.RETRY) if one in there), None)


def _by_topic(by_partition: dict[Partition, Any]) -> list[tuple[str, list[Any]]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for (topic, _), one in by_partition.items():
        found[topic].append(one)
    return list(found.items())
