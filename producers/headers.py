"""CloudEvents 1.0 on Kafka: binary mode written, binary and structured mode read, and less than either understood.

Source: CloudEvents Kafka protocol binding 1.0.2, sections 3.2 and 3.3. A publisher needs only a key, `ce_type` and a
JSON object; a record without an id is identified by its position.
"""

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import msgspec

from producers.errors import Unreadable
from producers.records import Headers, Record

NOOP_TYPE = "soma.noop"
STRUCTURED = b"application/cloudevents+json"
COMMAND_BYTES_MAX = 256 * 1024
# Ours are the longest: the failure of an item is caused by `<step>/<message id>/<attempt>`.
ATTRIBUTE_CHARACTERS_MAX = 1_200
ID_CHARACTERS_MAX = 500
# Nobody of ours says more than half a megabyte; what others put among the events must not swell a journal.
HEARD_BYTES_MAX = 640 * 1024
HEADER_BYTES_MAX = 64 * 1024
KEY_CHARACTERS_MAX = 200


class Heard(msgspec.Struct, frozen=True):
    """A record that has a key, a type and a body; the body is not looked into yet."""

    type: str
    id: str
    saga_id: str
    source: str
    body: bytes
    correlation: str
    causation: str
    tenant: str
    traceparent: str


def read(record: Record, tenant: str) -> Heard:
    """What the record says, or `Unreadable` with the reason. `tenant` stands in where the record names none."""
    saga_id = key_of(record)
    if record.value is None:
        raise Unreadable("the record has no value; a command or event is a JSON object")
    found = _bounded(record)
    body, attributes = record.value, _attributes(found)
    if found.get("content-type", b"").startswith(STRUCTURED):
        body, attributes = _unwrap(record.value)
    wire_type = attributes.get("type", "")
    if not wire_type:
        raise Unreadable("the record has no header ce_type")
    long = [name for name, text in attributes.items() if len(text) > ATTRIBUTE_CHARACTERS_MAX]
    if long:
        raise Unreadable(f"longer than {ATTRIBUTE_CHARACTERS_MAX} characters: {', '.join(long)[:200]}")
    identity = attributes.get("id") or f"{record.topic}/{record.partition}/{record.offset}"
    return Heard(
        type=wire_type,
        id=identity,
        saga_id=saga_id,
        source=attributes.get("source", ""),
        body=body,
        correlation=attributes.get("correlationid") or saga_id,
        causation=attributes.get("causationid", ""),
        tenant=attributes.get("tenant") or tenant,
        traceparent=attributes.get("traceparent") or traceparent_of(saga_id, identity),
    )


def key_of(record: Record) -> str:
    """The saga id, which is the record's key; `Unreadable` where it is missing or no text."""
    if not record.key:
        raise Unreadable("the record has no key; the key is the saga id")
    try:
        key = record.key.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("the key is not UTF-8") from error
    if len(key) > KEY_CHARACTERS_MAX or not key.isprintable() or key != key.strip():
        raise Unreadable(f"the key must be 1 to {KEY_CHARACTERS_MAX} printable characters, without space around")
    return key


def type_of(headers: Headers) -> str:
    """The wire type a record names in its headers, or nothing, as in structured mode; for a look before decoding."""
    if any(name.lower() == "content-type" and (value or b"").startswith(STRUCTURED) for name, value in headers):
        return ""
    for name, value in reversed(headers):
        if name.lower() == "ce_type":
            return (value or b"").decode(errors="replace")
    return ""


def _bounded(record: Record) -> dict[str, bytes]:
    """The headers by name in small letters; what is compressed on the wire may be huge here."""
    found = {name.lower(): value or b"" for name, value in record.headers}
    if sum(len(name) + len(value) for name, value in found.items()) > HEADER_BYTES_MAX:
        raise Unreadable(f"the headers have more than {HEADER_BYTES_MAX} bytes")
    return found


def _attributes(found: dict[str, bytes]) -> dict[str, str]:
    try:
        attributes = {name[3:]: value.decode() for name, value in found.items() if name.startswith("ce_") and value}
        return attributes | ({"traceparent": found["traceparent"].decode()} if found.get("traceparent") else {})
    except UnicodeDecodeError as error:
        raise Unreadable("a header is not UTF-8") from error


def _unwrap(value: bytes) -> tuple[bytes, dict[str, str]]:
    try:
        envelope = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
        body = bytes(envelope.pop("data", msgspec.Raw(b"")))
        attributes = {name: msgspec.json.decode(raw) for name, raw in envelope.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"the envelope is no CloudEvent: {error}") from error
    if not body:
        raise Unreadable("the envelope has no data")
    return body, {name: text for name, text in attributes.items() if isinstance(text, str)}


def body_of(heard: Heard) -> dict[str, Any]:
    """The body as a JSON object with the saga id in it; `Unreadable` where it is none, or names another saga."""
    try:
        body = msgspec.json.decode(heard.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unreadable(f"the value is not JSON: {error}") from error
    except RecursionError as error:
        raise Unreadable("the value is nested too deeply") from error
    if not isinstance(body, dict):
        raise Unreadable("the value is not a JSON object")
    if body.setdefault("saga_id", heard.saga_id) != heard.saga_id:
        raise Unreadable("saga_id in the value is not the record's key")
    return body


def headers_for(
    *,
    wire_type: str,
    message_id: str,
    source: str,
    saga_id: str,
    at: float,
    correlation: str = "",
    causation: str = "",
    tenant: str = "",
    traceparent: str = "",
    attempt: int | None = None,
    started_at: float | None = None,
) -> Headers:
    """The headers of a record in binary mode; times are seconds since the epoch."""
    named = {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": message_id,
        "ce_source": source,
        "ce_type": wire_type,
        "ce_time": iso_time(at),
        "ce_subject": saga_id,
        "ce_correlationid": correlation,
        "ce_causationid": causation,
        "ce_tenant": tenant,
        "traceparent": traceparent,
    }
    if attempt is not None:
        named["ce_round"], named["ce_attempt"] = "1", str(attempt)
        named["ce_startedat"] = iso_time(at if started_at is None else started_at)
    return tuple((name, value.encode()) for name, value in named.items() if value)


def iso_time(seconds: float) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def traceparent_of(saga_id: str, message_id: str, parent: str = "") -> str:
    """A W3C traceparent for this message: in the parent's trace, or in one that follows from the saga's id."""
    trace_id = parent.split("-")[1] if parent.count("-") == 3 else _hexadecimal(saga_id, 16)
    return f"00-{trace_id}-{_hexadecimal(message_id, 8)}-01"


def _hexadecimal(text: str, size_bytes: int) -> str:
    return blake2b(text.encode(), digest_size=size_bytes).hexdigest()
