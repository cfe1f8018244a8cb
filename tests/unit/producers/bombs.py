"""Batches as Kafka stores them, compressed by any library and with any declared size; their checksums are right."""

import struct
import zlib
from collections.abc import Callable

import cramjam
import lz4.frame
import zstandard
from aiokafka.record.default_records import DefaultRecordBase, DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from producers.unpacking import XERIAL_MAGIC

MIB = 1024 * 1024
Compress = Callable[[bytes], bytes]
HEADER = DefaultRecordBase.HEADER_STRUCT


def gzip(data: bytes) -> bytes:
    compressor = zlib.compressobj(level=1, wbits=31)
    return compressor.compress(data) + compressor.flush()


def snappy(data: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(data))


def xerial(data: bytes) -> bytes:
    """Blocks of snappy, as the Java client writes them."""
    blocks = [snappy(data[place : place + 32 * 1024]) for place in range(0, len(data), 32 * 1024)]
    header = XERIAL_MAGIC + struct.pack(">ii", 1, 1)
    return header + b"".join(struct.pack(">i", len(block)) + block for block in blocks)


def lz4_sized(data: bytes) -> bytes:
    return bytes(lz4.frame.compress(data, store_size=True))


def lz4_unsized(data: bytes) -> bytes:
    return bytes(lz4.frame.compress(data, store_size=False))


def zstd_sized(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=True).compress(data)


def zstd_unsized(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(data)


# By the name in the tests: the codec's number in a batch, and who compresses.
WAYS: dict[str, tuple[int, str, Compress]] = {
    "gzip": (1, "gzip", gzip),
    "snappy raw": (2, "snappy", snappy),
    "snappy xerial": (2, "snappy", xerial),
    "lz4 with its size": (3, "lz4", lz4_sized),
    "lz4 without": (3, "lz4", lz4_unsized),
    "zstd with its size": (4, "zstd", zstd_sized),
    "zstd without": (4, "zstd", zstd_unsized),
}


def zstd_declaring(data: bytes, size: int) -> bytes:
    """One frame whose header declares this size (RFC 8878, 3.1.1.1); the window stays what it was."""
    frame = bytearray(zstd_unsized(data))
    assert frame[4] >> 5 == 0, "no size yet, and a window descriptor"
    frame[4] |= 0b11 << 6
    return bytes(frame[:6]) + struct.pack("<Q", size) + bytes(frame[6:])


def lz4_declaring(data: bytes, size: int) -> bytes:
    """One frame whose header declares this size, with the right checksum of the header."""
    frame = bytearray(lz4_sized(data))
    frame[6:14] = struct.pack("<Q", size)
    frame[14] = _xxh32(bytes(frame[4:14])) >> 8 & 0xFF
    return bytes(frame)


def snappy_declaring(data: bytes, size: int) -> bytes:
    """Raw snappy that begins with another size."""
    block, place = snappy(data), 0
    while block[place] >= 0x80:
        place += 1
    return _varint(size) + block[place + 1 :]


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(found) + bytes([number])


def _xxh32(text: bytes) -> int:
    """xxHash of fewer than 16 bytes, seed 0."""
    assert len(text) < 16
    mask, hashed, place = 0xFFFFFFFF, 374761393 + len(text), 0
    while place + 4 <= len(text):
        hashed = hashed + int.from_bytes(text[place : place + 4], "little") * 3266489917 & mask
        hashed = (hashed << 17 | hashed >> 15) * 668265263 & mask
        place += 4
    for byte in text[place:]:
        hashed = hashed + byte * 374761393 & mask
        hashed = (hashed << 11 | hashed >> 21 & 0x7FF) * 2654435761 & mask
    hashed = (hashed ^ hashed >> 15) * 2246822519 & mask
    hashed = (hashed ^ hashed >> 13) * 3266489917 & mask
    return hashed ^ hashed >> 16


def plain(first: int, *values: bytes, producer_id: int = -1, header: str = "ce_type") -> bytes:
    """A batch that is not compressed, one record for each value."""
    builder = DefaultRecordBatchBuilder(2, 0, int(producer_id >= 0), producer_id, 0, 0, batch_size=1 << 30)
    for offset, value in enumerate(values):
        builder.append(offset, 1_000 + offset, b"k", value, [(header, b"v")])
    built = builder.build()
    built[0:8] = first.to_bytes(8, "big")
    return bytes(built)


def packed(batch: bytes, codec: int, compress: Compress) -> bytes:
    """The same batch with its records compressed."""
    made = bytearray(batch[: HEADER.size]) + compress(batch[HEADER.size :])
    made[DefaultRecordBase.ATTRIBUTES_OFFSET + 1] |= codec
    struct.pack_into(">i", made, 8, len(made) - 12)
    return sealed(made)


def sealed(batch: bytes | bytearray) -> bytes:
    """The batch with the checksum of what it holds now."""
    made = bytearray(batch)
    struct.pack_into(">I", made, 17, calc_crc32c(bytes(made[DefaultRecordBase.ATTRIBUTES_OFFSET :])))
    return bytes(made)
