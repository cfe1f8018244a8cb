"""PURE: from a record to an entry of the log, with as little work as a record of ours needs.

Which records count is decided by `producers.headers` and the event's class alone: the short ways taken here accept
nothing that they would not, and whatever does not look like ours takes the long way.
"""

from datetime import UTC, datetime

import msgspec

from consumers.runtime.intake import validated
from consumers.tracker.meanings import Meaning, Meanings
from producers.errors import Unreadable
from producers.headers import HEARD_BYTES_MAX, Heard, read
from producers.records import Record
from schemas.message import Event

YEAR_3000_SECONDS = 32_503_680_000
# What no attribute may exceed on its own; together they rarely do.
PLAIN_HEADER_BYTES_MAX = 1_200
PLAIN_HEADERS_MAX = 24
ATTEMPT_DIGITS_MAX = 6


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One event of the log, its body not looked into yet; `attributes` are its other headers, by name."""

    meaning: Meaning
    saga_id: str
    id: str
    source: str
    causation: str
    body: bytes
    attributes: dict[str, bytes]

    def text(self, name: str) -> str:
        """One of the other headers, or nothing."""
        return self.attributes.get(name, b"").decode(errors="replace")

    def seconds(self, name: str, otherwise: float) -> float:
        """The header as a moment, in seconds since the epoch, if it is a sensible one."""
        value = self.attributes.get(name)
        try:
            moment = datetime.fromisoformat(value.decode()) if value else None
            if moment is None:
                return otherwise
            # Without a zone it would mean another moment on every machine.
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError, OSError):
            return otherwise
        return seconds if 0 <= seconds < YEAR_3000_SECONDS else otherwise

    def attempt(self) -> int:
        """Which attempt of the step said it."""
        value = self.attributes.get("ce_attempt", b"")
        return int(value) if value.isdigit() and len(value) <= ATTEMPT_DIGITS_MAX else 1


class Reader:
    """Reads the events of one saga kind."""

    def __init__(self, meanings: Meanings) -> None:
        self._by_type = meanings.by_type
        self._by_header = {name.encode(): meaning for name, meaning in meanings.by_type.items()}

    def entry(self, record: Record) -> Entry | None:
        """What the record says, or None where nobody would hear it or it changes no status."""
        found = dict(record.headers)
        meaning = self._by_header.get(found.get("ce_type", b""))
        if meaning is None or meaning.opens or not _is_plain(record, found):
            return self._the_long_way(record)
        assert record.key is not None and record.value is not None
        identity = found.get("ce_id") or f"{record.topic}/{record.partition}/{record.offset}".encode()
        source, causation = found.get("ce_source", b"").decode(), found.get("ce_causationid", b"").decode()
        # A key that is no saga id is none that was ever opened.
        saga_id = record.key.decode(errors="replace")
        return Entry(meaning, saga_id, identity.decode(), source, causation, record.value, found)

    def _the_long_way(self, record: Record) -> Entry | None:
        try:
            heard = read(record, "")
        except Unreadable:
            return None
        meaning = self._by_type.get(heard.type)
        if meaning is None:
            return None
        found = {name.lower(): value or b"" for name, value in record.headers}
        found["traceparent"], found["ce_tenant"] = heard.traceparent.encode(), heard.tenant.encode()
        return Entry(meaning, heard.saga_id, heard.id, heard.source, heard.causation, heard.body, found)

    def event(self, entry: Entry) -> Event | None:
        """The event in the entry's body, or None where it is none of its class or speaks of another saga."""
        if len(entry.body) > HEARD_BYTES_MAX:
            return None
        heard = Heard(entry.meaning.wire_type, entry.id, entry.saga_id, entry.source, entry.body, "", "", "", "")
        try:
            message, _ = validated(entry.meaning.kind, heard)
        except Unreadable:
            return None
        assert isinstance(message, Event)
        return message


def _is_plain(record: Record, found: dict[str, bytes]) -> bool:
    """Whether `read` could find nothing to object to, and the headers' names are as they should be."""
    if not record.key or record.value is None or len(found) > PLAIN_HEADERS_MAX:
        return False
    if found.get("content-type") != b"application/json" or None in found.values():
        return False
    values = b"".join(found.values())
    return len(values) <= PLAIN_HEADER_BYTES_MAX and values.isascii() and "".join(found).islower()
