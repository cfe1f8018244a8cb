"""What the embedded store makes of compressed request bodies, whole, cut off and far too large."""

import gzip
import tracemalloc
import zlib

import lz4.frame
import pytest
import zstandard

from deploy.local.store import bodies
from deploy.local.store.answers import Refused
from deploy.local.store.bodies import decompressed

MEBIBYTE = 1 << 20
COMPRESS = {
    "lz4": lz4.frame.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "gzip": lambda plain: gzip.compress(plain, compresslevel=1),
    "deflate": lambda plain: zlib.compress(plain, level=1),
}
ENCODINGS = pytest.mark.parametrize("encoding", COMPRESS)


@ENCODINGS
def test_every_frame_is_read_wherever_it_ends(encoding: str) -> None:
    plain = [bytes([number]) * size for number, size in enumerate((1, 5, bodies.FED_BYTES, 300_000, 0, 7))]
    body = b"".join(COMPRESS[encoding](piece) for piece in plain)

    assert decompressed(body, encoding) == b"".join(plain)


@ENCODINGS
@pytest.mark.parametrize("missing", [1, 5])
def test_a_body_that_ends_inside_a_frame_is_refused(encoding: str, missing: int) -> None:
    body = COMPRESS[encoding](b"first") + COMPRESS[encoding](b"second")

    with pytest.raises(Refused, match="ends inside"):
        decompressed(body[:-missing], encoding)


@ENCODINGS
def test_a_bomb_is_refused_before_it_is_unpacked(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = COMPRESS[encoding](bytes(160 * MEBIBYTE))
    monkeypatch.setattr(bodies, "LARGEST_BODY_BYTES", MEBIBYTE)

    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="more than 1 GiB"):
            decompressed(body, encoding)
        assert tracemalloc.get_traced_memory()[1] < 80 * MEBIBYTE
    finally:
        tracemalloc.stop()
