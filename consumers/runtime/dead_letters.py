"""PURE: what becomes of a record nobody can use, and of the message on which a step spent its budget."""

import base64
from datetime import UTC, datetime
from hashlib import blake2b

from consumers.runtime.shapes import shape_of
from consumers.runtime.utterances import Failure
from consumers.runtime.view import View
from producers.headers import headers_for
from producers.records import Outgoing, Record
from producers.skipped_batches import skipped_in
from schemas.dead_letter import HEADERS_MAX, VALUE_BYTES_MAX, DeadLetter, Origin

EXCERPT_BYTES = 64 * 1024
ERROR_CHARACTERS_MAX = 300
REASON_CHARACTERS_MAX = 20_000
HEADER_CHARACTERS_MAX = 1_000
KEY_BYTES_MAX = 1_000


def unreadable(
    record: Record, view: View, reason: str, wire_type: str, now: float, partition: int | None = None
) -> Outgoing:
    """The dead letter of a record that is no message of this saga, for `partition` or the record's own."""
    skipped = skipped_in(record.value)
    first_offset = skipped.first_offset if skipped else None
    origin = Origin(topic=record.topic, partition=record.partition, offset=record.offset, first_offset=first_offset)
    identity = f"{record.topic}/{record.partition}/{record.offset}"
    value = None if skipped else record.value
    text, encoded = _as_text(_kept(value))
    key = record.key and record.key[:KEY_BYTES_MAX]
    letter = DeadLetter(
        id=identity,
        kind="unreadable",
        saga=view.graph.saga,
        saga_id=_as_text(key)[0],
        participant=view.participant,
        type=wire_type[:HEADER_CHARACTERS_MAX] or None,
        error="Unreadable",
        reason=reason[:REASON_CHARACTERS_MAX],
        fingerprint=_fingerprint("Unreadable", _kind_of(reason), wire_type, _shape(value)),
        origin=origin,
        headers={
            name[:HEADER_CHARACTERS_MAX]: (value or b"").decode(errors="backslashreplace")[:HEADER_CHARACTERS_MAX]
            for name, value in record.headers[:HEADERS_MAX]
        },
        value=text,
        value_base64=encoded,
        value_bytes=skipped.packed_bytes if skipped else len(record.value or b""),
        at=datetime.fromtimestamp(now, UTC),
    )
    return _outgoing(letter, view, record.partition if partition is None else partition, key, now)


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
        error=failure.error[:ERROR_CHARACTERS_MAX],
        reason=failure.cause[:REASON_CHARACTERS_MAX],
        fingerprint=_fingerprint(failure.error, item.step, item.message.type, _shape(item.message.body)),
        value=text,
        value_base64=encoded,
        value_bytes=len(item.message.body),
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


def _kept(value: bytes | None) -> bytes | None:
    """The value, or its beginning where it is huge: the whole still stands at its origin."""
    return value[:EXCERPT_BYTES] if value is not None and len(value) > VALUE_BYTES_MAX else value


def _kind_of(reason: str) -> str:
    """The reason without what differs from record to record: that stands after its first colon."""
    return reason.partition(":")[0]


def _shape(value: bytes | None) -> str:
    """What tells two bodies of one type apart; of a huge one nothing is told."""
    return "\n".join(shape_of(value)) if value is not None and len(value) <= VALUE_BYTES_MAX else ""


def _fingerprint(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
