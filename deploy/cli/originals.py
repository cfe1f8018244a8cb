"""The record that a dead letter tells of, as it stood, and as it is published again."""

import base64

from deploy.cli.outcomes import Outcome
from producers.client import Client
from producers.errors import Unreadable
from producers.headers import STRUCTURED, read
from producers.records import Record
from schemas.dead_letter import DeadLetter


async def original_of(client: Client, letter: DeadLetter) -> Record | None:
    """The record nobody could read: from where it stood, or from the letter, if that has the whole of it."""
    origin = letter.origin
    if origin is None:
        return None
    kept = await client.record_at(origin.topic, origin.partition, origin.offset)
    return kept if kept is not None else told_by(letter)


def told_by(letter: DeadLetter) -> Record | None:
    """The record as the letter has it, or None where it has only a part of it. PURE."""
    origin = letter.origin
    value = letter.value.encode() if letter.value is not None else None
    if letter.value_base64 is not None:
        try:
            value = base64.b64decode(letter.value_base64, validate=True)
        except ValueError:
            # Anybody may write a letter.
            return None
    if origin is None or len(value or b"") != letter.value_bytes:
        return None
    key = None if letter.saga_id is None else letter.saga_id.encode()
    headers = tuple((name, text.encode()) for name, text in letter.headers.items())
    return Record(origin.topic, origin.partition, origin.offset, letter.at.timestamp(), key, value, headers)


def source_of(record: Record) -> str | None:
    """The source that is the other half of a command's identity; None for a record that is no command. PURE."""
    try:
        return read(record, "").source
    except Unreadable:
        return None


def identity_of(record: Record) -> str | Outcome:
    """By which id the record is published again, so that it counts once however often it is; or why that cannot be.

    It is the id its publisher gave it, or its first place in Kafka. Raises `Unreadable` for an envelope that nobody
    can read now either. PURE.
    """
    # A header may have no value.
    found = {name.lower(): value or b"" for name, value in record.headers}
    place = f"{record.topic}/{record.partition}/{record.offset}"
    if found.get("content-type", b"").startswith(STRUCTURED):
        named = read(record, "").id
        if named == place:
            return Outcome("refused", "its envelope has no id: a second replay could not be told from the first")
        return named
    try:
        return found.get("ce_id", b"").decode() or place
    except UnicodeDecodeError:
        return Outcome("refused", "its id is not UTF-8: nobody can ever read it")
