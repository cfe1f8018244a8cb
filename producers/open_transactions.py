"""Transactions that are open for long: what was written behind them is not read until they end.

A reader of committed records sees nothing from the first record of an open transaction on, of any client. So one
client that begins a transaction on a commands topic and falls silent hides all commands behind it, until Kafka aborts
it (after `transaction.timeout.ms` of that client, 15 minutes at most by default).
"""

import asyncio
import logging
import shlex
import time
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka import TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from producers.brokers import BrokerClient
from producers.cluster import connection
from producers.describing import DescribeProducersRequest, ListTransactionsRequest, described
from producers.settings import Settings
from producers.transactions import TransactionalProducer

log = logging.getLogger(__name__)

# A lane's transaction takes milliseconds, and a moved leader ends it within this time or not at all.
LONG_SECONDS = 30.0
OFFSET_NONE = -1
INPUTS = (".commands", ".events")
OPEN_STATES = ("Ongoing", "PrepareEpochFence")


@dataclass(frozen=True)
class OpenTransaction:
    """A transaction that holds a partition from `start_offset` on.

    `transactional_id` is empty where no coordinator knows the producer (a hanging transaction, which never ends by
    itself) or the caller may not DESCRIBE it; `until` is None then. Times are in seconds.
    """

    topic: str
    partition: int
    start_offset: int
    producer_id: int
    transactional_id: str
    since: float
    until: float | None

    @property
    def words(self) -> str:
        """Who holds what, since when and until when, for people."""
        who = f"the transaction of {_shown(self.transactional_id)}" if self.transactional_id else "a transaction"
        end = (
            f"Kafka aborts it at {_clock(self.until)}"
            if self.until is not None
            else "no coordinator is known that ends it"
        )
        return (
            f"{who} (producer id {self.producer_id}) holds {self.topic} {self.partition} from offset"
            f" {self.start_offset} on since {_clock(self.since)}: nothing behind it is read; {end}"
        )

    def remedy(self, bootstrap_servers: str) -> str:
        """The command that ends it."""
        if self.transactional_id:
            # The other client chose the id, and an operator pastes the command into a shell.
            return f"soma topics abort {shlex.quote(_shown(self.transactional_id))}"
        where = f"--topic {shlex.quote(self.topic)} --partition {self.partition} --start-offset {self.start_offset}"
        return f"kafka-transactions.sh --bootstrap-server {bootstrap_servers} abort {where}"


def _shown(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S UTC")


async def look_for_open_transactions(
    settings: Settings,
    topics: Collection[str] | None = None,
    partition: int | None = None,
    long_seconds: float | None = None,
) -> list[OpenTransaction]:
    """Every transaction that has been open for so long in these topics; in the inputs of every saga if none is named.

    Raises what the cluster answers. Brokers before Kafka 3.0 cannot be asked; nothing is found there.
    """
    client = BrokerClient(**connection(settings))
    try:
        await client.bootstrap()
        long_seconds = LONG_SECONDS if long_seconds is None else long_seconds
        return await _open_transactions(client, topics, partition, long_seconds)
    finally:
        await client.close()


async def _open_transactions(
    client: BrokerClient, topics: Collection[str] | None, partition: int | None, long_seconds: float
) -> list[OpenTransaction]:
    metadata = await client.fetch_all_metadata()
    named = [topic for topic in metadata.topics() if (topic.endswith(INPUTS) if topics is None else topic in topics)]
    asked = [
        TopicPartition(topic, index)
        for topic in named
        for index in metadata.partitions_for_topic(topic) or ()
        if partition is None or index == partition
    ]
    by_leader: dict[int, list[TopicPartition]] = defaultdict(list)
    for place in asked:
        leader = metadata.leader_for_partition(place)
        if leader is not None and leader >= 0:
            by_leader[leader].append(place)
    asks = [_open_at(client, leader, some) for leader, some in by_leader.items()]
    held = [one for found in await asyncio.gather(*asks) for one in found]
    # Most looks find what is written just now; only what is old is asked about.
    long_ago = time.time() - long_seconds
    producers = {producer_id for _, _, producer_id, written_at in held if written_at < long_ago}
    ids = await _ids(client, metadata, producers) if producers else {}
    times = {producer_id: await _times(client, name) for producer_id, name in ids.items()}
    found = [
        OpenTransaction(
            place.topic, place.partition, start, producer, ids.get(producer, ""), *(times.get(producer) or (at, None))
        )
        for place, start, producer, at in held
        if producer in producers
    ]
    return sorted((one for one in found if one.since < long_ago), key=lambda one: (one.topic, one.partition, one.since))


Held = tuple[TopicPartition, int, int, float]


async def _open_at(client: BrokerClient, leader: int, partitions: list[TopicPartition]) -> list[Held]:
    """Partition, first offset, producer id and time of the last record of each open transaction there."""
    by_topic: dict[str, list[int]] = defaultdict(list)
    for topic, index in partitions:
        by_topic[topic].append(index)
    try:
        response = await client.send(leader, DescribeProducersRequest(list(by_topic.items())))
    except (NotImplementedError, IncompatibleBrokerVersion):
        return []
    except KafkaError as error:
        # The partitions of the other leaders are looked at all the same.
        log.info("transactions.not_looked_at", extra={"broker": leader, "error": repr(error)})
        return []
    return [
        (TopicPartition(topic, index), start, producer_id, written_at_ms / 1_000)
        for topic, answers, _ in response.topics
        for index, code, _, producers, _ in answers
        if code == 0
        for producer_id, _, _, written_at_ms, _, start, _ in producers
        if start != OFFSET_NONE
    ]


async def _ids(client: BrokerClient, metadata: ClusterMetadata, producers: set[int]) -> dict[int, str]:
    """The transactional ids of these producers, as far as a coordinator names them."""
    nodes = [broker.nodeId for broker in metadata.brokers()]
    answers = await asyncio.gather(
        *(client.send(node, ListTransactionsRequest(sorted(producers))) for node in nodes), return_exceptions=True
    )
    return {
        producer_id: name
        for answer in answers
        if not isinstance(answer, BaseException) and answer.error_code == 0
        for name, producer_id, _, _ in answer.transaction_states
    }


async def _times(client: BrokerClient, transactional_id: str) -> tuple[float, float] | None:
    """Since when, and until when at most, its transaction is open; None where its coordinator does not tell."""
    try:
        known = await described(client, transactional_id)
    except (KafkaError, TimeoutError):
        return None
    since = known.started_at_ms / 1_000
    return (since, since + known.timeout_ms / 1_000) if since > 0 else None


async def state_of(settings: Settings, transactional_id: str) -> str:
    """What the coordinator says of this id; empty where it knows none."""
    client = BrokerClient(**connection(settings))
    try:
        await client.bootstrap()
        return (await described(client, transactional_id)).state
    finally:
        await client.close()


async def fence(settings: Settings, transactional_id: str) -> None:
    """End the open transaction of this id by taking the id over; returns when it is aborted."""
    producer = TransactionalProducer(connection(settings), transactional_id)
    try:
        await producer.start()
    finally:
        await producer.close()
