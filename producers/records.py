"""Kafka records without Kafka: what comes in and what goes out, and the partition a key belongs to."""

from functools import lru_cache
from typing import NamedTuple

from aiokafka.partitioner import murmur2

Headers = tuple[tuple[str, bytes], ...]


class Record(NamedTuple):
    """A record as it was read; `at` is the broker's timestamp in seconds."""

    topic: str
    partition: int
    offset: int
    at: float
    key: bytes | None
    value: bytes | None
    headers: Headers


class Outgoing(NamedTuple):
    """A record to be written."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition Kafka's default partitioner gives the key (murmur2, as in the Java client)."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
