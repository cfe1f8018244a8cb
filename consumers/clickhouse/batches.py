"""Records on their way into the table: gathered per partition, cut into batches. PURE: no I/O, the time is given.

A batch, once cut, never changes: it is sent again and again under the same token until the store says it has it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

COLUMNS = {
    "_topic": "String",
    "_partition": "UInt32",
    "_offset": "UInt64",
    "_timestamp": "Int64",
    "_key": "Nullable(String)",
    "header_names": "Array(String)",
    "header_values": "Array(String)",
    "value": "Nullable(String)",
    "_b0": "UInt64",
    "_b1": "UInt64",
    "_ingested_at": "DateTime('UTC')",
    "_owner": "String",
    "_log_id": "String",
    "_batch_rows": "UInt32",
}
RECORD_OVERHEAD_BYTES = 100


class KafkaRecord(Protocol):
    """A record as aiokafka gives it; `timestamp` in milliseconds."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str | bytes, bytes | None]]: ...


class StoredRecord(NamedTuple):
    """A record read back from the table."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str | bytes, bytes | None]]


@dataclass(frozen=True)
class Batch:
    """Records of one partition, in order, not empty; stored whole or not at all.

    It covers the offsets from `begins` (by default its first record's) to its last record's: offsets without a record,
    such as markers of transactions and what compaction removed, belong to the batch behind them. So the batches of a
    log follow each other without a hole. `log_id` names the log: a topic that was made again has the same offsets.
    """

    topic: str
    partition: int
    records: Sequence[KafkaRecord]
    ingested_at: datetime
    begins: int | None = None
    log_id: str = ""

    @property
    def first(self) -> int:
        """The first offset that it covers."""
        return self.records[0].offset if self.begins is None else self.begins

    @property
    def last(self) -> int:
        """The last record's offset."""
        return self.records[-1].offset

    @property
    def token(self) -> str:
        """What makes a repeated insert known as one: the batch's place in Kafka."""
        log = f"@{self.log_id}" if self.log_id else ""
        return f"{self.topic}:{self.partition}:{self.first}-{self.last}{log}"

    def columns(self, owner: str) -> list[list[Any]]:
        """The batch as `COLUMNS`, one list each; bytes stay bytes."""
        count = len(self.records)
        return [
            [self.topic] * count,
            [self.partition] * count,
            [record.offset for record in self.records],
            [record.timestamp for record in self.records],
            [record.key for record in self.records],
            [[as_bytes(name) for name, _ in record.headers] for record in self.records],
            [[value or b"" for _, value in record.headers] for record in self.records],
            [record.value for record in self.records],
            [self.first] * count,
            [self.last] * count,
            [self.ingested_at] * count,
            [owner] * count,
            [self.log_id] * count,
            [count] * count,
        ]


class Limits(NamedTuple):
    """When gathered records become a batch: whichever comes first."""

    rows: int = 50_000
    size_bytes: int = 32 * 1024 * 1024
    after_seconds: float = 2.0


class Gathering:
    """The records of one partition that are not in a batch yet."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.records: deque[KafkaRecord] = deque()
        self.size_bytes = 0
        self.oldest_since: float | None = None

    def add(self, record: KafkaRecord, now: float) -> None:
        """Append the next record."""
        self.records.append(record)
        self.size_bytes += size_of(record)
        if self.oldest_since is None:
            self.oldest_since = now

    @property
    def is_full(self) -> bool:
        """Whether a whole batch is there."""
        return len(self.records) >= self.limits.rows or self.size_bytes >= self.limits.size_bytes

    def is_due(self, now: float) -> bool:
        """Whether the records should be sent now."""
        waited_enough = self.oldest_since is not None and now - self.oldest_since >= self.limits.after_seconds
        return self.is_full or waited_enough

    def cut(self, now: float) -> list[KafkaRecord]:
        """Take the records of one batch out; at least one where there is any."""
        taken: list[KafkaRecord] = []
        taken_bytes = 0
        while self.records and len(taken) < self.limits.rows:
            taken_bytes += size_of(self.records[0])
            if taken and taken_bytes > self.limits.size_bytes:
                break
            taken.append(self.records.popleft())
            self.size_bytes -= size_of(taken[-1])
        self.oldest_since = now if self.records else None
        return taken

    def drop(self) -> None:
        """Forget everything: the partition is no longer ours."""
        self.records.clear()
        self.size_bytes = 0
        self.oldest_since = None


def size_of(record: KafkaRecord) -> int:
    """About how much memory the record takes."""
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers + RECORD_OVERHEAD_BYTES


def as_bytes(name: str | bytes) -> bytes:
    """A header's name as it was sent."""
    return name.encode() if isinstance(name, str) else name
