"""One partition index of one participant: hearing, running items, committing.

The lane is the single writer of its state partition. It hears in order and works out of order: records are folded into
the memory at once, items run concurrently and end in any order, and a transaction is a snapshot of a prefix: all that
was said, every journal touched, and the positions up to which the inputs were heard. Any error between begin and
commit throws the memory away and opens the lane again. Steps never run inside a transaction; hearing and running go on
while one is under way, and what they lead to is in the next one.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from consumers.runtime.aside import Aside
from consumers.runtime.finishing import Outcome
from consumers.runtime.former_life import Ending, ending_of
from consumers.runtime.isolating import Isolation
from consumers.runtime.lane_logs import LaneLogs
from consumers.runtime.lease import Lease
from consumers.runtime.memory import UNLIMITED, Memory, Room, Work
from consumers.runtime.positions import StoredPosition
from consumers.runtime.runners import RunItem, Runners
from consumers.runtime.slots import Slots
from consumers.runtime.timers import Mark
from consumers.runtime.transport import (
    JOURNAL_PREFIX,
    POSITION_KEY,
    Clock,
    Position,
    Transport,
    input_key,
)
from consumers.runtime.trials import Transactions, Trials
from producers.errors import LaneLost, PositionLost
from producers.records import Record

log = logging.getLogger(__name__)

RUNNING_ITEMS_MAX = 1_000
QUEUED_RECORDS_MAX = 5_000
HEARD_AT_ONCE = 500
CAUGHT_UP_AT_ONCE = 2_000
BACKLOG_BYTES_MAX = 16 * 1024 * 1024
LOADED_AT_ONCE = 500
HEARD_COMMIT_SECONDS = 1.0
IDLE_SECONDS = 1.0
# Few, so that lanes gather what they say: twenty with a transaction each are half as fast as two that take turns.
COMMITS_AT_ONCE = 2
COMMIT_MOMENT_SECONDS = 0.5
# After a broker's death or a rolling restart all lanes may open at once, and each reads its whole state.
OPENINGS_AT_ONCE = 8
OPENING_MOMENT_SECONDS = 2.0
BARRIER_POLL_SECONDS = 0.005
ROOM_POLL_SECONDS = 0.02
REVOKED_DRAIN_SECONDS = 2.0
FENCED_PAUSE_SECONDS = 1.5
# A lane without a position that fits looks again whether an operator has given it one.
FIRST_LOOK_AGAIN_SECONDS, LOOK_AGAIN_SECONDS_MAX = 0.5, 10.0
LOOK_SECONDS_MAX = 10.0


@dataclass
class Host:
    """What the lanes of one worker share.

    Its life's id, the room at its dependencies, how long it drains when it stops, and who may commit, open or run a
    suspect just now. `clock` tells what people and brokers call the time, `monotonic` measures how long something
    takes. `observe` is told what the brokers' clocks show, and `is_told` says whether it was, see `BrokerClock`.
    `jitter` is a number between 0 and 1 by which pauses differ.
    """

    life: str
    clock: Clock
    room: Room = UNLIMITED
    drain_seconds: float = REVOKED_DRAIN_SECONDS
    commits: Slots = field(default_factory=lambda: Slots(COMMITS_AT_ONCE, COMMIT_MOMENT_SECONDS))
    openings: Slots = field(default_factory=lambda: Slots(OPENINGS_AT_ONCE, OPENING_MOMENT_SECONDS))
    suspect: asyncio.Lock = field(default_factory=asyncio.Lock)
    monotonic: Clock = time.monotonic
    observe: Callable[[float, float, float], None] = lambda at, asked, answered: None
    is_told: Callable[[], bool] = lambda: True
    jitter: Callable[[], float] = random.random


class Lane:
    """See the module. `remember` makes an empty memory; `run_item` calls a step, raising nothing but cancellation."""

    def __init__(
        self, name: str, host: Host, transport: Transport, remember: Callable[[], Memory], run_item: RunItem
    ) -> None:
        self.name, self.host, self.transport = name, host, transport
        partition = name.rpartition(".")[2]
        self._partition = int(partition) if partition.isdecimal() else 0
        self._remember = remember
        self.memory = remember()
        self.is_live = False
        self.last_error: BaseException | None = None
        self.is_full = False
        self._opened_at = 0.0
        self._queue: deque[Record] = deque()
        self._ends: deque[tuple[Work, Outcome]] = deque()
        self._isolation = Isolation(host.jitter)
        self._unwanted: tuple[str, ...] = ()
        self._wake = asyncio.Event()
        self._runners = Runners(name, run_item, self._finished)
        self._transactions = Transactions()
        self.logs = LaneLogs(name, self._transactions)
        self._trials = Trials(host.suspect, self._wake, self._transactions)
        self._lease = Lease(transport.owns)
        # What the former life has left behind; kept as it is until this one may start something.
        self._former: Position | None = None
        self._ending: Ending = "clean"
        # Both end with the lane's life, and an error of theirs ends it.
        self._transaction, self._question = Aside(name, self._wake), Aside(name, self._wake)
        self._offsets: dict[str, int] = {}
        self._committed: dict[str, int] = {}
        self._backlog_ends: dict[str, int] = {}
        self._touched_since: float | None = None
        self._stopping = False
        self._drain_seconds = REVOKED_DRAIN_SECONDS

    def push(self, records: list[Record]) -> None:
        """Hand over records of one input, in order; those of a lane that is not live are dropped."""
        ignores = self.memory.ignores
        if not self.is_live or not records:
            return
        # What stands in an added partition is forwarded, whatever it says.
        is_own = records[0].partition == self._partition
        wanted = [record for record in records if not ignores(record.headers)] if is_own else records
        if wanted:
            self._queue.extend(wanted)
            if len(self._queue) > QUEUED_RECORDS_MAX:
                self._steer()
            self._wake.set()

    @property
    def is_ready(self) -> bool:
        """Whether it has read its backlog, starts what may start, and is not lost again and again over it."""
        return not self.trouble

    @property
    def trouble(self) -> str:
        """Why the lane is not ready, or nothing."""
        if self.logs.position_lost:
            return self.logs.position_lost
        if self._isolation.cause:
            return self._isolation.cause
        if not self.is_live:
            return "is not open"
        return "" if self._former is None else "reads its backlog"

    def committed_offsets(self) -> dict[str, int]:
        """Up to where the inputs were heard, as of the last transaction."""
        return dict(self._committed)

    async def run(self) -> None:
        """Open and live until stopped; an error opens the lane again after a pause. Raises only what cancels it.

        A lane whose position does not fit the logs stays closed until it has another one.
        """
        while not self._stopping:
            try:
                await self._open()
                await self._live()
            except asyncio.CancelledError:
                # What runs must not outlive the lane, nor keep its places.
                await self._let_go()
                raise
            except PositionLost as lost:
                await self._let_go()
                await self._stay_closed(str(lost))
                continue
            except LaneLost as lost:
                log.info("lane.lost", extra={"lane": self.name, "error": str(lost)})
                # Long enough for a heartbeat to tell a frozen worker that its partitions were given away.
                pause_seconds = max(FENCED_PAUSE_SECONDS, self._isolation.lost(lost))
            except Exception as error:
                self.last_error = error
                pause_seconds = self._isolation.lost(error)
                named = {"lane": self.name, "error": repr(error), "pause_seconds": round(pause_seconds, 3)}
                log.warning("lane.lost", extra=named | {"at_once": self._isolation.at_once})
            await self._let_go()
            if not self._stopping:
                await asyncio.sleep(pause_seconds)

    async def stop(self, drain_seconds: float = REVOKED_DRAIN_SECONDS) -> None:
        """Start no more items, give those that run so long to end, say farewell; `run` returns soon after.

        May be called twice.
        """
        self._drain_seconds = drain_seconds
        self._stopping = True
        self._wake.set()

    def compare(self, cluster_id: str, topic_ids: Mapping[str, str]) -> None:
        """Take a look at the cluster; the lane opens again where a log is not the one that it reads."""
        if self.logs.compare(cluster_id, topic_ids):
            self._wake.set()

    def compare_ends(self, read: Mapping[str, int], ends: Mapping[str, int | None]) -> None:
        """Take a look at where the logs end, asked after the lane had read them up to `read`; see `LaneLogs`."""
        if self.logs.compare_ends(read, ends):
            self._wake.set()

    def read_up_to(self) -> dict[str, int]:
        """Up to where it has read its inputs, committed or not."""
        return dict(self._offsets)

    async def _stay_closed(self, cause: str) -> None:
        """Return as soon as the position fits the logs, or the state topic has got another record."""
        self.logs.lose(cause)
        seconds = FIRST_LOOK_AGAIN_SECONDS
        while not self._stopping:
            await self._wait(seconds * (0.5 + self.host.jitter() / 2))
            seconds = min(LOOK_AGAIN_SECONDS_MAX, seconds * 2)
            try:
                async with asyncio.timeout(LOOK_SECONDS_MAX):
                    logs = await self.transport.logs()
            except Exception as error:
                log.info("lane.not_looked_at", extra={"lane": self.name, "error": repr(error)})
                continue
            if self.logs.may_fit(logs):
                return

    async def _open(self) -> None:
        async with self.host.openings.taken():
            await self.transport.open()
            position = await self._restore()
        self._offsets = self.logs.open(position, await self.transport.logs())
        self._former = position
        self._ending = ending_of(position, self.host.life)
        unclean = position.unclean if position is not None and self._ending != "clean" else 0
        self._trials.begin(self.memory, deaths=unclean + (self._ending == "crashed"))
        if position is not None:
            self.memory.pause(position.paused, position.ends)
        # A former life without farewell may have heard, and acted upon, what its neighbours had decided and the log
        # does not show yet.
        ends = await (self.transport.ends() if self._ending == "clean" else self.transport.written())
        self._backlog_ends = ends
        if position is not None and not self.host.is_told():
            # How long an outcome is unknown counts from now, by the brokers' clock.
            await self._ask_the_time(position)
        self.memory.reopen(self._ending, self.host.clock())
        for mark, cause in self._isolation.condemned.items():
            self.memory.condemn(mark, cause)
        self.transport.seek(self._offsets)
        self.is_live, self.is_full, self._unwanted = True, False, ()
        self._opened_at = self.host.monotonic()
        self._lease = Lease(self.transport.owns)
        self.transport.resume(self.memory.inputs)
        await self._catch_up()
        if not self._stopping:
            self._former = None
        await self._commit()
        log.info("lane.open", extra={"lane": self.name, "ending": self._ending, "offsets": self._offsets})

    async def _ask_the_time(self, position: Position) -> None:
        """Write the position as it is: the answer of a transaction tells the brokers' time."""
        async with self.host.commits.taken():
            asked = self.host.monotonic()
            told = await self.transport.commit([], {POSITION_KEY: msgspec.msgpack.encode(position)})
            if told is not None:
                self.host.observe(told, asked, self.host.monotonic())

    async def _restore(self) -> Position | None:
        """Load what the state topic has of each saga in the end; what was overwritten is not even decoded."""
        stored = StoredPosition()
        journals: dict[str, bytes] = {}
        async for key, value in self.transport.restore():
            if stored.take(key, value):
                continue
            if not key.startswith(JOURNAL_PREFIX):
                self.memory.load_other(key, value)
            else:
                saga_id = key[len(JOURNAL_PREFIX) :]
                # The newest last, as they stand in the topic.
                journals.pop(saga_id, None)
                if value is not None:
                    journals[saga_id] = value
        for loaded, saga_id in enumerate(list(journals), start=1):
            self.memory.load(saga_id, journals.pop(saga_id))
            if loaded % LOADED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return stored.position

    async def _catch_up(self) -> None:
        """Hear the whole backlog before anything starts: an end may stand in it.

        It is committed in slices, so that no transaction grows with it; what was committed is kept encoded.
        """
        heard = 0
        while True:
            heard += self._hear()
            if self._stopping or all(self._offsets[topic] >= end for topic, end in self._backlog_ends.items()):
                return
            if heard >= CAUGHT_UP_AT_ONCE or self._isolation.left() == 0:
                heard = 0
                await self._commit()
            await self._wait(BARRIER_POLL_SECONDS)

    async def _live(self) -> None:
        while not self._stopping:
            if self._isolation.at_once is not None:
                # What is taken next must not be mistaken for what is under way.
                await self._transaction.ended()
            self._transaction.look_after()
            self._question.look_after()
            self._take_ends()
            self._hear()
            now = self.host.clock()
            self.memory.fire(now)
            self._ask()
            self.memory.heard_up_to(self._offsets)
            works = self.memory.startable(now, RUNNING_ITEMS_MAX - len(self._runners), self.host.room)
            if works:
                await self._start(works)
            self._trials.go_on(self.host.monotonic() - self._opened_at)
            self._isolation.lived(self.host.monotonic() - self._opened_at)
            if not self._transaction.is_busy and (
                self.memory.has_news() or self._is_overdue() or self._isolation.left() == 0
            ):
                self._transaction.start(self._commit())
            await self._wait(self._patience())
        await self._farewell()

    async def _start(self, works: list[Work]) -> None:
        """Run these; each has its place in the room, which it must leave even where nothing comes of it."""
        try:
            if any(work.item.suspect for work in works):
                # Should it kill the worker, the next life must know that it was running.
                await self._transaction.ended()
                await self._commit()
        except BaseException:
            for work in works:
                self.host.room.leave(work.owner)
            raise
        for work in works:
            work.lease = self._lease
        self._runners.start(works)

    def _ask(self) -> None:
        """Find out where the inputs end now, for the items that may not start before they are heard up to there."""
        if not self._question.is_busy:
            marks = self.memory.unmarked()
            if marks:
                self._question.start(self._mark(marks))

    async def _mark(self, marks: list[Mark]) -> None:
        ends = await self.transport.ends()
        while any(end < self._offsets[topic] for topic, end in ends.items()):
            # A neighbour's words are heard before they are marked in the log, and hide those of others until then.
            await asyncio.sleep(BARRIER_POLL_SECONDS)
            ends = await self.transport.ends()
        self.memory.mark(marks, ends)

    def _hear(self) -> int:
        """Apply what was read, so much at once that the event loop has its turn; returns how many records."""
        self.logs.check()
        now, heard = self.host.clock(), 0
        memory, ends, queue, isolation = self.memory, self._backlog_ends, self._queue, self._isolation
        left = isolation.left()
        most = HEARD_AT_ONCE if left is None else min(left, HEARD_AT_ONCE)
        while queue and heard < most:
            record = queue.popleft()
            heard += 1
            isolation.take(place := (record.topic, record.partition, record.offset))
            if isolation.refused and (cause := isolation.refused.get(place)):
                memory.refuse(record, cause, now)
                continue
            # The former life may have acted upon what stood in the log when it ended.
            memory.hear(record, now, self._ending if record.offset < ends.get(record.topic, 0) else "clean")
        self._steer()
        self._offsets = self._offsets | self.transport.positions() | self._queued_from()
        if self._touched_since is None and (self.memory.is_touched() or self._offsets != self._committed):
            self._touched_since = self.host.monotonic()
        return heard

    def _queued_from(self) -> dict[str, int]:
        """The first offset of each input that was handed over and is not applied yet."""
        found: dict[str, int] = {}
        own = self._partition
        for record in self._queue:
            self._wake.set()
            key = record.topic if record.partition == own else input_key(record.topic, record.partition, own)
            found.setdefault(key, record.offset)
            if len(found) == len(self._offsets):
                break
        return found

    def _steer(self) -> None:
        """Fetch no more than there is room for; what a lane holds is bounded, whatever the backlog."""
        backlog_bytes = self.memory.backlog_bytes()
        if not self.is_full and backlog_bytes > BACKLOG_BYTES_MAX:
            self.is_full = True
            log.warning("lane.full", extra={"lane": self.name, "backlog_bytes": backlog_bytes})
        elif self.is_full and backlog_bytes < BACKLOG_BYTES_MAX // 2:
            self.is_full = False
        # While it catches up nothing starts, and so nothing would make room.
        full = self.memory.deferrable if self.is_full and self._former is None else ()
        unwanted = self.memory.inputs if len(self._queue) > QUEUED_RECORDS_MAX else full
        if unwanted != self._unwanted:
            self.transport.resume([topic for topic in self._unwanted if topic not in unwanted])
            self.transport.pause([topic for topic in unwanted if topic not in self._unwanted])
            self._unwanted = unwanted

    def _is_overdue(self) -> bool:
        return self._touched_since is not None and self.host.monotonic() - self._touched_since >= HEARD_COMMIT_SECONDS

    def _patience(self) -> float:
        """How long nothing needs to be done, in seconds."""
        now = self.host.clock()
        waits = [IDLE_SECONDS]
        due = self.memory.next_due()
        if due is not None:
            waits.append(due - now)
        if self._touched_since is not None and not self._transaction.is_busy:
            waits.append(self._touched_since + HEARD_COMMIT_SECONDS - self.host.monotonic())
        if self.memory.is_waiting():
            waits.append(BARRIER_POLL_SECONDS)
        if self.memory.is_held_back():
            waits.append(ROOM_POLL_SECONDS)
        return max(0.001, min(waits))

    async def _wait(self, seconds: float) -> None:
        if self._wake.is_set():
            # Others have a turn all the same.
            await asyncio.sleep(0)
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
        self._wake.clear()

    def _finished(self, work: Work, outcome: Outcome) -> None:
        self.host.room.leave(work.owner)
        self._ends.append((work, outcome))
        self._wake.set()

    def _take_ends(self) -> None:
        """Apply how items have ended; all of it at once, unless the lane looks for an input that it cannot commit."""
        now = self.host.clock()
        while self._ends and self._isolation.left() != 0:
            work, outcome = self._ends.popleft()
            saga_id = work.journal.saga_id
            self._isolation.take((saga_id, work.item.id))
            self.memory.finish(saga_id, work.item, outcome, now)

    async def _commit(self, clean: bool = False) -> None:
        """Write one transaction, where none is under way; only so many at once in the worker, unless they hang."""
        async with self.host.commits.taken():
            self._transactions.begun += 1
            self._isolation.begins()
            snapshot = self.memory.take()
            offsets, self._touched_since = dict(self._offsets), None
            position = self._position(offsets, clean)
            state = {JOURNAL_PREFIX + key: value for key, value in snapshot.state.items()}
            state |= snapshot.others
            state[POSITION_KEY] = msgspec.msgpack.encode(position)
            asked = self.host.monotonic()
            told = await self.transport.commit(snapshot.said, state)
            if told is not None:
                self.host.observe(told, asked, self.host.monotonic())
            self._isolation.committed(is_progress=self._former is None and offsets != self._committed)
            self._committed = offsets
            self._transactions.committed = self._transactions.begun

    def _position(self, offsets: dict[str, int], clean: bool) -> Position:
        paused, ends = self.memory.paused(), self.memory.ends_of_steps()
        if self._former is not None:
            # Nothing has started yet: what the former life left unknown is as unknown to the next one.
            identity = self.logs.identity._asdict()
            return msgspec.structs.replace(self._former, offsets=offsets, paused=paused, ends=ends, **identity)
        return Position(offsets, clean, self.host.life, self._trials.deaths, paused, ends, *self.logs.identity)

    async def _farewell(self) -> None:
        """Give what is running a moment to end, and note that nothing runs; unless it was still catching up."""
        await self._runners.ended(self._drain_seconds)
        await self._cancel_running()
        await self._transaction.ended()
        # What the lane was looking for is looked for again in its next life.
        self._isolation.at_once = None
        self._take_ends()
        await self._commit(clean=True)

    async def _cancel_running(self) -> None:
        self._lease.give_back()
        await self._trials.cancel()
        for work in await self._runners.cancel():
            self.host.room.leave(work.owner)

    async def _let_go(self) -> None:
        self.is_live = False
        self.logs.close()
        self._queue.clear()
        await self._transaction.cancel()
        await self._question.cancel()
        await self._cancel_running()
        self._ends.clear()
        # Whatever of the lost life may still come must not write into the next one's memory.
        self.memory = self._remember()
        await self.transport.close()
