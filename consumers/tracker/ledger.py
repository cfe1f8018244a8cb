"""PURE: the tracker's memory of one lane: every open saga's standing. It starts no items, it only hears and says."""

import sys

import msgspec

from consumers.runtime.finishing import Outcome
from consumers.runtime.graph import Graph
from consumers.runtime.journal import Item
from consumers.runtime.ledger import CLOSED_RETENTION_SECONDS
from consumers.runtime.memory import UNLIMITED, Memory, Room, Snapshot, Work
from consumers.tracker.folding import Tracked, fold, opened
from consumers.tracker.meanings import Meanings
from consumers.tracker.reading import Entry, Reader
from consumers.tracker.telling import Teller
from producers.headers import ID_CHARACTERS_MAX
from producers.records import Headers, Outgoing, Record
from schemas.message import Opening


def tracker_of(saga: str) -> str:
    """The name of the participant that tracks a saga kind."""
    return f"{saga}.tracker"


class TrackerLedger(Memory):
    """See the module. Of an ended saga only the moment is kept; its last status stays in the compacted topic."""

    def __init__(self, graph: Graph, partition: int) -> None:
        self._partition, self._topics = partition, graph.schema.topics
        self._meanings = Meanings(graph)
        self._reader, self._teller = Reader(self._meanings), Teller(self._meanings, tracker_of(graph.saga))
        self._open: dict[str, Tracked] = {}
        self._closed: dict[str, float] = {}
        self._changed: set[str] = set()
        self._ended: list[Outgoing] = []
        self._decoder = msgspec.msgpack.Decoder(Tracked | float)
        self._encoder = msgspec.msgpack.Encoder()

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self._topics.events,)

    def load(self, key: str, value: bytes | None) -> None:
        self._open.pop(key, None)
        self._closed.pop(key, None)
        if value is None:
            return
        found = self._decoder.decode(value)
        if isinstance(found, float):
            self._closed[key] = found
        else:
            # Ten thousand open sagas name the same few types and steps.
            found.types = {message_id: sys.intern(wire_type) for message_id, wire_type in found.types.items()}
            found.steps = {sys.intern(name): step for name, step in found.steps.items()}
            for step in found.steps.values():
                step.said = step.said and sys.intern(step.said)
            self._open[key] = found

    def hear(self, record: Record, now: float, suspects: bool = False) -> None:
        entry = self._reader.entry(record)
        if entry is None:
            return
        tracked = self._open.get(entry.saga_id)
        if tracked is None:
            if not entry.meaning.opens or entry.saga_id in self._closed:
                return
        elif entry.id in tracked.types:
            return
        if len(entry.id) <= ID_CHARACTERS_MAX:
            self._fold(entry, tracked, record)

    def _fold(self, entry: Entry, tracked: Tracked | None, record: Record) -> None:
        event = self._reader.event(entry)
        if event is None:
            return
        saga_id, said_at = entry.saga_id, entry.seconds("ce_time", record.at)
        if tracked is None:
            assert isinstance(event, Opening)
            tracked = self._open[saga_id] = opened(self._meanings, entry, event, said_at)
        fold(tracked, self._meanings, entry, event, said_at)
        self._changed.add(saga_id)
        if tracked.is_closed(self._meanings):
            # Its status is written now, before another saga may begin under the same id.
            self._ended.append(self._status(saga_id, tracked))
            del self._open[saga_id]
            self._closed[saga_id] = record.at

    def has_news(self) -> bool:
        return bool(self._changed)

    def is_touched(self) -> bool:
        return bool(self._changed)

    def take(self) -> Snapshot:
        said, self._ended = self._ended, []
        changed, self._changed = self._changed, set()
        state: dict[str, bytes | None] = {}
        for saga_id in changed:
            tracked = self._open.get(saga_id)
            if tracked is not None:
                said.append(self._status(saga_id, tracked))
                state[saga_id] = self._encoder.encode(tracked)
            else:
                closed_at = self._closed.get(saga_id)
                state[saga_id] = None if closed_at is None else self._encoder.encode(closed_at)
        return Snapshot(said, state)

    def _status(self, saga_id: str, tracked: Tracked) -> Outgoing:
        headers, body = self._teller.headers(saga_id, tracked), self._teller.body(saga_id, tracked)
        return Outgoing(self._topics.status, self._partition, saga_id.encode(), body, headers)

    def reopen(self, died: bool, now: float) -> None:
        for saga_id, closed_at in list(self._closed.items()):
            if closed_at < now - CLOSED_RETENTION_SECONDS:
                del self._closed[saga_id]
                self._changed.add(saga_id)

    def fire(self, now: float) -> None:
        return

    def next_due(self) -> float | None:
        return None

    def unmarked(self) -> list[tuple[str, str]]:
        return []

    def mark(self, marks: list[tuple[str, str]], ends: dict[str, int]) -> None:
        return

    def heard_up_to(self, positions: dict[str, int]) -> None:
        return

    def startable(self, now: float, most: int, room: Room = UNLIMITED) -> list[Work]:
        return []

    def finish(self, saga_id: str, item: Item, outcome: Outcome, now: float) -> None:
        return

    @property
    def deferrable(self) -> tuple[str, ...]:
        return ()

    def ignores(self, headers: Headers) -> bool:
        return False

    def paused(self) -> dict[str, str]:
        return {}

    def pause(self, causes: dict[str, str]) -> None:
        return

    def is_held_back(self) -> bool:
        return False

    def backlog_bytes(self) -> int:
        return 0

    def is_waiting(self) -> bool:
        return False

    def has_suspects(self) -> bool:
        return False

    def acquit(self, all_of_them: bool) -> tuple[str, str] | None:
        return None

    def release(self, mark: tuple[str, str]) -> None:
        return

    def is_suspect(self, mark: tuple[str, str]) -> bool:
        return False
