"""PURE: what a compressed batch unpacks to, within a bound that is held while it is unpacked.

A size that the batch declares is never believed: each format is unpacked in pieces, and unpacking stops at the first
piece beyond the bound. Snappy alone has no pieces; its decoder writes no more than was declared, so that is compared
with the bound first. aiokafka unpacks whatever a batch expands to: 10 kB of zstd make 600 MB.
"""

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import cramjam
import lz4.frame
import zstandard

PIECE_BYTES = 1024 * 1024
# How many bytes a 32-bit number has at most, seven bits in each.
VARINT_BYTES_MAX = 5
XERIAL_MAGIC = b"\x82SNAPPY\x00"
XERIAL_HEADER_BYTES = 16
# What the decoders raise for bytes that are not of their format.
BROKEN = (OSError, EOFError, RuntimeError, ValueError, struct.error, zlib.error, zstandard.ZstdError)


class NotUnpacked(Exception):
    """The bytes cannot be unpacked; the text says why."""


class TooLarge(NotUnpacked):
    """They unpack to more than the bound."""


class Pieces(Protocol):
    """A file of unpacked bytes; empty at its end."""

    def read(self, size: int, /) -> bytes: ...


def unpacked(codec: str, packed: memoryview, bytes_max: int, start: bytes = b"") -> bytearray:
    """All that the bytes unpack to, behind `start`. The bound counts what is unpacked only.

    Raises:
        TooLarge: it is more than `bytes_max`; no more than one piece above that was unpacked.
        NotUnpacked: the codec is unknown, or the bytes are not of its format.
    """
    unpack = UNPACK.get(codec)
    if unpack is None:
        raise NotUnpacked(f"no consumer knows the codec {codec}")
    found = bytearray(start)
    try:
        for piece in unpack(packed, bytes_max):
            found += piece
            if len(found) - len(start) > bytes_max:
                raise TooLarge(f"it unpacks to more than {bytes_max} bytes")
    except BROKEN as error:
        raise NotUnpacked(f"it is no {codec}, or cut off: {str(error)[:200] or type(error).__name__}") from error
    return found


def _read_all(pieces: Pieces) -> Iterator[bytes]:
    return iter(lambda: pieces.read(PIECE_BYTES), b"")


def _gzip(packed: memoryview, bytes_max: int) -> Iterator[bytes]:
    return _read_all(gzip.GzipFile(fileobj=io.BytesIO(packed), mode="rb"))


def _lz4(packed: memoryview, bytes_max: int) -> Iterator[bytes]:
    return _read_all(lz4.frame.LZ4FrameFile(io.BytesIO(packed), mode="rb"))


def _zstd(packed: memoryview, bytes_max: int) -> Iterator[bytes]:
    return _read_all(zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True))


def _snappy(packed: memoryview, bytes_max: int) -> Iterator[bytes]:
    """Raw snappy, or blocks of it with their lengths, as the Java client writes them (xerial)."""
    if packed[: len(XERIAL_MAGIC)] != XERIAL_MAGIC:
        yield _block(packed, bytes_max)
        return
    place, room = XERIAL_HEADER_BYTES, bytes_max
    while place < len(packed):
        (size,) = struct.unpack_from(">i", packed, place)
        begin, place = place + 4, place + 4 + size
        block = _block(packed[begin:place], room)
        room -= len(block)
        yield block


def _block(packed: memoryview, bytes_max: int) -> bytes:
    declared = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(_varint(packed)))
    if declared > bytes_max:
        raise TooLarge(f"it declares to unpack to {declared} bytes more, and {bytes_max} are left")
    try:
        return bytes(cramjam.snappy.decompress_raw(packed))
    except cramjam.DecompressionError as error:
        raise ValueError(error) from error


def _varint(packed: memoryview) -> Iterator[int]:
    for byte in packed[:VARINT_BYTES_MAX]:
        yield byte
        if byte < 0x80:
            return


UNPACK: dict[str, Callable[[memoryview, int], Iterator[bytes]]] = {
    "gzip": _gzip,
    "snappy": _snappy,
    "lz4": _lz4,
    "zstd": _zstd,
}
