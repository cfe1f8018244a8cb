"""Request bodies: undoing Content-Encoding, frame after frame.

clickhouse-connect sends one lz4 or zstd frame per block, one behind the other: whoever stops after the first frame
loses rows in silence. Here a body is read to its last byte, and one that ends inside a frame is refused.
"""

import zlib
from collections.abc import Callable
from typing import Protocol

import lz4.frame
import zstandard

from .answers import Refused

CANNOT_DECOMPRESS = 271
NOT_IMPLEMENTED = 48
LARGEST_BODY_BYTES = 1 << 30
# Fed to a decompressor at once. Zstandard makes at most 128 KiB of four bytes, so this makes at most 32 MiB.
FED_BYTES = 1024


class Decompressor(Protocol):
    """One frame's decompressor, as lz4, zstandard and zlib have it."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, chunk: bytes, /) -> bytes: ...


DECOMPRESSORS: dict[str, Callable[[], Decompressor]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "deflate": zlib.decompressobj,
}


def decompressed(body: bytes, encoding: str | None) -> bytes:
    """The body without its Content-Encoding.

    Raises:
        Refused: for an unknown encoding, a broken or cut-off frame, or more than a GiB of rows.
    """
    if not body or not encoding or encoding == "identity":
        return body
    new_decompressor = DECOMPRESSORS.get(encoding.lower())
    if new_decompressor is None:
        raise Refused(NOT_IMPLEMENTED, f"Content-Encoding {encoding!r} is not supported", "NOT_IMPLEMENTED")
    pieces, size = [], 0
    frame: Decompressor | None = None
    rest = memoryview(body)
    while rest:
        frame, fed, rest = frame or new_decompressor(), rest[:FED_BYTES], rest[FED_BYTES:]
        try:
            pieces.append(frame.decompress(bytes(fed)))
        except (RuntimeError, zstandard.ZstdError, zlib.error) as broken:
            raise Refused(CANNOT_DECOMPRESS, f"Broken {encoding} frame: {broken}", "CANNOT_DECOMPRESS") from broken
        size += len(pieces[-1])
        if size > LARGEST_BODY_BYTES:
            raise Refused(CANNOT_DECOMPRESS, "The body holds more than 1 GiB of rows", "CANNOT_DECOMPRESS")
        if frame.eof:
            rest = memoryview(body)[len(body) - len(rest) - len(frame.unused_data or b"") :]
            frame = None
    if frame is not None:
        raise Refused(CANNOT_DECOMPRESS, f"The body ends inside a {encoding} frame", "CANNOT_DECOMPRESS")
    return b"".join(pieces)
