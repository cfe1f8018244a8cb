"""Whatever is compressed, and whatever it declares, no more is unpacked than the bound and a piece."""

import struct
import tracemalloc

import pytest

from producers.unpacking import PIECE_BYTES, NotUnpacked, TooLarge, unpacked
from tests.unit.producers.bombs import (
    MIB,
    WAYS,
    Compress,
    gzip,
    lz4_declaring,
    lz4_unsized,
    snappy,
    snappy_declaring,
    xerial,
    zstd_declaring,
    zstd_unsized,
)

BOUND = 4 * MIB
# The bound, a piece, and the room that a growing buffer keeps while it is copied; a bomb is sixteen times as large.
MEMORY_MAX = 3 * BOUND + 2 * PIECE_BYTES
ZEROS = bytes(192 * MIB)
SOME = bytes(range(256)) * 64

each_way = pytest.mark.parametrize("way", WAYS)


def peak_of(codec: str, bomb: bytes, expected: type[NotUnpacked]) -> int:
    """How much memory it takes to find out that this cannot be unpacked."""
    tracemalloc.start()
    try:
        with pytest.raises(expected):
            unpacked(codec, memoryview(bomb), BOUND)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@each_way
def test_what_is_within_the_bound_is_unpacked_behind_what_is_to_stand_before_it(way: str) -> None:
    _, codec, compress = WAYS[way]
    assert unpacked(codec, memoryview(compress(SOME)), len(SOME), b"before") == b"before" + SOME


@each_way
def test_one_byte_above_the_bound_is_too_large(way: str) -> None:
    _, codec, compress = WAYS[way]
    with pytest.raises(TooLarge):
        unpacked(codec, memoryview(compress(SOME)), len(SOME) - 1)


@each_way
def test_a_bomb_takes_no_more_memory_than_the_bound(way: str) -> None:
    _, codec, compress = WAYS[way]
    assert peak_of(codec, compress(ZEROS), TooLarge) < MEMORY_MAX


@pytest.mark.parametrize(
    ("codec", "compress"), [("gzip", gzip), ("lz4", lz4_unsized), ("zstd", zstd_unsized)], ids=["gzip", "lz4", "zstd"]
)
def test_many_small_frames_one_behind_the_other_are_one_bomb(codec: str, compress: Compress) -> None:
    assert unpacked(codec, memoryview(compress(SOME) * 2), BOUND) == SOME * 2
    assert peak_of(codec, compress(bytes(MIB)) * 192, TooLarge) < MEMORY_MAX


@pytest.mark.parametrize("size", [0, 1, 100, BOUND])
def test_a_bomb_that_declares_to_be_small_is_no_larger_in_memory(size: int) -> None:
    assert peak_of("zstd", zstd_declaring(ZEROS, size), NotUnpacked) < MEMORY_MAX
    assert peak_of("lz4", lz4_declaring(ZEROS, size), NotUnpacked) < MEMORY_MAX
    assert peak_of("snappy", snappy_declaring(ZEROS, size), NotUnpacked) < MEMORY_MAX


@pytest.mark.parametrize("size", [BOUND + 1, 3 << 30, (1 << 32) - 1])
def test_what_declares_to_be_huge_takes_no_memory_for_it(size: int) -> None:
    assert peak_of("zstd", zstd_declaring(SOME, size), NotUnpacked) < MEMORY_MAX
    assert peak_of("lz4", lz4_declaring(SOME, size), NotUnpacked) < MEMORY_MAX
    assert peak_of("snappy", snappy_declaring(SOME, size), TooLarge) < MEMORY_MAX


def test_the_declared_sizes_of_these_tests_are_well_formed() -> None:
    assert unpacked("zstd", memoryview(zstd_declaring(SOME, len(SOME))), BOUND) == SOME
    assert unpacked("lz4", memoryview(lz4_declaring(SOME, len(SOME))), BOUND) == SOME
    assert unpacked("snappy", memoryview(snappy_declaring(SOME, len(SOME))), BOUND) == SOME


def test_blocks_of_snappy_share_one_bound() -> None:
    header, half = xerial(b"")[:16], snappy(bytes(BOUND // 2 + 1))
    block = struct.pack(">i", len(half)) + half
    assert len(unpacked("snappy", memoryview(header + block), BOUND)) == BOUND // 2 + 1
    with pytest.raises(TooLarge, match=f"{BOUND // 2 + 1} bytes more, and {BOUND // 2 - 1} are left"):
        unpacked("snappy", memoryview(header + block * 2), BOUND)


@pytest.mark.parametrize("size", [-1, -4, 1 << 30], ids=["negative", "back to itself", "beyond the end"])
def test_a_block_of_snappy_with_a_wrong_length_is_told_of(size: int) -> None:
    with pytest.raises(NotUnpacked, match="it is no snappy"):
        unpacked("snappy", memoryview(xerial(b"")[:16] + struct.pack(">i", size) + b"abc"), BOUND)


@each_way
def test_bytes_of_no_format_are_told_of(way: str) -> None:
    _, codec, _ = WAYS[way]
    with pytest.raises(NotUnpacked, match=f"it is no {codec}"):
        unpacked(codec, memoryview(b"\x10\xff" * 40), BOUND)


def test_an_unknown_codec_is_told_of() -> None:
    with pytest.raises(NotUnpacked, match="no consumer knows the codec 7"):
        unpacked("7", memoryview(b"anything"), BOUND)
