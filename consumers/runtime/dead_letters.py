"""PURE: what becomes of a record nobody can use, and of the message on which a step spent its budget."""

import base64
from datetime import UTC, datetime
from hashlib import blake2b

from consumers.runtime.utterances import Failure
from consumers.runtime.view import View
from producers.headers import headers_for
from producers.records import Outgoing, Record
from schemas.dead_letter import DeadLetter, Origin


def unreadable(record: Record, view: View, reason: str, wire_type: str, now: float) -> Outgoing:
    """The dead letter of a record that is no message of this saga."""
    origin = Origin(topic=record.topic, partition=record.partition, offset=record.offset)
    identity = f"{record.topic}/{record.partition}/{record.offset}"
    text, encoded = _as_text(record.value)
    letter = DeadLetter(
        id=identity,
        kind="unreadable",
        saga=view.graph.saga,
        saga_id=_as_text(record.key)[0],
        participant=view.participant,
        type=wire_type or None,
        error="Unreadable",
        reason=reason,
        fingerprint=_fingerprint("Unreadable", wire_type, reason.partition(":")[0]),
        origin=origin,
        headers={name: value.decode(errors="backslashreplace") for name, value in record.headers},
        value=text,
        value_base64=encoded,
        at=datetime.fromtimestamp(now, UTC),
    )
    return _outgoing(letter, view, record.partition, record.key, now)


def failed(failure: Failure, view: View, saga_id: str, partition: int, now: float) -> Outgoing:
    """The dead letter of an item that was given up."""
    item = failure.item
    text, encoded = _as_text(item.message.body)
    letter = DeadLetter(
        id=f"{saga_id}/{item.id}/{item.attempt}",
        kind="failed",
        saga=view.graph.saga,
        saga_id=saga_id,
        participant=view.participant,
        step=item.step,
        item=item.id,
        attempts=item.attempt,
        type=item.message.type,
        error=failure.error,
        reason=failure.cause,
        fingerprint=_fingerprint(failure.error, item.step, item.message.type),
        value=text,
        value_base64=encoded,
        at=datetime.fromtimestamp(now, UTC),
    )
    return _outgoing(letter, view, partition, saga_id.encode(), now)


def _outgoing(letter: DeadLetter, view: View, partition: int, key: bytes | None, now: float) -> Outgoing:
    headers = headers_for(
        wire_type=f"{view.graph.saga}.dead.letter",
        message_id=letter.id,
        source=view.participant,
        saga_id=letter.saga_id or "",
        at=now,
        causation=letter.id,
    )
    return Outgoing(view.graph.schema.topics.dead, partition, key, letter.model_dump_json().encode(), headers)


def _as_text(value: bytes | None) -> tuple[str | None, str | None]:
    if value is None:
        return None, None
    try:
        return value.decode(), None
    except UnicodeDecodeError:
        return None, base64.b64encode(value).decode()


def _fingerprint(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
