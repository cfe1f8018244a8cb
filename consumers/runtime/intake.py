"""PURE: what is checked before a record may enter a journal."""

import re
from typing import NamedTuple

from pydantic import ValidationError

from consumers.runtime.journal import Fact, Journal
from consumers.runtime.view import View
from producers.errors import Unreadable
from producers.headers import COMMAND_BYTES_MAX, HEARD_BYTES_MAX, ID_CHARACTERS_MAX, Heard, body_of, read
from producers.identity import command_key
from producers.records import Outgoing, Record, partition_of
from schemas.message import Message

# pydantic's reader takes these for numbers; JSON has no such words, and ClickHouse would not read them.
NOT_JSON = re.compile(rb"NaN|Infinity")


def validated(kind: type[Message], heard: Heard) -> tuple[Message, bytes]:
    """Return the message, and its body as journals keep it; `Unreadable` with all that is wrong with it.

    Participants and tracker decode a record here only, so that all of them see the same message in it. A body that
    names its saga is kept as it is; any other one is encoded from the message, with the saga's id in it.
    """
    if len(heard.id) > ID_CHARACTERS_MAX:
        raise Unreadable(f"the id is longer than {ID_CHARACTERS_MAX} characters")
    if NOT_JSON.search(heard.body) is None:
        try:
            message: Message = kind.__pydantic_validator__.validate_json(heard.body)
        except ValidationError:
            # What is wrong is found out below, where the saga's id may also be missing.
            pass
        else:
            if message.saga_id == heard.saga_id:
                return message, heard.body
    try:
        message = kind.model_validate(body_of(heard))
        return message, message.model_dump_json().encode()
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, one['loc'])) or 'value'}: {one['msg']}" for one in error.errors()]
        raise Unreadable(f"the value is no {heard.type}: {'; '.join(problems[:5])}") from error
    except (RecursionError, UnicodeError) as error:
        raise Unreadable(f"the value is no {heard.type}: {error}") from error


class Decoded(NamedTuple):
    """A record that may be applied: what it says, and as a journal keeps it."""

    heard: Heard
    message: Message
    fact: Fact


def event_in(view: View, record: Record, tenant: str) -> Decoded | None:
    """Decode an event; None where it changes nothing here. `Unreadable` for what is none."""
    heard = read(record, tenant)
    if heard.type not in view.kinds:
        raise Unreadable(f"nobody says {heard.type!r} in {record.topic}")
    if heard.type not in view.of_interest and not view.is_door:
        return None
    if len(heard.body) > HEARD_BYTES_MAX:
        raise Unreadable(f"too large: an event has at most {HEARD_BYTES_MAX} bytes, this one {len(heard.body)}")
    message, body = validated(view.kinds[heard.type], heard)
    return Decoded(heard, message, fact_of(heard, body, record.at)) if heard.type in view.of_interest else None


def command_in(view: View, record: Record, heard: Heard) -> Decoded:
    """Decode a command; `Unreadable` for what is none."""
    message, body = validated(known_command(view, heard), heard)
    key = command_key(heard.id, heard.source)
    identity = "" if key == heard.id else key
    fact = Fact(heard.type, heard.id, heard.source, body, record.at, heard.causation, identity)
    return Decoded(heard, message, fact)


def of_bearable_size(heard: Heard) -> None:
    """`Unreadable` for a command that is larger than allowed."""
    if len(heard.body) > COMMAND_BYTES_MAX:
        raise Unreadable(f"too large: a command has at most {COMMAND_BYTES_MAX} bytes, this one {len(heard.body)}")


def known_command(view: View, heard: Heard) -> type[Message]:
    """The command's class; `Unreadable` for a command of unknown type."""
    commands = view.graph.schema.commands()
    if heard.type not in commands:
        raise Unreadable(f"no such command: {heard.type!r}; there are {', '.join(sorted(commands))}")
    return commands[heard.type]


def misplaced(record: Record, heard: Heard, partitions: int) -> Outgoing | None:
    """The same command for the partition of its key, or None where it stands there already.

    Clients differ in their default partitioner (librdkafka: CRC32). The copy keeps the original's identity.
    """
    home = partition_of(heard.saga_id.encode(), partitions)
    if home == record.partition:
        return None
    said = {
        "content-type": "application/json",
        "ce_type": heard.type,
        "ce_id": heard.id,
        "ce_source": heard.source,
        "ce_correlationid": heard.correlation,
        "ce_causationid": heard.causation,
        "ce_tenant": heard.tenant,
        "traceparent": heard.traceparent,
        "ce_forwardedfrom": f"{record.topic}/{record.partition}",
    }
    headers = tuple((name, text.encode()) for name, text in said.items() if text)
    return Outgoing(record.topic, home, record.key, heard.body, headers)


def forwarded(record: Record, tenant: str, partitions: int) -> Outgoing:
    """Return the same event for the partition of its key; `Unreadable` where it names no saga.

    Its identity is kept: one that is known by its place alone gets that as its id.
    """
    heard = read(record, tenant)
    home = partition_of(heard.saga_id.encode(), partitions)
    headers = record.headers
    if not any(name.lower() == "ce_id" and value for name, value in headers):
        headers = (*headers, ("ce_id", heard.id.encode()))
    headers = (*headers, ("ce_forwardedfrom", f"{record.topic}/{record.partition}".encode()))
    return Outgoing(record.topic, home, record.key or heard.saga_id.encode(), record.value, headers)


def fact_of(heard: Heard, body: bytes, at: float) -> Fact:
    """The message as a journal keeps it."""
    return Fact(heard.type, heard.id, heard.source, body, at, heard.cause or heard.causation)


def journal_for(heard: Heard, flow: str = "") -> Journal:
    """An empty journal for the saga this message speaks of, carried with the flow of this fingerprint."""
    return Journal(heard.saga_id, heard.tenant, heard.correlation, heard.traceparent, flow=flow)
