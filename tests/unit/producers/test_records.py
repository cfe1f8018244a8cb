"""The partition a key belongs to."""

import pytest

from producers.records import partition_of

# From Apache Kafka's own Utils.murmur2 tests (clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java).
MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("key", MURMUR2)
@pytest.mark.parametrize("partitions", [1, 4, 12, 1_000])
def test_a_key_is_where_javas_default_partitioner_puts_it(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (MURMUR2[key] & 0x7FFFFFFF) % partitions


def test_keys_are_spread_over_all_partitions() -> None:
    assert {partition_of(f"c-{number}".encode(), 12) for number in range(500)} == set(range(12))
