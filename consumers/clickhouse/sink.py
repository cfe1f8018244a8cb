"""The sink's loop: read, gather, insert, and never hold more than a bounded amount in memory."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential
from tenacity.stop import stop_when_event_set

from .assignment import Assignment, Feed, LetGo
from .batches import Batch, KafkaRecord, Limits
from .checking import Checker, tell
from .connecting import is_retryable
from .metrics import SinkMetrics
from .resuming import resume
from .rounds import Rounds
from .sources import Cluster, Source, Tables

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

POLL_MILLISECONDS = 200
POLL_RECORDS = 20_000
INSERT_THREADS = 2


class Options(NamedTuple):
    """How the sink behaves; the defaults are for real use."""

    limits: Limits = Limits()
    held_bytes_most: int = 256 * 1024 * 1024
    commit_every_seconds: float = 5.0
    check_every_seconds: float = 10.0
    believe_after_seconds: float = 10.0
    retry_after_seconds_most: float = 5.0
    stop_within_seconds: float = 10.0


DEFAULT_OPTIONS = Options()


class Sink:
    """Stores every record of `topics` once. The table is the truth; what it commits to Kafka only shows lag.

    What is guaranteed: each record that Kafka still has when the sink reads it is stored, once, in every table. A
    compacted topic (`<saga>.status`) keeps at least the last record of each key. So a sink that was away stores
    the last status of each saga, and maybe not the earlier ones. What Kafka deleted before it was read is written into
    `ledger_gaps`, and the partition goes on.

    `on_ready` is called each time that all assigned partitions are opened.
    """

    def __init__(
        self,
        source: Source,
        cluster: Cluster,
        store: Tables,
        topics: Sequence[str],
        metrics: SinkMetrics,
        options: Options = DEFAULT_OPTIONS,
        on_ready: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self.cluster = cluster
        self.store = store
        self.topics = topics
        self.metrics = metrics
        self.options = options
        self.on_ready = on_ready
        self.clock = clock
        self.stopping = asyncio.Event()
        self.threads = ThreadPoolExecutor(INSERT_THREADS, thread_name_prefix="insert")
        self.assignment = Assignment(options.limits, self.hold, self.open_feeds)
        self.finished: list[asyncio.Task[None]] = []
        self.rounds = Rounds(self, Checker(store, cluster, metrics))
        self.last_commit_at = clock()
        self.committing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Run until `stop`, then store what was gathered. Call once.

        Raises:
            SinkError: going on would lose or repeat records, or needs a person.
            DatabaseError: the store refuses for good (a table is missing, for instance).
            KafkaError: Kafka refuses for good.
        """
        self.source.subscribe(self.topics, listener=self.assignment)
        try:
            await self.source.start()
            while not self.stopping.is_set():
                await self.step()
            await self.flush()
        finally:
            await self.assignment.on_partitions_revoked(())
            if self.committing is not None:
                await self.committing
            await self.source.stop()
            self.threads.shutdown(wait=False, cancel_futures=True)

    async def stop(self) -> None:
        """Ask `run` to come to its end; returns at once and may be called twice."""
        self.stopping.set()

    async def step(self) -> None:
        """One turn: read what is there, begin the inserts that are due, hold back what is too fast."""
        for partition, records in (await self.read()).items():
            feed = self.assignment.feeds.get(partition)
            # Records can come before the partition is opened, or from before the seek: they will come again.
            if feed is not None and feed.next_offset is not None:
                self.gather(feed, records)
        self.raise_failures()
        for feed in list(self.assignment.feeds.values()):
            if feed.next_offset is not None and feed.gathering.is_due(self.clock()):
                self.begin_insert(feed)
        self.regulate()
        self.show()
        if self.clock() - self.last_commit_at >= self.options.commit_every_seconds:
            self.begin_commit()
        if self.rounds.is_due(self.clock()):
            self.rounds.begin()

    async def read(self) -> Mapping[TopicPartition, Sequence[KafkaRecord]]:
        try:
            return await self.source.getmany(timeout_ms=POLL_MILLISECONDS, max_records=POLL_RECORDS)
        except NoOffsetForPartitionError:
            # A new group; the positions come from the table, and are set as soon as the partitions are opened.
            return {}
        except OffsetOutOfRangeError as error:
            # Kafka has deleted what comes next, or the log is another one: the ledger tells, and it goes on.
            for partition in error.args[0]:
                self.begin_reopen(partition)
            return {}

    def gather(self, feed: Feed, records: Sequence[KafkaRecord]) -> None:
        now = self.clock()
        for record in records:
            if feed.next_offset is not None and record.offset >= feed.next_offset:
                feed.gathering.add(record, now)
                feed.next_offset = record.offset + 1

    def begin_insert(self, feed: Feed) -> None:
        """Send the next batch of this partition, unless one is on its way."""
        if feed.in_flight is not None:
            return
        before = feed.gathering.size_bytes
        records = feed.gathering.cut(self.clock())
        if not records:
            return
        ingested_at = datetime.now(UTC).replace(microsecond=0)
        place = feed.partition
        feed.in_flight = Batch(place.topic, place.partition, records, ingested_at, feed.covered_up_to, feed.log_id)
        feed.covered_up_to = feed.in_flight.last + 1
        feed.in_flight_bytes = before - feed.gathering.size_bytes
        feed.inserting = asyncio.create_task(self.insert(feed, feed.in_flight))
        feed.inserting.add_done_callback(self.finished.append)

    async def insert(self, feed: Feed, batch: Batch) -> None:
        """Send the batch until the store has it or the partition is taken away."""
        began_at = self.clock()
        try:
            await self.call(feed.closed, self.store.insert, batch)
        except Exception as error:
            if not feed.closed.is_set():
                raise
            # The partition is somebody else's now; whoever has it finds out how far the table got.
            log.info("sink.insert.abandoned", extra={"token": batch.token, "cause": str(error)[:500]})
            return
        feed.stored_up_to = batch.last
        feed.in_flight, feed.in_flight_bytes = None, 0
        self.metrics.batch_rows.observe(len(batch.records))
        self.metrics.flush_seconds.observe(self.clock() - began_at)
        self.metrics.rows.labels("messages", "stored").inc(len(batch.records))

    async def call(self, closed: asyncio.Event, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a blocking call of the store in a thread; repeat it while the store is away, until `closed`.

        Raises:
            LetGo: it was closed before.
        """
        if closed.is_set():
            raise LetGo

        async def attempt() -> Any:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.threads, partial(function, *arguments))

        async def pause(seconds: float) -> None:
            try:
                await asyncio.wait_for(closed.wait(), seconds)
            except TimeoutError:
                return

        def note(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            log.warning("sink.store.retry", extra={"attempt": state.attempt_number, "cause": str(error)[:500]})
            if arguments and isinstance(arguments[0], Batch):
                self.metrics.rows.labels("messages", "retried").inc(len(arguments[0].records))

        retrying = AsyncRetrying(
            retry=retry_if_exception(is_retryable),
            wait=wait_random_exponential(multiplier=0.1, max=self.options.retry_after_seconds_most),
            stop=stop_when_event_set(closed),  # type: ignore[arg-type]
            sleep=pause,
            before_sleep=note,
            reraise=True,
        )
        return await retrying(attempt)

    def hold(self, partition: TopicPartition) -> None:
        """Fetch nothing yet. The offset is a stand-in: with one, aiokafka asks nobody where to begin."""
        self.source.pause(partition)
        self.source.seek(partition, 0)

    async def open_feeds(self, feeds: list[Feed]) -> None:
        """Find the position of newly assigned partitions and begin to read them."""
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(self.finished.append)
        closed = feeds[0].closed if feeds else self.stopping
        if feeds:
            try:
                vanished = await self.answered(closed, partial(self.cluster.vanished, [one.partition for one in feeds]))
                if vanished:
                    log.warning("sink.partitions.vanished", extra={"partitions": sorted(map(str, vanished))})
                    self.cluster.join_again()
                    return
                partitions = [feed.partition for feed in feeds]
                call = partial(self.call, closed)
                topic_ids = await self.answered(closed, self.cluster.topic_ids)
                starts = await resume(
                    self.store,
                    self.source,
                    topic_ids,
                    partitions,
                    call,
                    self.replayed,
                    self.options.believe_after_seconds,
                )
            except Exception:
                if not closed.is_set():
                    raise
            if closed.is_set():
                return
            for feed in feeds:
                start, compared_up_to = starts[feed.partition]
                for gap in start.gaps:
                    tell(gap, self.metrics)
                feed.log_id, feed.checked_up_to = start.log_id, start.checked_up_to
                feed.compared_up_to = min(compared_up_to, start.checked_up_to)
                self.source.seek(feed.partition, start.next_offset)
                feed.next_offset = feed.covered_up_to = start.next_offset
                feed.stored_up_to = start.next_offset - 1
                feed.reopening = None
        log.info("sink.opened", extra={"partitions": len(feeds)})
        self.rounds.hurry()
        self.on_ready()

    async def answered(self, closed: asyncio.Event, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """What Kafka answers about the topics; it is asked until it does or `closed`."""
        while not closed.is_set():
            try:
                return await ask()
            except KafkaError as error:
                log.warning("sink.topics.unknown", extra={"cause": repr(error)})
                await asyncio.sleep(POLL_MILLISECONDS / 1000)
        raise LetGo

    def begin_reopen(self, partition: TopicPartition) -> None:
        """Look again where to go on in one partition, after what is gathered of it is stored; the others go on."""
        feed = self.assignment.feeds.get(partition)
        if feed is not None and feed.next_offset is not None and feed.reopening is None:
            self.source.pause(partition)
            feed.reopening = asyncio.create_task(self.reopen(feed))
            feed.reopening.add_done_callback(self.finished.append)

    async def reopen(self, feed: Feed) -> None:
        while feed.gathering.records or feed.in_flight is not None:
            self.begin_insert(feed)
            assert feed.inserting is not None
            await asyncio.wait([feed.inserting])
            if feed.closed.is_set() or feed.inserting.exception() is not None:
                return
        feed.next_offset, feed.paused = None, True
        self.hold(feed.partition)
        await self.open_feeds([feed])

    def replayed(self, batch: Batch) -> None:
        self.metrics.rows.labels("messages", "replayed").inc(len(batch.records))
        log.info("sink.replayed", extra={"token": batch.token, "rows": len(batch.records)})

    def raise_failures(self) -> None:
        """Raise what went wrong in the background."""
        finished, self.finished[:] = list(self.finished), []
        for task in finished:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def regulate(self) -> None:
        """Read on only where there is room: per partition a batch gathered and one in flight, and a sum for all."""
        crowded = sum(feed.held_bytes for feed in self.assignment.feeds.values()) >= self.options.held_bytes_most
        for feed in self.assignment.feeds.values():
            if feed.next_offset is None or feed.reopening is not None:
                continue
            wanted = crowded or (feed.gathering.is_full and feed.in_flight is not None)
            if wanted != feed.paused:
                (self.source.pause if wanted else self.source.resume)(feed.partition)
                feed.paused = wanted

    def show(self) -> None:
        feeds = self.assignment.feeds.values()
        in_flight = sum(len(feed.in_flight.records) for feed in feeds if feed.in_flight is not None)
        self.metrics.buffer_rows.set(in_flight + sum(len(feed.gathering.records) for feed in feeds))
        since = [feed.gathering.oldest_since for feed in feeds if feed.gathering.oldest_since is not None]
        sent = [feed.in_flight.ingested_at for feed in feeds if feed.in_flight is not None]
        ages = [self.clock() - moment for moment in since]
        ages += [(datetime.now(UTC) - moment).total_seconds() for moment in sent]
        self.metrics.oldest_unflushed_age_seconds.set(max(ages, default=0.0))

    def begin_commit(self) -> None:
        """Show Kafka how far we got; nothing depends on it."""
        self.last_commit_at = self.clock()
        offsets = {
            feed.partition: feed.stored_up_to + 1
            for feed in self.assignment.feeds.values()
            if feed.stored_up_to is not None
        }
        if offsets and (self.committing is None or self.committing.done()):
            self.committing = asyncio.create_task(self.commit(offsets))

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        try:
            await asyncio.wait_for(self.source.commit(offsets), self.options.commit_every_seconds)
        except (KafkaError, TimeoutError) as error:
            log.info("sink.commit.failed", extra={"cause": str(error)})

    async def flush(self) -> None:
        """Store what is gathered, for as long as stopping may take; what is left comes again after the next start."""
        deadline = self.clock() + self.options.stop_within_seconds
        feeds = [feed for feed in self.assignment.feeds.values() if feed.next_offset is not None]
        while self.clock() < deadline:
            for feed in feeds:
                self.begin_insert(feed)
            running = [feed.inserting for feed in feeds if feed.inserting is not None and not feed.inserting.done()]
            if not running:
                break
            await asyncio.wait(running, timeout=deadline - self.clock(), return_when=asyncio.FIRST_COMPLETED)
            self.raise_failures()
        self.begin_commit()
        # What is known to be whole need not be looked at by the next sink.
        self.rounds.begin()
        if self.assignment.checking is not None:
            await asyncio.wait([self.assignment.checking], timeout=max(0.0, deadline - self.clock()))
