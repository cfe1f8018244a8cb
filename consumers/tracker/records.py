"""PURE: the tracker's state records: each begins with a byte that is its version, and has the rest as MessagePack.

Until version 1 the byte was missing; the rest was the same. The marker of a saga that has ended has one layout in every
version: a build that cannot decode a newer record must still know which sagas have ended.
"""

import msgspec

from consumers.tracker.tracked import Tracked

VERSION = 1
UNREAD_VERSION = 0x7F
# MessagePack begins no array and no floating-point number with a byte below this.
FORMER = 0x80
FLOAT = 0xCB
MARKER_BYTES = 9

_decode = msgspec.msgpack.Decoder(Tracked).decode
_decode_marker = msgspec.msgpack.Decoder(float).decode
_encode = msgspec.msgpack.Encoder().encode


class Undecodable(ValueError):
    """This build cannot decode the record; says why."""


class Heard(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One record of the log, as it was heard while the saga's own record could not be decoded."""

    offset: int
    at: float
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Unread(msgspec.Struct, array_like=True, gc=False):
    """A state record that could not be decoded, byte for byte, and what was heard since; `missed` had no room."""

    raw: bytes
    heard: list[Heard] = msgspec.field(default_factory=list)
    missed: int = 0


def closed_marker(at: float) -> bytes:
    """The record of a saga that has ended."""
    return versioned(_encode(at))


def versioned(encoded: bytes) -> bytes:
    """The record with its version."""
    return bytes((VERSION,)) + encoded


def unread_record(unread: Unread) -> bytes:
    """The record that keeps what could not be decoded."""
    return bytes((UNREAD_VERSION,)) + _encode(unread)


def decoded(record: bytes) -> Tracked | float:
    """The saga in the record, or when it ended. Raises `Undecodable` where this build cannot tell."""
    version = record[0] if record and record[0] < FORMER else 0
    rest = record[1:] if version else record
    is_marker = len(rest) == MARKER_BYTES and rest[0] == FLOAT
    if version not in (0, VERSION) and not is_marker:
        raise Undecodable(f"it has version {version}, and this build reads up to version {VERSION}")
    try:
        found: Tracked | float = _decode_marker(rest) if is_marker else _decode(rest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Undecodable(str(error)) from error
    return found


def unread_of(record: bytes) -> Unread:
    """What is kept of a record that cannot be decoded."""
    if record[:1] == bytes((UNREAD_VERSION,)):
        try:
            return msgspec.msgpack.decode(record[1:], type=Unread)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
    return Unread(record)
