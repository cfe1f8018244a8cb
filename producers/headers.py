"""CloudEvents 1.0 on Kafka: binary mode written, binary and structured mode read, and less than either understood.

Source: CloudEvents Kafka protocol binding 1.0.2, sections 3.2 and 3.3. A publisher needs only a key, `ce_type` and a
JSON object; a record without an id is identified by its position.
"""

from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from typing import Any

import msgspec

from producers.errors import Unreadable
from producers.records import Headers, Record
from producers.skipped_batches import skipped_in

NOOP_TYPE = "soma.noop"
JSON_CONTENT = b"application/json"
STRUCTURED = b"application/cloudevents+json"
COMMAND_BYTES_MAX = 256 * 1024
# Ours are the longest: the failure of an item is caused by `<step>/<message id>/<attempt>`.
ATTRIBUTE_CHARACTERS_MAX = 1_200
ID_CHARACTERS_MAX = 500
# Nobody of ours says more than half a megabyte; what others put among the events must not swell a journal.
HEARD_BYTES_MAX = 640 * 1024
HEADER_BYTES_MAX = 64 * 1024
KEY_CHARACTERS_MAX = 200


# Nearly every event that a participant emits has these, in this order: see `headers_for`.
EVENT_NAMES = (
    "content-type",
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_time",
    "ce_subject",
    "ce_correlationid",
    "ce_causationid",
    "ce_tenant",
    "traceparent",
    "ce_round",
    "ce_attempt",
    "ce_startedat",
)
# As our own producers write them: a record that has these names only needs no closer look.
PLAIN_NAMES = frozenset({*EVENT_NAMES, "ce_causationkey", "ce_forwardedfrom"})
SPAN_CHARACTERS = 16
TYPE_PLACE = EVENT_NAMES.index("ce_type")
_name, _value = itemgetter(0), itemgetter(1)


class Heard(msgspec.Struct, frozen=True, gc=False):
    """A record that has a key, a type and a body; the body is not looked into yet.

    `cause` is the key of the command that caused it, where that is more than the id in `causation`.
    """

    type: str
    id: str
    saga_id: str
    source: str
    body: bytes
    correlation: str
    causation: str
    tenant: str
    traceparent: str
    cause: str = ""


def read(record: Record, tenant: str) -> Heard:
    """What the record says, or `Unreadable` with the reason. `tenant` stands in where the record names none."""
    saga_id = key_of(record)
    if record.value is None:
        raise Unreadable("the record has no value; a command or event is a JSON object")
    if _are_of_event(record.headers):
        heard = _read_event(record, saga_id, record.value)
        if heard is not None:
            return heard
    found = plain(record.headers)
    if found is not None:
        return _read_plain(record, found, saga_id, record.value, tenant)
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
        cause=attributes.get("causationkey", ""),
    )


def _are_of_event(headers: Headers) -> bool:
    return len(headers) == len(EVENT_NAMES) and tuple(map(_name, headers)) == EVENT_NAMES


def _read_event(record: Record, saga_id: str, body: bytes) -> Heard | None:
    """What `_read_plain` returns, for headers that are named and ordered as those of an event; None: look closer."""
    values = tuple(map(_value, record.headers))
    if not all(values) or values[0] != JSON_CONTENT or sum(map(len, values)) > ATTRIBUTE_CHARACTERS_MAX:
        return None
    _, _, identity, source, wire_type, _, _, correlation, causation, tenant, traceparent, _, _, _ = values
    try:
        return Heard(
            wire_type.decode(),
            identity.decode(),
            saga_id,
            source.decode(),
            body,
            correlation.decode(),
            causation.decode(),
            tenant.decode(),
            traceparent.decode(),
        )
    except UnicodeDecodeError as error:
        raise Unreadable("a header is not UTF-8") from error


def plain(headers: Headers) -> dict[str, bytes] | None:
    """The headers by name where they are those of a record in binary mode and small, or None: look closer then."""
    found = dict(headers)
    if not found.keys() <= PLAIN_NAMES or not found.get("ce_type") or None in found.values():
        return None
    if found.get("content-type", b"").startswith(STRUCTURED):
        return None
    # All of them together are shorter than what each may be.
    return found if sum(map(len, found.values())) <= ATTRIBUTE_CHARACTERS_MAX else None


def _read_plain(record: Record, found: dict[str, bytes], saga_id: str, body: bytes, tenant: str) -> Heard:
    get = found.get
    try:
        identity = get("ce_id", b"").decode() or f"{record.topic}/{record.partition}/{record.offset}"
        return Heard(
            found["ce_type"].decode(),
            identity,
            saga_id,
            get("ce_source", b"").decode(),
            body,
            get("ce_correlationid", b"").decode() or saga_id,
            get("ce_causationid", b"").decode(),
            get("ce_tenant", b"").decode() or tenant,
            get("traceparent", b"").decode() or traceparent_of(saga_id, identity),
            get("ce_causationkey", b"").decode(),
        )
    except UnicodeDecodeError as error:
        raise Unreadable("a header is not UTF-8") from error


def key_of(record: Record) -> str:
    """The saga id, which is the record's key; `Unreadable` where it is missing or no text."""
    if not record.key:
        skipped = skipped_in(record.value)
        raise Unreadable(str(skipped) if skipped else "the record has no key; the key is the saga id")
    try:
        key = record.key.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("the key is not UTF-8") from error
    if len(key) > KEY_CHARACTERS_MAX or not key.isprintable() or key != key.strip():
        raise Unreadable(f"the key must be 1 to {KEY_CHARACTERS_MAX} printable characters, without space around")
    return key


def type_in_place(headers: Headers) -> bytes | None:
    """The wire type where our own producers put it, or None: look closer then. Costs next to nothing."""
    if len(headers) > TYPE_PLACE and headers[TYPE_PLACE][0] == "ce_type" and headers[0][1] == JSON_CONTENT:
        return headers[TYPE_PLACE][1]
    return None


def is_each_once(headers: Headers) -> bool:
    """Whether these are headers of ours, each of them once; one that is repeated could name another type."""
    if _are_of_event(headers):
        return True
    found = dict(headers)
    return len(found) == len(headers) and found.keys() <= PLAIN_NAMES


def type_of(headers: Headers) -> str:
    """The wire type a record names in its headers, or nothing, as in structured mode; for a look before decoding."""
    in_place = type_in_place(headers)
    if in_place is not None and is_each_once(headers):
        return in_place.decode(errors="replace")
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
    cause: str = "",
    tenant: str = "",
    traceparent: str = "",
    attempt: int | None = None,
    started_at: float | None = None,
) -> Headers:
    """The headers of a record in binary mode; times are seconds since the epoch."""
    time = iso_time(at).encode()
    named: tuple[tuple[str, bytes], ...] = (
        ("content-type", JSON_CONTENT),
        ("ce_specversion", b"1.0"),
        ("ce_id", message_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", wire_type.encode()),
        ("ce_time", time),
        ("ce_subject", saga_id.encode()),
        ("ce_correlationid", correlation.encode()),
        ("ce_causationid", causation.encode()),
        ("ce_tenant", tenant.encode()),
        ("traceparent", traceparent.encode()),
    )
    if attempt is not None:
        began = time if started_at is None else iso_time(started_at).encode()
        named += (("ce_round", b"1"), ("ce_attempt", b"%d" % attempt), ("ce_startedat", began))
    if cause:
        named += (("ce_causationkey", cause.encode()),)
    if message_id and source and saga_id and correlation and causation and tenant and traceparent:
        return named
    return tuple(header for header in named if header[1])


def iso_time(seconds: float) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    return _iso_milliseconds(round(seconds * 1_000_000) // 1_000)


@lru_cache(maxsize=4_096)
def _iso_milliseconds(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds // 1_000, UTC).replace(microsecond=milliseconds % 1_000 * 1_000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def traceparent_of(saga_id: str, message_id: str, parent: str = "", span_id: str = "") -> str:
    """A W3C traceparent for this message: in the parent's trace, or in one that follows from the saga's id."""
    parts = parent.split("-")
    trace_id = parts[1] if len(parts) == 4 else _hexadecimal(saga_id, 16)
    return f"00-{trace_id}-{span_id or _hexadecimal(message_id, SPAN_CHARACTERS // 2)}-01"


def _hexadecimal(text: str, size_bytes: int) -> str:
    return blake2b(text.encode(), digest_size=size_bytes).hexdigest()
