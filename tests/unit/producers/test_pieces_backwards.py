"""A log is read from its end in pieces: every offset once, the last ones first."""

from hypothesis import given
from hypothesis import strategies as st

from producers.client import pieces_backwards


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 5_000))
def test_the_pieces_cover_the_log_once_from_its_end(begin: int, records: int, size: int) -> None:
    pieces = list(pieces_backwards(begin, begin + records, size))
    edges = [begin + records] + [start for start, _ in pieces]
    assert [end for _, end in pieces] == edges[:-1] and edges[-1] == begin
    lengths = [end - start for start, end in pieces]
    assert lengths[:-1] == sorted(lengths[:-1]) and all(lengths)
    assert len(pieces) < 15, "a long log takes few more pieces than a short one"
