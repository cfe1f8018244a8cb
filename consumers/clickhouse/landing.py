"""The store, as the sink sees it: insert a batch, and tell which batch of a partition came last."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from aiokafka import TopicPartition
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from .batches import COLUMNS, Batch, StoredRecord
from .errors import HalfStored, PartitionTaken

REFUSED_BY_VIEW = 395
# Only batches of the last hour before the newest one can have been cut off by a crash: every opening repairs its own.
REPAIRABLE = timedelta(hours=1)


class StoredBatch(NamedTuple):
    """The last batch of a partition that the table holds. `known` says whether its token is still remembered."""

    first: int
    last: int
    ingested_at: datetime
    known: bool


class Landing:
    """Everything here blocks; thread-safe.

    `window` is how many batches the tables remember the tokens of, `owner` names this sink's life.
    """

    def __init__(self, client: Client, owner: str, window: int, timeout_seconds: float = 60.0) -> None:
        self.client = client
        self.owner = owner
        self.window = window
        self.timeout_seconds = timeout_seconds

    def insert(self, batch: Batch) -> None:
        """Store the batch, its rows in all views included; repeating it changes nothing.

        Raises:
            PartitionTaken: another sink owns the partition by now.
            DatabaseError: as ClickHouse says; unless it is `is_retryable`, repeating will not help.
        """
        try:
            self.client.insert(
                "records",
                batch.columns(self.owner),
                column_names=list(COLUMNS),
                column_type_names=list(COLUMNS.values()),
                column_oriented=True,
                settings={
                    # The default of ClickHouse 26: answers before the rows are stored, and knows no tokens.
                    "async_insert": 0,
                    "insert_deduplicate": 1,
                    "insert_deduplication_token": batch.token,
                    "deduplicate_blocks_in_dependent_materialized_views": 1,
                    "max_execution_time": int(self.timeout_seconds),
                    "log_comment": comment_for(batch.topic, batch.partition),
                },
            )
        except DatabaseError as error:
            if error.code == REFUSED_BY_VIEW:
                raise PartitionTaken(f"{batch.topic}:{batch.partition} belongs to another sink now") from error
            raise

    def claim(self, partitions: Sequence[TopicPartition]) -> None:
        """Become the owner of the partitions: inserts that others begin from now on are refused."""
        newest = self.client.query("SELECT max(claim) FROM partition_owners").result_rows[0][0]
        self.client.insert(
            "partition_owners",
            [(partition.topic, partition.partition, self.owner, newest + 1) for partition in partitions],
            column_names=["_topic", "_partition", "owner", "claim"],
            column_type_names=["LowCardinality(String)", "UInt32", "String", "UInt64"],
            settings={"async_insert": 0},
        )

    def running_inserts(self, partitions: Iterable[TopicPartition]) -> int:
        """How many inserts into these partitions the store is still working on, whoever began them."""
        comments = [comment_for(partition.topic, partition.partition) for partition in partitions]
        return int(
            self.client.query(
                "SELECT count() FROM system.processes WHERE Settings['log_comment'] IN {comments:Array(String)}",
                parameters={"comments": comments},
                settings={"log_comment": "soma.sink.asks"},
            ).result_rows[0][0]
        )

    def last_batches(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, StoredBatch]:
        """The last batch of each partition that has one; the largest offset over both tables decides.

        Raises:
            HalfStored: `dead_rows` has a batch that `messages` has not; since it is fed from there, that cannot be.
        """
        found = self.client.query(
            """
            SELECT _topic, _partition, argMax(_b0, _offset), argMax(_b1, _offset), argMax(_ingested_at, _offset),
                   maxIf(_offset, of_messages), max(_offset)
            FROM (
                SELECT _topic, _partition, _offset, _b0, _b1, _ingested_at, true AS of_messages FROM messages
                WHERE (_topic, _partition) IN {partitions:Array(Tuple(String, UInt32))}
                UNION ALL
                SELECT _topic, _partition, _offset, _b0, _b1, _ingested_at, false AS of_messages FROM dead_rows
                WHERE (_topic, _partition) IN {partitions:Array(Tuple(String, UInt32))}
            )
            GROUP BY _topic, _partition
            """,
            parameters={"partitions": [(partition.topic, partition.partition) for partition in partitions]},
        ).result_rows
        if not found:
            return {}
        horizon = self.oldest_known(max(row[4] for row in found))
        batches = {}
        for topic, partition, first, last, ingested_at, in_messages, in_any in found:
            if in_messages < in_any:
                raise HalfStored(f"dead_rows has {topic}:{partition} up to {in_any}, messages only to {in_messages}")
            known = ingested_at.replace(tzinfo=UTC) >= horizon
            batches[TopicPartition(topic, partition)] = StoredBatch(first, last, ingested_at.replace(tzinfo=UTC), known)
        return batches

    def oldest_known(self, newest: datetime) -> datetime:
        """The time since which so few batches came that every table still knows their tokens.

        A token that fell out of the window protects nothing: sending such a batch again would store it twice.
        """
        since = newest.replace(tzinfo=UTC) - REPAIRABLE
        count, oldest = self.client.query(
            """
            SELECT count(), min(arrived_at) FROM (
                SELECT max(_ingested_at) AS arrived_at FROM messages WHERE _ingested_at >= {since:DateTime('UTC')}
                GROUP BY _topic, _partition, _b0 ORDER BY arrived_at DESC LIMIT {most:UInt32}
            )
            """,
            parameters={"since": since, "most": self.window // 2},
        ).result_rows[0]
        return since if count < self.window // 2 else oldest.replace(tzinfo=UTC) + timedelta(seconds=1)

    def read_back(self, partition: TopicPartition, stored: StoredBatch) -> Batch:
        """The last batch as it was sent, read from the table."""
        rows = self.client.query(
            """
            SELECT _offset, toUnixTimestamp64Milli(_timestamp), _key, value, mapKeys(headers), mapValues(headers)
            FROM messages
            WHERE _topic = {topic:String} AND _partition = {partition:UInt32}
              AND _offset BETWEEN {first:UInt64} AND {last:UInt64}
            ORDER BY _offset
            """,
            parameters={
                "topic": partition.topic,
                "partition": partition.partition,
                "first": stored.first,
                "last": stored.last,
            },
            query_formats={"String": "bytes"},
        ).result_rows
        records = [
            StoredRecord(offset, timestamp, key, value, tuple(zip(names, values, strict=True)))
            for offset, timestamp, key, value, names, values in rows
        ]
        return Batch(partition.topic, partition.partition, records, stored.ingested_at)


def comment_for(topic: str, partition: int) -> str:
    """How an insert into this partition is found among what the store is running."""
    return json.dumps({"soma.sink": f"{topic}:{partition}"})
