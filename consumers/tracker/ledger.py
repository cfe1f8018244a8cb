"""PURE: the tracker's memory of one lane: every open saga's standing. It starts no items, it only hears and says."""

import re
from datetime import datetime

import msgspec
from pydantic import ValidationError

from consumers.runtime.finishing import Outcome
from consumers.runtime.graph import Graph
from consumers.runtime.journal import Item
from consumers.runtime.ledger import CLOSED_RETENTION_SECONDS
from consumers.runtime.memory import UNLIMITED, Memory, Room, Snapshot, Work
from consumers.tracker.folding import Tracked, fold, opened, status_of
from producers.errors import Unreadable
from producers.headers import HEARD_BYTES_MAX, ID_CHARACTERS_MAX, Heard, body_of, headers_for, read, traceparent_of
from producers.records import Headers, Outgoing, Record
from schemas.engine import EngineEvent
from schemas.message import Event, Opening

YEAR_3000_SECONDS = 32_503_680_000


def tracker_of(saga: str) -> str:
    """The name of the participant that tracks a saga kind."""
    return f"{saga}.tracker"


class TrackerLedger(Memory):
    """See the module. A saga that has ended shrinks to a marker; its last status stays in the compacted topic."""

    def __init__(self, graph: Graph, partition: int) -> None:
        self._graph, self._partition = graph, partition
        self._topics, self._name = graph.schema.topics, tracker_of(graph.saga)
        self._open: dict[str, Tracked] = {}
        self._changed: dict[str, Tracked | None] = {}
        self._told: list[Tracked] = []

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self._topics.events,)

    def load(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._open.pop(key, None)
        else:
            self._open[key] = msgspec.msgpack.decode(value, type=Tracked)

    def hear(self, record: Record, now: float, suspects: bool = False) -> None:
        try:
            heard = read(record, "")
            kind = self._graph.schema.messages.get(heard.type)
            if kind is None or not issubclass(kind, Event):
                return
            if len(heard.body) > HEARD_BYTES_MAX:
                return
            event = kind.model_validate(body_of(heard))
        except (Unreadable, ValidationError):
            return
        found = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        said_at = _seconds(found.get("ce_time"), record.at)
        self._fold(heard, event, said_at, found, record)

    def _fold(self, heard: Heard, event: Event, said_at: float, found: dict[str, str], record: Record) -> None:
        tracked = self._open.get(heard.saga_id)
        if tracked is None:
            if not isinstance(event, Opening):
                return
            tracked = self._open[heard.saga_id] = opened(heard, event, said_at)
        if tracked.closed_at is not None:
            return
        if heard.id in tracked.types or _is_answer(event) or len(heard.id) > ID_CHARACTERS_MAX:
            return
        attempt = int(found["ce_attempt"]) if re.fullmatch(r"[0-9]{1,6}", found.get("ce_attempt", "")) else 1
        fold(tracked, self._graph, heard, event, said_at, attempt, _seconds(found.get("ce_startedat"), said_at))
        self._changed[heard.saga_id] = tracked
        if tracked.is_closed(self._graph):
            # Its status is written now, before another saga may begin under the same id.
            self._told.append(tracked)
            marker = Tracked(heard.saga_id, tracked.started_at, tracked.updated_at, closed_at=record.at)
            self._open[heard.saga_id] = self._changed[heard.saga_id] = marker

    def has_news(self) -> bool:
        return bool(self._changed)

    def is_touched(self) -> bool:
        return bool(self._changed)

    def take(self) -> Snapshot:
        ending, self._told = self._told, []
        changed, self._changed = self._changed, {}
        told = ending + [tracked for tracked in changed.values() if tracked is not None and tracked.closed_at is None]
        state = {
            saga_id: None if tracked is None else msgspec.msgpack.encode(tracked)
            for saga_id, tracked in changed.items()
        }
        return Snapshot([self._status(tracked) for tracked in told], state)

    def _status(self, tracked: Tracked) -> Outgoing:
        wire_type = f"{self._graph.saga}.status"
        message_id = f"{tracked.last}/status"
        headers = headers_for(
            wire_type=wire_type,
            message_id=message_id,
            source=self._name,
            saga_id=tracked.saga_id,
            at=tracked.updated_at,
            correlation=tracked.saga_id,
            causation=tracked.last,
            tenant=tracked.tenant,
            traceparent=traceparent_of(tracked.saga_id, message_id, f"00-{tracked.trace_id}-0-01"),
        )
        body = status_of(tracked, self._graph).model_dump_json().encode()
        return Outgoing(self._topics.status, self._partition, tracked.saga_id.encode(), body, headers)

    def reopen(self, died: bool, now: float) -> None:
        for saga_id, tracked in list(self._open.items()):
            if tracked.closed_at is not None and tracked.closed_at < now - CLOSED_RETENTION_SECONDS:
                del self._open[saga_id]
                self._changed[saga_id] = None

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


def _is_answer(event: Event) -> bool:
    """A refused command changes nothing of the saga."""
    return isinstance(event, EngineEvent) and event.suffix == "command.refused"


def _seconds(text: str | None, otherwise: float) -> float:
    try:
        seconds = datetime.fromisoformat(text).timestamp() if text else otherwise
    except (ValueError, OverflowError, OSError):
        return otherwise
    return seconds if 0 <= seconds < YEAR_3000_SECONDS else otherwise
