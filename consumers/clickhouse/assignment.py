"""The partitions this sink has, as the consumer group gives and takes them."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener

from .batches import Batch, Gathering, Limits

log = logging.getLogger(__name__)


class LetGo(Exception):
    """The partition was taken away meanwhile."""


class Feed:
    """One partition in our hands. Until it is opened (`next_offset` is known) its records are not looked at."""

    def __init__(self, partition: TopicPartition, limits: Limits) -> None:
        self.partition = partition
        self.gathering = Gathering(limits)
        self.log_id = ""
        self.next_offset: int | None = None
        # The offsets before it are in a batch, or are known to hold no record.
        self.covered_up_to = 0
        self.stored_up_to: int | None = None
        # Compared with Kafka up to here, and the tables behind `messages` with it up to there.
        self.checked_up_to = 0
        self.compared_up_to = 0
        self.reopening: asyncio.Task[None] | None = None
        self.inserting: asyncio.Task[None] | None = None
        self.in_flight: Batch | None = None
        self.in_flight_bytes = 0
        self.paused = True
        self.closed = asyncio.Event()

    @property
    def held_bytes(self) -> int:
        """What this partition has in memory, the batch in flight included."""
        return self.gathering.size_bytes + self.in_flight_bytes


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """The feeds by partition; tells `open_feeds` about new ones.

    aiokafka sends no heartbeat while partitions are being assigned, so opening goes on in the background; and it lets
    the group go on only after the revoked ones are let go of, so that waits for what is in flight.
    """

    def __init__(
        self,
        limits: Limits,
        hold: Callable[[TopicPartition], None],
        open_feeds: Callable[[list[Feed]], Coroutine[Any, Any, None]],
    ) -> None:
        self.limits = limits
        self.hold = hold
        self.open_feeds = open_feeds
        self.feeds: dict[TopicPartition, Feed] = {}
        self.opening: asyncio.Task[None] | None = None
        self.checking: asyncio.Task[None] | None = None

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Take the partitions, held back until they are opened; returns at once."""
        self.feeds = {partition: Feed(partition, self.limits) for partition in sorted(assigned)}
        for partition in self.feeds:
            self.hold(partition)
        log.info("sink.assigned", extra={"partitions": len(self.feeds)})
        self.opening = asyncio.create_task(self.open_feeds(list(self.feeds.values())))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let go of all partitions (the group rebalances eagerly); waits for inserts in flight, begins no new ones."""
        feeds, self.feeds = list(self.feeds.values()), {}
        for feed in feeds:
            feed.closed.set()
            feed.gathering.drop()
        running = [feed.inserting for feed in feeds if feed.inserting is not None]
        running += [feed.reopening for feed in feeds if feed.reopening is not None]
        running += [task for task in (self.opening, self.checking) if task is not None]
        if running:
            # Their failures are looked at by the sink's loop; here only their end matters.
            await asyncio.wait(running)
        log.info("sink.revoked", extra={"partitions": len(feeds)})
