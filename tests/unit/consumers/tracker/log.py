"""The tracker on the bench: the log of one saga, and what a test says in it."""

import json
from datetime import UTC, datetime
from typing import Any

from consumers.runtime.graph import Graph
from consumers.tracker.ledger import TrackerLedger
from consumers.tracker.open_sagas import DECODED_SAGAS_MAX
from producers.headers import headers_for
from producers.records import Record
from schemas.engine import (
    CompensationStuck,
    EngineEvent,
    ItemResumed,
    Settled,
    StepDelayed,
    StepFailed,
)
from schemas.message import Event
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    ORDER,
    STORE,
    LabelPrinted,
    OrderExpired,
    OrderOpened,
    StockReserved,
)


class Log:
    """Events of one saga as they stand in the log; each hearing is followed by the status it leads to."""

    def __init__(self, graph: Graph = ORDER, decoded_most: int = DECODED_SAGAS_MAX) -> None:
        self.graph, self.now, self.offset = graph, BEGIN, 0
        self.tracker = TrackerLedger(graph, 0, decoded_most=decoded_most)
        self.statuses: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.state: dict[str, bytes | None] = {}
        self.headers: dict[str, str] = {}

    def hears(self, event: Event, source: str, cause: str = "", message_id: str = "", **named: Any) -> dict[str, Any]:
        """Hear it, one second after the one before; returns the newest status."""
        self.only_hears(event, source, cause, message_id, **named)
        return self.take()

    def only_hears(self, event: Event, source: str, cause: str = "", message_id: str = "", **named: Any) -> None:
        """The same, but nobody asks for a status yet."""
        saga = self.graph.saga
        wire_type = event.type_in(saga) if isinstance(event, EngineEvent) else event.wire_type
        self.now += 1
        headers = headers_for(
            wire_type=wire_type,
            message_id=message_id or wire_type,
            source=source,
            saga_id=event.saga_id,
            at=self.now,
            causation=cause,
            **named,
        )
        self.offset += 1
        key, body = event.saga_id.encode(), event.model_dump_json().encode()
        self.tracker.hear(Record(f"{saga}.events", 0, self.offset, self.now, key, body, headers), self.now)

    def hears_raw(self, wire_type: str, body: Any) -> dict[str, Any]:
        """Hear what an outsider wrote: our headers, any JSON."""
        self.offset += 1
        headers = headers_for(
            wire_type=wire_type, message_id=f"raw {self.offset}", source="x", saga_id=SAGA, at=self.now
        )
        value = json.dumps(body).encode()
        self.tracker.hear(Record("order.events", 0, self.offset, self.now, SAGA.encode(), value, headers), self.now)
        return self.take()

    def take(self) -> dict[str, Any]:
        snapshot = self.tracker.take()
        self.state |= snapshot.state
        self.bodies += [one.value or b"" for one in snapshot.said]
        self.statuses += [json.loads(one.value or b"") for one in snapshot.said]
        for one in snapshot.said:
            self.headers = {name: value.decode() for name, value in one.headers}
        return self.statuses[-1] if self.statuses else {}

    def opens(self) -> dict[str, Any]:
        return self.hears(
            OrderOpened(saga_id=SAGA, participants=EVERYBODY), DESK, "place", traceparent=f"00-{'a' * 32}-{'b' * 16}-01"
        )

    def settles(self, *participants: str) -> dict[str, Any]:
        for name in participants:
            self.hears(Settled(saga_id=SAGA, participant=name, undone=0), name, "end", f"settled {name}")
        return self.statuses[-1]


def step(status: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in status["steps"] if one["name"] == name]
    assert isinstance(found, dict)
    return found


def at(seconds: float) -> str:
    return datetime.fromtimestamp(BEGIN + seconds, UTC).isoformat().replace("+00:00", "Z")


RESERVED, PRINTED = StockReserved(saga_id=SAGA), LabelPrinted(saga_id=SAGA)


def failed(name: str, participant: str, policy: str) -> StepFailed:
    return StepFailed.model_validate(
        {
            "saga_id": SAGA,
            "participant": participant,
            "step": name,
            "item": f"{name}/x",
            "attempts": 3,
            "cause": "no answer",
            "policy": policy,
        }
    )


def stuck(name: str = "release_stock") -> CompensationStuck:
    return CompensationStuck(
        saga_id=SAGA, participant=STORE, step=name, item=f"{name}/x", attempts=2, cause="no answer"
    )


def resumed(name: str, participant: str = STORE) -> ItemResumed:
    return ItemResumed(saga_id=SAGA, participant=participant, step=name, item=f"{name}/x")


def delayed(name: str, cause: str) -> StepDelayed:
    return StepDelayed(
        saga_id=SAGA, participant=STORE, step=name, item=f"{name}/x", attempt=2, cause=cause, next_at=datetime.now(UTC)
    )


def stuck_log() -> Log:
    """A saga that has expired, with a compensation that stands stuck."""
    log = Log()
    log.opens()
    log.hears(RESERVED, STORE, "order.opened")
    log.hears(OrderExpired(saga_id=SAGA), DESK, "order.opened")
    log.hears(stuck(), STORE, "x")
    return log
