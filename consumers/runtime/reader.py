"""One consumer for all lanes of a worker that hear the same topics: each record is fetched and unpacked once.

A lane's share of a partition has a position of its own. The consumer stands at the earliest position of those that want
records, and whoever is further on skips what it has had already. So a lane's neighbours can be told at once of what it
has committed: whoever has had all before it need not wait until the log brings it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from producers.bounded_consumer import BoundedConsumer
from producers.records import Record

log = logging.getLogger(__name__)

POLL_MS = 200
FAILED_POLL_PAUSE_SECONDS = 0.2
# What is fetched at once is unpacked at once: more of it only makes the processor's caches and the collector work.
PARTITION_FETCH_BYTES_MAX = 256 * 1024
# A fetch at a frozen broker says nothing; only the metadata tell that another one leads the partition by now.
METADATA_AGE_MS = 1_000

Take = Callable[[list[Record]], None]


class Share:
    """What one lane hears of one partition, from an offset on; it begins paused. `take` gets records, in order."""

    def __init__(self, reader: "Reader", partition: TopicPartition, offset: int, take: Take, told_early: bool) -> None:
        self._reader, self._partition, self._take, self.told_early = reader, partition, take, told_early
        self.handed_over = offset
        self.is_paused = True
        # The log does not have this offset: it begins behind it by now, or ends before it.
        self.is_out_of_range = False

    @property
    def position(self) -> int:
        """Up to where all was handed over. Markers of transactions count, which no share is given.

        Raises `OffsetOutOfRangeError` where the log no longer has what is to be handed over next.
        """
        if self.is_out_of_range:
            raise OffsetOutOfRangeError({self._partition: self.handed_over})
        return self.stands_at()

    @property
    def is_wanting(self) -> bool:
        """Whether it is to be handed anything."""
        return not self.is_paused and not self.is_out_of_range

    def stands_at(self) -> int:
        """As `position`, whether or not the log has it."""
        if not self.is_wanting:
            return self.handed_over
        return max(self.handed_over, self._reader.stands_at(self._partition))

    def pause(self) -> None:
        """Take no more for now; what the others take meanwhile is read again for this one."""
        self._reader.settle(self._partition)
        self.is_paused = True
        self._reader.aim(self._partition)

    def resume(self) -> None:
        """Go on where it was paused."""
        self._reader.settle(self._partition)
        self.is_paused = False
        self._reader.aim(self._partition)

    def close(self) -> None:
        """Take nothing ever again."""
        self._reader.forget(self._partition, self)

    def hand_over(self, records: list[Record]) -> None:
        """Called by the reader with what it has read, in order, perhaps not for the first time."""
        position = self.handed_over
        self.handed_over = max(position, records[-1].offset + 1)
        wanted = records if records[0].offset >= position else [one for one in records if one.offset >= position]
        if wanted:
            self._take(wanted)


class Reader:
    """See the module. It sees committed records only."""

    def __init__(self, connection: dict[str, Any]) -> None:
        self._consumer = BoundedConsumer(
            **connection,
            isolation_level="read_committed",
            enable_auto_commit=False,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES_MAX,
            metadata_max_age_ms=METADATA_AGE_MS,
        )
        self._shares: dict[TopicPartition, list[Share]] = {}
        # What was read and not yet handed over to everybody: a lane may pause while it is given something.
        self._at_hand: dict[TopicPartition, list[ConsumerRecord]] = {}
        self._polling: asyncio.Task[None] | None = None
        self.polled_at = time.monotonic()

    async def start(self) -> None:
        """Connect, and begin to hand over."""
        await self._consumer.start()
        self.polled_at = time.monotonic()
        self._polling = asyncio.create_task(self._poll(), name="reader")

    async def stop(self) -> None:
        """Let go of the connections. May be called twice."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        await self._consumer.stop()

    def is_polling(self, within_seconds: float) -> bool:
        """Whether it has polled so lately."""
        return time.monotonic() - self.polled_at < within_seconds

    def share(self, partition: TopicPartition, offset: int, take: Take, told_early: bool = True) -> Share:
        """A share of this partition, from `offset` on; the caller resumes it and closes it in the end."""
        share = Share(self, partition, offset, take, told_early)
        is_new = partition not in self._shares
        self._shares.setdefault(partition, []).append(share)
        if is_new:
            for known in self._shares:
                self.settle(known)
            # Assigning forgets all positions. Each partition needs one at once, offset 0 too: else aiokafka asks for a
            # group's, and a poll fails.
            stood = {known: self.stands_at(known) for known in self._shares}
            self._consumer.assign(list(stood))
            for known, stands_at in stood.items():
                self._consumer.seek(known, stands_at)
                self.aim(known)
        return share

    def forget(self, partition: TopicPartition, share: Share) -> None:
        """Hand over no more to this one."""
        shares = self._shares[partition]
        if share in shares:
            self.settle(partition)
            shares.remove(share)
            self.aim(partition)

    def offer(self, partition: TopicPartition, offset: int, records: Iterable[Record]) -> None:
        """Hand over what was just committed there, in one piece from `offset` on, to those who have had all before it.

        Where there is nobody, `records` are not even looked at.
        """
        takers = [
            share
            for share in self._shares.get(partition, ())
            if share.told_early and share.is_wanting and share.position == offset
        ]
        if takers:
            there = list(records)
            for share in takers:
                share.hand_over(there)

    def stands_at(self, partition: TopicPartition) -> int:
        """The offset that is handed over next, or 0 where that is not known."""
        at_hand = self._at_hand.get(partition)
        if at_hand:
            return int(at_hand[0].offset)
        # The consumer's own public `position` is a coroutine; a lane must read it between two records.
        subscription = self._consumer._subscription.subscription
        state = subscription.assignment.state_value(partition) if subscription is not None else None
        return state.position if state is not None and state.has_valid_position else 0

    def settle(self, partition: TopicPartition) -> None:
        """Every share of this partition notes where it stands, before the consumer is made to stand elsewhere."""
        for share in self._shares[partition]:
            share.handed_over = share.stands_at()

    def aim(self, partition: TopicPartition) -> None:
        """Stand where the earliest of those stands that want records of this partition; where nobody does, rest."""
        wanting = [share.handed_over for share in self._shares[partition] if share.is_wanting]
        if not wanting:
            self._consumer.pause(partition)
            # A position must be known, or the beginning would be asked for.
            self._consumer.seek(partition, self.stands_at(partition))
        else:
            if min(wanting) != self.stands_at(partition):
                self._consumer.seek(partition, min(wanting))
            self._consumer.resume(partition)

    async def _poll(self) -> None:
        while True:
            try:
                self._at_hand = await self._consumer.getmany(timeout_ms=POLL_MS)
            except OffsetOutOfRangeError as error:
                self._leave_out(error.args[0])
                continue
            except Exception as error:
                log.warning("reader.poll_failed", extra={"error": repr(error)})
                self._go_back()
                await asyncio.sleep(FAILED_POLL_PAUSE_SECONDS)
                continue
            self.polled_at = time.monotonic()
            while self._at_hand:
                partition = next(iter(self._at_hand))
                shares = [share for share in self._shares[partition] if share.is_wanting]
                records = [_record(one) for one in self._at_hand[partition]] if shares else []
                for share in shares:
                    share.hand_over(records)
                del self._at_hand[partition]

    def _leave_out(self, positions: dict[TopicPartition, int]) -> None:
        """Hand over nothing more to those who stand where the log has no record; the others go on."""
        for partition, offset in positions.items():
            log.warning("reader.out_of_range", extra={**partition._asdict(), "offset": offset})
            self.settle(partition)
            for share in self._shares[partition]:
                if share.is_wanting and share.handed_over == offset:
                    share.is_out_of_range = True
            self.aim(partition)

    def _go_back(self) -> None:
        """The consumer has moved past what a failed poll had taken already: read again what nobody was given."""
        for partition, shares in self._shares.items():
            wanting = [share.handed_over for share in shares if share.is_wanting]
            if wanting:
                self._consumer.seek(partition, min(wanting))


def _record(record: ConsumerRecord) -> Record:
    return Record(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp / 1000,
        record.key,
        record.value,
        record.headers,
    )
