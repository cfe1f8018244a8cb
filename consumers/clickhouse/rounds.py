"""The rounds in which a running sink looks whether all is as it should be; they go on beside its loop."""

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from producers.group_coverage import words_for

from .assignment import Feed, LetGo
from .checking import Checker
from .gaps import Span, topic_id_of

if TYPE_CHECKING:
    from .sink import Sink

log = logging.getLogger(__name__)

POSITION_WITHIN_SECONDS = 1.0


class Rounds:
    """Every few seconds: are these still the same logs, has each partition a sink, is what was sent really stored?"""

    def __init__(self, sink: "Sink", checker: Checker) -> None:
        self.sink, self.checker = sink, checker
        self.next_at = 0.0
        self.noted: dict[TopicPartition, tuple[str, int]] = {}

    def is_due(self, now: float) -> bool:
        """Whether the next round should begin."""
        return self.sink.assignment.opening is not None and now >= self.next_at

    def hurry(self) -> None:
        """Begin the next round at once."""
        self.next_at = self.sink.clock()

    def begin(self) -> None:
        """Begin a round, unless one is going on."""
        assignment = self.sink.assignment
        if assignment.checking is None or assignment.checking.done():
            self.next_at = self.sink.clock() + self.sink.options.check_every_seconds
            assignment.checking = asyncio.create_task(self.check())
            assignment.checking.add_done_callback(self.sink.finished.append)

    async def check(self) -> None:
        """One round: are these still the same logs, has every partition a reader, is all that was stored there?"""
        feeds = list(self.sink.assignment.feeds.values())
        try:
            await self.check_cluster()
            await self.check_stored()
        except KafkaError as error:
            log.warning("sink.check.failed", extra={"cause": repr(error)})
        except LetGo:
            return
        except Exception as error:
            if not any(feed.closed.is_set() for feed in feeds):
                raise
            # The partitions are another sink's now; it compares them itself.
            log.info("sink.check.abandoned", extra={"cause": str(error)[:500]})

    async def check_cluster(self) -> None:
        topic_ids = await self.sink.cluster.topic_ids()
        for feed in list(self.sink.assignment.feeds.values()):
            topic_id = topic_ids.get(feed.partition.topic, "")
            if topic_id and feed.next_offset is not None and topic_id_of(feed.log_id) not in ("", topic_id):
                self.sink.begin_reopen(feed.partition)
        unread = await self.sink.cluster.unread()
        self.sink.metrics.unread.set(len(unread))
        if unread:
            log.warning("sink.partitions.unread", extra={"partitions": words_for(unread)})
            self.sink.cluster.join_again()

    async def check_stored(self) -> None:
        feeds = [
            feed
            for feed in self.sink.assignment.feeds.values()
            if feed.next_offset is not None and feed.reopening is None and feed.stored_up_to is not None
        ]
        if not feeds:
            return
        call = partial(self.sink.call, feeds[0].closed)
        logs = {feed.partition: feed.log_id for feed in feeds}
        ends = {feed.partition: (feed.stored_up_to or 0) + 1 for feed in feeds}
        behind = [feed for feed in feeds if min(feed.checked_up_to, feed.compared_up_to) < ends[feed.partition]]
        if behind:
            spans = [Span(feed.partition, feed.log_id, feed.checked_up_to, ends[feed.partition]) for feed in behind]
            of_targets = [
                Span(feed.partition, feed.log_id, feed.compared_up_to, ends[feed.partition]) for feed in behind
            ]
            whole = await self.checker.check(spans, of_targets, call)
            for feed in behind:
                if feed.partition in whole and feed.reopening is None and feed.log_id == logs[feed.partition]:
                    feed.checked_up_to = feed.compared_up_to = ends[feed.partition]
        for feed in feeds:
            await self.pass_markers(feed)
        checked = {
            feed.partition: (feed.log_id, feed.checked_up_to)
            for feed in feeds
            if feed.checked_up_to == feed.compared_up_to
            and feed.reopening is None
            and feed.log_id == logs[feed.partition]
        }
        moved = {partition: mark for partition, mark in checked.items() if self.noted.get(partition) != mark}
        if moved:
            await call(self.sink.store.note_bookmarks, moved)
            self.noted |= moved

    async def pass_markers(self, feed: Feed) -> None:
        """Count markers and other offsets without a record as covered, where nothing else is on its way."""
        try:
            reached = await asyncio.wait_for(self.sink.source.position(feed.partition), POSITION_WITHIN_SECONDS)
        except (KafkaError, TimeoutError):
            return
        idle = not feed.gathering.records and feed.in_flight is None and feed.reopening is None
        if idle and not feed.closed.is_set() and feed.checked_up_to == feed.compared_up_to == feed.covered_up_to:
            if feed.next_offset is not None and reached > feed.covered_up_to:
                feed.checked_up_to = feed.compared_up_to = feed.covered_up_to = feed.next_offset = reached
                feed.stored_up_to = reached - 1
