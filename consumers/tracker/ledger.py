"""PURE: the tracker's memory of one lane: every open saga's standing, and which of them are stalled.

It runs no steps: its only items are looks at the cluster, for what holds up a saga that has stalled.
"""

import heapq
from collections import Counter, deque
from itertools import islice
from typing import NamedTuple

import msgspec

from consumers.runtime import dead_letters
from consumers.runtime.finishing import Blocked, Outcome
from consumers.runtime.former_life import Ending
from consumers.runtime.graph import Graph
from consumers.runtime.journal import Item
from consumers.runtime.ledger import CLOSED_RETENTION_SECONDS
from consumers.runtime.memory import UNLIMITED, Room, Snapshot, Work
from consumers.runtime.quarantine import Attempt, CountFault, Faults, encodable, encoded, uncounted, words_of
from consumers.runtime.view import view_of
from consumers.tracker.folding import fold, opened
from consumers.tracker.inspecting import LOOKS_MAX, all_found, look_at
from consumers.tracker.meanings import Meanings
from consumers.tracker.open_sagas import DECODED_SAGAS_MAX, OpenSagas
from consumers.tracker.pauses import Pauses
from consumers.tracker.reading import Entry, Reader
from consumers.tracker.records import Undecodable, closed_marker, decoded, unread_record, versioned
from consumers.tracker.stalling import GRACE_SECONDS, Deadlines, Edge, found_in_log
from consumers.tracker.standing import rename_steps
from consumers.tracker.stepless import Stepless
from consumers.tracker.telling import Teller
from consumers.tracker.tracked import Stalled, Tracked
from consumers.tracker.unread import UnreadSagas
from producers.headers import ID_CHARACTERS_MAX, type_of
from producers.records import Outgoing, Record
from schemas.engine import StepPaused, StepResumed
from schemas.message import Event, Opening

# A status that is not the last one waits so long for what follows it: half the transactions, and none in its way.
TELL_WITHIN_SECONDS = 0.05
# Ten thousand sagas may be due for a check at once; a lane does other things in between.
CHECKED_AT_ONCE = 500
# A step may be paused for ten thousand sagas at once: so many are looked at, or told of, at once.
MARKED_AT_ONCE = 500
# No saga has this id: the state record has the paused steps.
PAUSES_KEY = ""


def tracker_of(saga: str) -> str:
    """The name of the participant that tracks a saga kind."""
    return f"{saga}.tracker"


class Counted(NamedTuple):
    """What one tracker knows of, at a glance."""

    open: int
    stalled: int
    heard_at: float
    paused: dict[tuple[str, str], int]


class TrackerLedger(Stepless):
    """See the module. Of a saga that has ended only the moment is kept; its last status stays in the topic.

    With `looks`, an `Inspector` must run its items; without, a stalled saga is told of by what the log says alone.
    """

    def __init__(
        self,
        graph: Graph,
        partition: int,
        looks: bool = False,
        count_fault: CountFault = uncounted,
        decoded_most: int = DECODED_SAGAS_MAX,
    ) -> None:
        self._looks, self._partition, self._topics = looks, partition, graph.schema.topics
        self._meanings = Meanings(graph)
        self._view = view_of(graph, tracker_of(graph.saga))
        self._faults = Faults(self._view.participant, count_fault)
        self._reader, self._teller = Reader(self._meanings), Teller(self._meanings, tracker_of(graph.saga))
        self._open = OpenSagas(decoded_most)
        self._closed: dict[str, float] = {}
        self._changed: set[str] = set()
        self._tell_at = float("inf")
        self._ended: list[Outgoing] = []
        self._graph, self._deadlines, self._now = graph, Deadlines(graph), 0.0
        self._heard_at = 0.0
        self._checks: list[tuple[float, str]] = []
        self._unmarked: list[tuple[str, str]] = []
        self._marks: deque[tuple[dict[str, int], list[tuple[str, str]]]] = deque()
        self._to_look_at: dict[str, None] = {}
        self._pauses, self._pauses_changed = Pauses(graph), False
        self._to_mark: dict[str, None] = {}
        self._mark_at: list[tuple[float, str]] = []
        self._unread = UnreadSagas(f"{tracker_of(graph.saga)}.state partition {partition}")
        self._encoder = msgspec.msgpack.Encoder()

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self._topics.events,)

    def load(self, key: str, value: bytes | None) -> None:
        if key == PAUSES_KEY:
            try:
                self._pauses.load(value)
            except ValueError as error:
                # The participants know what they have paused; the statuses tell of it when they say so next.
                self._faults.note("load", key, error)
            return
        self._open.drop(key)
        self._closed.pop(key, None)
        self._unread.drop(key)
        if value is None:
            return
        try:
            self._load(key, value, decoded(value))
        except Undecodable as error:
            self._unread.load(key, value, str(error))

    def _load(self, saga_id: str, record: bytes, found: Tracked | float) -> None:
        if isinstance(found, float):
            self._closed[saga_id] = found
            return
        if rename_steps(found, self._meanings):
            record = versioned(encoded(self._faults, saga_id, found))
        self._open.load(saga_id, record, found)

    def hear(self, record: Record, now: float, ending: Ending = "clean") -> None:
        self._heard_at = record.at
        try:
            self._hear(record, now)
        except Exception as error:
            # A mistake of ours, before there was a saga to change.
            self._faults.note("decode", "", error)
            self.refuse(record, words_of(error), now)

    def _hear(self, record: Record, now: float) -> None:
        entry = self._reader.entry(record)
        if entry is None or len(entry.id) > ID_CHARACTERS_MAX:
            return
        if entry.meaning.sort == "pause":
            self._hear_pause(entry, record.at, now)
        tracked = self._open.find(entry.saga_id)
        if tracked is None and entry.saga_id in self._unread:
            tracked = self._stand_in(entry.saga_id, now)
        if tracked is None:
            if not entry.meaning.opens or entry.saga_id in self._closed:
                return
        elif entry.id in tracked.types:
            return
        event = self._reader.event(entry)
        if event is None:
            return
        said_at = entry.seconds("ce_time", record.at)
        if tracked is None:
            assert isinstance(event, Opening)
            tracked = opened(self._meanings, entry, event, said_at)
            self._open.touch(entry.saga_id, tracked)
            self._check(entry.saga_id, record.at + self._deadlines.shortest_seconds)
        if entry.saga_id in self._unread:
            self._unread.hear(entry.saga_id, record, entry.meaning.is_engine)
        with self._attempt("hear", entry.saga_id, tracked) as attempt:
            self._fold(entry, event, tracked, record, said_at)
        if attempt.error is not None:
            tracked.cause = f"the tracker could not apply {entry.meaning.wire_type}: {words_of(attempt.error)}"
            self._open.touch(entry.saga_id, tracked)
            self._changed.add(entry.saga_id)
            self.refuse(record, words_of(attempt.error), now)
        if self._changed:
            self._tell_at = min(self._tell_at, now if self._ended else now + TELL_WITHIN_SECONDS)

    def _stand_in(self, saga_id: str, now: float) -> Tracked:
        """What is shown of a saga whose record cannot be decoded."""
        records = self._unread.heard(saga_id, self._topics.events, self._partition)
        tracked = self._unread.stand_in(saga_id, self._meanings, now)
        for record in records:
            entry = self._reader.entry(record)
            event = None if entry is None else self._reader.event(entry)
            if entry is not None and event is not None:
                with self._attempt("hear", saga_id, tracked):
                    fold(tracked, self._meanings, entry, event, entry.seconds("ce_time", record.at), record.at)
        self._touch(saga_id, tracked, now)
        return tracked

    def _hear_pause(self, entry: Entry, at: float, now: float) -> None:
        """A step was paused or resumed: it concerns every saga of the partition that is there, and each once."""
        event = self._reader.event(entry)
        if not isinstance(event, StepPaused | StepResumed):
            return
        name = self._pauses.apply_event(event, entry.source, at)
        if name is not None:
            self._pauses_changed = True
            heapq.heappush(self._mark_at, (max(now, self._pauses.settled_at(name)), name))

    def _mark_paused(self, now: float) -> None:
        while self._mark_at and self._mark_at[0][0] <= now:
            heapq.heappop(self._mark_at)
            # Which of them wait at the step is found out one by one, as they are decoded for it.
            self._to_mark |= dict.fromkeys(self._open)
        for saga_id in list(islice(self._to_mark, max(0, MARKED_AT_ONCE - len(self._changed)))):
            del self._to_mark[saga_id]
            tracked = self._open.find(saga_id)
            if tracked is not None:
                self._mark_one(saga_id, tracked, now)

    def _mark_one(self, saga_id: str, tracked: Tracked, now: float) -> None:
        """Note at which paused steps the saga waits, and tell of it where that has changed."""
        if self._pauses.mark(tracked, now):
            if tracked.paused:
                tracked.stalled = None
            self._touch(saga_id, tracked, now)

    def _touch(self, saga_id: str, tracked: Tracked, now: float) -> None:
        """The saga has changed: its status is told at once."""
        self._open.touch(saga_id, tracked)
        self._changed.add(saga_id)
        self._tell_at = min(self._tell_at, now)

    def _attempt(self, call: str, saga_id: str, tracked: Tracked) -> Attempt:
        return Attempt(self._faults, call, saga_id, tracked, self._ended)

    def refuse(self, record: Record, reason: str, now: float) -> None:
        reason = f"{self._view.participant} could not hear it: {reason}"
        self._ended.append(dead_letters.unreadable(record, self._view, reason, type_of(record.headers), now))
        self._tell_at = now

    def condemn(self, mark: tuple[str, str], cause: str) -> None:
        """A look at the cluster changes nothing that must be committed."""
        self._to_look_at.pop(mark[0], None)

    def _fold(self, entry: Entry, event: Event, tracked: Tracked, record: Record, said_at: float) -> None:
        saga_id = entry.saga_id
        fold(tracked, self._meanings, entry, event, said_at, record.at)
        if self._pauses.by_step or tracked.paused:
            self._pauses.mark(tracked, record.at)
        if tracked.stalled is not None:
            edge = self._deadlines.earliest(tracked)
            if edge is None or edge.due > max(record.at, self._now):
                tracked.stalled = None
        if tracked.lost:
            tracked.lost = self._deadlines.lost(tracked)
        self._open.touch(saga_id, tracked)
        self._changed.add(saga_id)
        if tracked.is_closed(self._meanings):
            # Its status is written now, before another saga may begin under the same id.
            self._ended.append(self._status(saga_id, tracked))
            self._open.drop(saga_id)
            self._unread.drop(saga_id)
            self._closed[saga_id] = record.at

    def count(self) -> Counted:
        """How many sagas are open and stalled, and up to when the log is heard, in seconds; for the figures."""
        at_steps = Counter(name for names in self._open.paused.values() for name in names)
        paused = {(pause.participant, name): at_steps[name] for name, pause in self._pauses.by_step.items()}
        return Counted(len(self._open), len(self._open.stalled), self._heard_at, paused)

    def has_news(self) -> bool:
        return self._now >= self._tell_at

    def is_touched(self) -> bool:
        return bool(self._changed) or self._pauses_changed

    def take(self) -> Snapshot:
        said, self._ended = self._ended, []
        self._tell_at = float("inf")
        changed, self._changed = self._changed, set()
        state: dict[str, bytes | None] = {}
        if self._pauses_changed:
            self._pauses_changed = False
            state[PAUSES_KEY] = self._encoder.encode(self._pauses.by_step) if self._pauses.by_step else None
        for saga_id in changed:
            tracked = self._open.find(saga_id)
            if tracked is not None:
                try:
                    said.append(self._status(saga_id, tracked))
                except Exception as error:
                    self._faults.note("tell", saga_id, error)
                record = versioned(encoded(self._faults, saga_id, tracked))
                self._open.encoded(saga_id, record)
                unread = self._unread.find(saga_id)
                if unread is None:
                    state[saga_id] = record
                elif unread.heard:
                    state[saga_id] = unread_record(unread)
            else:
                closed_at = self._closed.get(saga_id)
                state[saga_id] = None if closed_at is None else closed_marker(closed_at)
        self._open.put_away()
        return Snapshot(said, state)

    def _status(self, saga_id: str, tracked: Tracked) -> Outgoing:
        headers, body = self._teller.headers(saga_id, tracked), self._teller.body(saga_id, tracked)
        return Outgoing(self._topics.status, self._partition, saga_id.encode(), body, headers)

    def reopen(self, ending: Ending, now: float) -> None:
        for saga_id, closed_at in list(self._closed.items()):
            if closed_at < now - CLOSED_RETENTION_SECONDS:
                del self._closed[saga_id]
                self._changed.add(saga_id)
        for saga_id in list(self._unread.untold):
            self._try_again(saga_id, now)
        self._unread.tell()
        for name in self._pauses.by_step:
            heapq.heappush(self._mark_at, (max(now, self._pauses.settled_at(name)), name))
        for saga_id in self._open:
            # Whoever was down together with this tracker has a moment to catch up.
            self._check(saga_id, now + GRACE_SECONDS)

    def _try_again(self, saga_id: str, now: float) -> None:
        """Apply what was heard while a former build could not decode the record, if this one can."""
        unread = self._unread.find(saga_id)
        try:
            found = decoded(unread.raw if unread else b"")
        except Undecodable:
            return
        records = list(self._unread.heard(saga_id, self._topics.events, self._partition))
        self._unread.drop(saga_id)
        self._load(saga_id, b"", found)
        if isinstance(found, Tracked):
            self._open.touch(saga_id, found)
        self._changed.add(saga_id)
        for record in records:
            self._hear(record, now)

    def fire(self, now: float) -> None:
        self._now = now
        for saga_id in list(islice(self._unread.untold, max(0, MARKED_AT_ONCE - len(self._changed)))):
            self._stand_in(saga_id, now)
        self._mark_paused(now)
        for _ in range(CHECKED_AT_ONCE):
            if not self._checks or self._checks[0][0] > now:
                return
            _, saga_id = heapq.heappop(self._checks)
            tracked = self._open.find(saga_id)
            if tracked is not None:
                with self._attempt("check", saga_id, tracked):
                    self._look_after(saga_id, tracked, now)

    def _look_after(self, saga_id: str, tracked: Tracked, now: float) -> None:
        lost = self._deadlines.lost(tracked)
        if lost != tracked.lost:
            tracked.lost = lost
            self._touch(saga_id, tracked, now)
        edge = self._deadlines.earliest(tracked)
        if tracked.stalled is not None and self._looks:
            # What holds it up may have changed.
            self._to_look_at[saga_id] = None
        if edge is None or edge.due > now or tracked.stalled is not None:
            # What is owed only later on has at least the shortest of all deadlines.
            latest = now + self._deadlines.shortest_seconds
            self._check(saga_id, min(edge.due, latest) if edge is not None and edge.due > now else latest)
        else:
            # The fact may stand in the log already, not heard yet.
            self._unmarked.append((saga_id, edge.participant))

    def _check(self, saga_id: str, at: float) -> None:
        """Look at the saga again then; each open saga has one check ahead, whatever happens to it meanwhile."""
        heapq.heappush(self._checks, (at, saga_id))

    def next_due(self) -> float | None:
        due = min(self._tell_at, self._checks[0][0] if self._checks else self._tell_at)
        if self._mark_at:
            due = min(due, self._mark_at[0][0])
        if (self._to_mark or self._unread.untold) and not self._changed:
            due = self._now
        return None if due == float("inf") else due

    def unmarked(self) -> list[tuple[str, str]]:
        marks, self._unmarked = self._unmarked, []
        return marks

    def mark(self, marks: list[tuple[str, str]], ends: dict[str, int]) -> None:
        self._marks.append((ends, marks))

    def heard_up_to(self, positions: dict[str, int]) -> None:
        while self._marks and all(positions.get(topic, 0) >= end for topic, end in self._marks[0][0].items()):
            for saga_id, _ in self._marks.popleft()[1]:
                tracked = self._open.find(saga_id)
                if tracked is not None:
                    with self._attempt("stall", saga_id, tracked):
                        self._stall(saga_id, tracked)
                    self._check(saga_id, self._now + self._deadlines.shortest_seconds)

    def _stall(self, saga_id: str, tracked: Tracked) -> None:
        self._mark_one(saga_id, tracked, self._now)
        edge = self._deadlines.earliest(tracked)
        if edge is None or edge.due > self._now:
            return
        found = found_in_log(tracked, self._graph, edge)
        tracked.stalled = Stalled(edge.step, edge.participant, edge.missing, edge.due, found)
        self._touch(saga_id, tracked, self._now)
        if self._looks:
            self._to_look_at[saga_id] = None

    def startable(self, now: float, most: int, room: Room = UNLIMITED) -> list[Work]:
        works: list[Work] = []
        while self._to_look_at and len(works) < min(most, LOOKS_MAX):
            saga_id = next(iter(self._to_look_at))
            del self._to_look_at[saga_id]
            tracked = self._open.find(saga_id)
            if tracked is not None and tracked.stalled is not None:
                with self._attempt("start", saga_id, tracked):
                    work = look_at(self._graph, self._partition, saga_id, tracked.stalled)
                    room.enter(work.owner)
                    works.append(work)
        return works

    def finish(self, saga_id: str, item: Item, outcome: Outcome, now: float) -> None:
        tracked = self._open.find(saga_id)
        if tracked is None or tracked.stalled is None or not isinstance(outcome, Blocked):
            return
        with self._attempt("finish", saga_id, tracked):
            told = found_in_log(tracked, self._graph, Edge(*msgspec.structs.astuple(tracked.stalled)[:4]))
            found = all_found(tracked.stalled.participant, encodable(outcome.cause), told)
            if found != tracked.stalled.found:
                tracked.stalled.found = found
                self._touch(saga_id, tracked, self._now)

    def is_waiting(self) -> bool:
        return bool(self._marks)
