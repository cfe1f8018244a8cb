"""One partition index of one participant: hearing, running items, committing.

The lane is the single writer of its state partition. It hears in order and works out of order: records are folded into
the memory at once, items run concurrently and end in any order, and a transaction is a snapshot of a prefix: all that
was said, every journal touched, and the positions up to which the inputs were heard. Any error between begin and
commit throws the memory away and opens the lane again. Steps never run inside a transaction.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from consumers.runtime.finishing import Broke, Outcome
from consumers.runtime.memory import Memory, Work
from consumers.runtime.transport import JOURNAL_PREFIX, POSITION_KEY, Clock, Position, Transport
from producers.errors import LaneLost, PositionLost
from producers.records import Record

log = logging.getLogger(__name__)

RUNNING_ITEMS_MAX = 1_000
QUEUED_RECORDS_MAX = 5_000
HEARD_COMMIT_SECONDS = 1.0
IDLE_SECONDS = 60.0
BARRIER_POLL_SECONDS = 0.005
SUSPECT_SECONDS = 5.0
FORGIVEN_AFTER_SECONDS = 10.0
FENCED_PAUSE_SECONDS = 1.5

RunItem = Callable[[Work], Awaitable[Outcome]]


@dataclass
class Host:
    """What the lanes of one worker share: its life's id, the clock, and who may commit or run a suspect just now."""

    life: str
    clock: Clock
    commits: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))
    suspect: asyncio.Lock = field(default_factory=asyncio.Lock)


class Lane:
    """See the module. `remember` makes an empty memory; `run_item` calls a step, raising nothing but cancellation."""

    def __init__(
        self, name: str, host: Host, transport: Transport, remember: Callable[[], Memory], run_item: RunItem
    ) -> None:
        self.name, self.host, self.transport, self._run_item = name, host, transport, run_item
        self._remember = remember
        self.memory = remember()
        self.is_live = False
        self.opened_at = 0.0
        self._queue: deque[Record] = deque()
        self._paused = False
        self._wake = asyncio.Event()
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._suspects: asyncio.Task[None] | None = None
        self._offsets: dict[str, int] = {}
        self._committed: dict[str, int] = {}
        self._touched_since: float | None = None
        self._unclean = 0
        self._stopping = False
        self._lost: str | None = None

    def push(self, records: list[Record]) -> None:
        """Hand over records of one input topic, in order; those of a lane that is not live are dropped."""
        if self.is_live:
            self._queue.extend(records)
            if len(self._queue) > QUEUED_RECORDS_MAX and not self._paused:
                self._paused = True
                self.transport.pause()
            self._wake.set()

    def lose(self, cause: str) -> None:
        """Throw the memory away and open anew: records may have been taken from Kafka that never got here."""
        self._lost = cause
        self._wake.set()

    def committed_offsets(self) -> dict[str, int]:
        """Up to where the inputs were heard, as of the last transaction."""
        return dict(self._committed)

    async def run(self) -> None:
        """Open and live until stopped; an error opens the lane anew after a pause. Raises `PositionLost` only."""
        pause_seconds = 0.05
        while not self._stopping:
            try:
                await self._open()
                pause_seconds = 0.05
                await self._live()
            except PositionLost:
                raise
            except LaneLost as lost:
                log.info("lane.lost", extra={"lane": self.name, "error": str(lost)})
                # Long enough for a heartbeat to tell a frozen worker that its partitions were given away.
                pause_seconds = FENCED_PAUSE_SECONDS
            except Exception as error:
                log.warning("lane.lost", extra={"lane": self.name, "error": repr(error)})
            await self._let_go()
            if not self._stopping:
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(2.0, pause_seconds * 2)

    async def stop(self) -> None:
        """Stop starting items, say farewell, and let go; `run` returns soon after. May be called twice."""
        self._stopping = True
        self._wake.set()

    async def _open(self) -> None:
        await self.transport.open()
        self.memory = self._remember()
        position: Position | None = None
        async for key, value in self.transport.restore():
            if key == POSITION_KEY and value is not None:
                position = msgspec.msgpack.decode(value, type=Position)
            elif key.startswith(JOURNAL_PREFIX):
                self.memory.load(key[len(JOURNAL_PREFIX) :], value)
        self._offsets = await self._start_offsets(position)
        died = position is not None and not position.clean and position.owner != self.host.life
        self._unclean = position.unclean + 1 if position is not None and died else 0
        ends = await self.transport.ends()
        self.memory.reopen(died, self.host.clock())
        self._queue.clear()
        self.transport.seek(self._offsets)
        self._lost = None
        self.is_live, self._paused, self.opened_at = True, False, self.host.clock()
        self.transport.resume()
        await self._catch_up(ends, suspects=died)
        await self._commit()
        log.info("lane.open", extra={"lane": self.name, "died": died, "offsets": self._offsets})

    async def _start_offsets(self, position: Position | None) -> dict[str, int]:
        beginnings = await self.transport.beginnings()
        if position is None:
            raise PositionLost(
                f"{self.name} has no position in its state topic; `soma topics apply` gives it one"
                " when it creates the topics, or with --from beginning|now"
            )
        offsets = {topic: position.offsets.get(topic, beginning) for topic, beginning in beginnings.items()}
        for topic, offset in offsets.items():
            if offset < beginnings[topic]:
                raise PositionLost(
                    f"{self.name} stands at {topic} {offset}, which the topic no longer keeps (it begins at"
                    f" {beginnings[topic]}); `soma topics apply --from beginning|now` gives it a new position"
                )
        return offsets

    async def _catch_up(self, ends: dict[str, int], suspects: bool) -> None:
        """Hear the backlog before anything starts: an end may stand in it."""
        while True:
            self._hear(suspects)
            if self._stopping or all(self._offsets[topic] >= end for topic, end in ends.items()):
                return
            await self._wait(BARRIER_POLL_SECONDS)

    async def _live(self) -> None:
        while not self._stopping:
            self._hear(suspects=False)
            self.memory.fire(self.host.clock())
            marks = self.memory.unmarked()
            if marks:
                self.memory.mark(marks, await self.transport.ends())
                self._hear(suspects=False)
            self.memory.heard_up_to(self._offsets)
            works = self.memory.startable(self.host.clock(), RUNNING_ITEMS_MAX - len(self._running))
            if any(work.item.suspect for work in works):
                # Should it kill the worker, the next life must know that it was running.
                await self._commit()
            for work in works:
                self._start(work)
            self._try_suspects()
            if self.memory.has_news() or self._is_overdue():
                await self._commit()
            elif not works:
                await self._wait(self._patience())
            else:
                await asyncio.sleep(0)
        await self._farewell()

    def _hear(self, suspects: bool) -> None:
        if self._lost is not None:
            raise LaneLost(self._lost)
        now = self.host.clock()
        while self._queue:
            self.memory.hear(self._queue.popleft(), now, suspects)
        if self._paused:
            self._paused = False
            self.transport.resume()
        self._offsets = self._offsets | self.transport.positions()
        if self._touched_since is None and (self.memory.is_touched() or self._offsets != self._committed):
            self._touched_since = now

    def _is_overdue(self) -> bool:
        return self._touched_since is not None and self.host.clock() - self._touched_since >= HEARD_COMMIT_SECONDS

    def _patience(self) -> float:
        """How long nothing needs to be done, in seconds."""
        now = self.host.clock()
        waits = [IDLE_SECONDS]
        due = self.memory.next_due()
        if due is not None:
            waits.append(due - now)
        if self._touched_since is not None:
            waits.append(self._touched_since + HEARD_COMMIT_SECONDS - now)
        if self.memory.is_waiting():
            waits.append(BARRIER_POLL_SECONDS)
        return max(0.001, min(waits))

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    def _start(self, work: Work) -> None:
        mark = (work.journal.saga_id, work.item.id)
        self._running[mark] = asyncio.create_task(self._run(work), name=f"{self.name} {work.item.id}")

    async def _run(self, work: Work) -> None:
        memory, mark = self.memory, (work.journal.saga_id, work.item.id)
        outcome = await self._run_item(work)
        # A lane that was opened anew has another memory, which knows nothing of this attempt.
        if memory is self.memory:
            self._running.pop(mark, None)
            try:
                memory.finish(work.journal.saga_id, work.item, outcome, self.host.clock())
            except Exception as error:
                # A mistake of ours; the item must not run for ever in the books.
                log.exception("lane.could_not_finish", extra={"lane": self.name, "item": work.item.id})
                failed = Broke("CouldNotFinish", repr(error)[:2_000], permanent=True)
                memory.finish(work.journal.saga_id, work.item, failed, self.host.clock())
            self._touched_since = self._touched_since or self.host.clock()
            self._wake.set()

    def _try_suspects(self) -> None:
        if self.memory.has_suspects():
            if self._unclean <= 1:
                self.memory.acquit(all_of_them=True)
                self._wake.set()
            elif self._suspects is None or self._suspects.done():
                self._suspects = asyncio.create_task(self._release_suspects())
        elif self._unclean and self.host.clock() - self.opened_at > FORGIVEN_AFTER_SECONDS:
            self._unclean = 0

    async def _release_suspects(self) -> None:
        """After more than one death in a row: one suspect at a time in the whole worker, the worst one first."""
        while self.memory.has_suspects():
            async with self.host.suspect:
                suspect = self.memory.acquit(all_of_them=False)
                self._wake.set()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SUSPECT_SECONDS):
                        while suspect is not None and self.memory.is_suspect(suspect):
                            await asyncio.sleep(BARRIER_POLL_SECONDS)
                if suspect is not None and self.memory.is_suspect(suspect):
                    self.memory.release(suspect)
                    self._wake.set()
                    # The next suspect may kill the worker; this one must be above suspicion by then.
                    while self.memory.is_touched():
                        await asyncio.sleep(BARRIER_POLL_SECONDS)

    async def _commit(self, clean: bool = False) -> None:
        async with self.host.commits:
            snapshot = self.memory.take()
            offsets, self._touched_since = dict(self._offsets), None
            position = Position(offsets, clean, self.host.life, self._unclean)
            state = {JOURNAL_PREFIX + key: value for key, value in snapshot.state.items()}
            state[POSITION_KEY] = msgspec.msgpack.encode(position)
            await self.transport.commit(snapshot.said, state)
            self._committed = offsets

    async def _farewell(self) -> None:
        """Give what is running a moment to end, and note that nothing runs."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=2.0)
        await self._cancel_running()
        await self._commit(clean=True)

    async def _cancel_running(self) -> None:
        tasks = [task for task in (*self._running.values(), self._suspects) if task is not None]
        self._running = {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)

    async def _let_go(self) -> None:
        self.is_live = False
        self._queue.clear()
        # The tasks of the lost life must not write into the next one's memory.
        self.memory = self._remember()
        await self._cancel_running()
        await self.transport.close()
