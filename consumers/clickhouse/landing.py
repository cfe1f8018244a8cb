"""The store, as the sink sees it: claim a partition, insert a batch, and tell which batch of a log came last."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import TopicPartition
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from .batches import COLUMNS, Batch, StoredRecord
from .errors import PartitionTaken, TablesChanged
from .gaps import Span, StoredBatch
from .positions import Positions, quoted, within
from .schema import Window
from .targets import Targets, targets_id

REFUSED_BY_VIEW = 395
# How old a batch may be, against the newest one, to be sent again as it was. What is older is filled table by table.
REPAIRABLE_SECONDS = 600.0


class Landing(Positions, Targets):
    """Everything here blocks; thread-safe.

    `window` is what the tables remember of tokens, `owner` names this sink's life; people read it. `cluster` is the
    ClickHouse cluster, where there is one. `mend` makes what is missing of tables and views.
    """

    def __init__(
        self,
        client: Client,
        owner: str,
        window: Window,
        timeout_seconds: float = 60.0,
        cluster_id: str = "",
        cluster: str | None = None,
        mend: Callable[[], None] = lambda: None,
    ) -> None:
        self.client = client
        self.owner = owner
        self.window = window
        self.timeout_seconds = timeout_seconds
        self.cluster_id = cluster_id
        self.mend = mend
        self.targets_id = targets_id(client)
        self.processes = f"clusterAllReplicas({quoted(cluster)}, system.processes)" if cluster else "system.processes"
        # A replica that lags must not answer the reads that decide: so each insert waits for a quorum.
        self.quorum: dict[str, Any] = (
            {"insert_quorum": "auto", "insert_quorum_parallel": 0} if window.replicated else {}
        )

    def mend_schema(self) -> None:
        """Make what is missing of tables and views.

        Raises:
            TablesChanged: a table is another one than when this sink began: its next start compares all of it.
        """
        self.mend()
        if targets_id(self.client) != self.targets_id:
            raise TablesChanged(
                "a table behind the views came, went or was made again while the sink ran; it must be started again,"
                " and then compares and fills all of that table"
            )

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
                    **self.quorum,
                },
            )
        except DatabaseError as error:
            if error.code == REFUSED_BY_VIEW:
                raise PartitionTaken(self.taken_words(batch.topic, batch.partition)) from error
            raise

    def taken_words(self, topic: str, partition: int) -> str:
        """Who has the partition, since when, and what to do about it."""
        owner, claimed_at = self.client.query(
            "SELECT argMax(owner, (claim, owner)), max(claimed_at) FROM partition_owners"
            " WHERE _topic = {topic:String} AND _partition = {partition:UInt32}",
            parameters={"topic": topic, "partition": partition},
        ).result_rows[0]
        return (
            f"{topic}:{partition} belongs to another sink now: {owner} claimed it at {claimed_at} UTC. Nothing is lost"
            " or stored twice. Sinks of one database share the partitions when they are in one consumer group; if that"
            " one is in another group or home, stop one of them"
        )

    def claim(self, partitions: Sequence[TopicPartition]) -> None:
        """Become the owner of the partitions: inserts that others begin from now on are refused."""
        newest = self.client.query("SELECT max(claim) FROM partition_owners").result_rows[0][0]
        self.client.insert(
            "partition_owners",
            [(partition.topic, partition.partition, self.owner, newest + 1) for partition in partitions],
            column_names=["_topic", "_partition", "owner", "claim"],
            column_type_names=["LowCardinality(String)", "UInt32", "String", "UInt64"],
            settings={"async_insert": 0, **self.quorum},
        )

    def running_inserts(self, partitions: Iterable[TopicPartition]) -> int:
        """How many inserts into these partitions the store is still working on, whoever began them."""
        comments = [comment_for(partition.topic, partition.partition) for partition in partitions]
        return int(
            self.client.query(
                f"SELECT count() FROM {self.processes} WHERE Settings['log_comment'] IN {{comments:Array(String)}}",
                parameters={"comments": comments},
                settings={"log_comment": "soma.sink.asks"},
            ).result_rows[0][0]
        )

    def last_batches(self, since: Mapping[TopicPartition, int]) -> dict[TopicPartition, dict[str, StoredBatch]]:
        """The last batch of each log of these partitions, by the log's id; only rows from the offset on are looked at.

        Compared are offsets of `messages` alone: the other tables are fed from it.
        """
        where = " OR ".join(
            f"(_topic = {quoted(one.topic)} AND _partition = {one.partition} AND _offset >= {offset})"
            for one, offset in since.items()
        )
        found = self.client.query(
            f"""
            SELECT toString(_topic), _partition, toString(_log_id), argMax(_b0, _offset), max(_b1),
                   argMax(_ingested_at, _offset)
            FROM messages WHERE {where or "false"} GROUP BY _topic, _partition, _log_id
            """
        ).result_rows
        horizon = self.oldest_known() if found else datetime.min.replace(tzinfo=UTC)
        batches: dict[TopicPartition, dict[str, StoredBatch]] = {}
        for topic, partition, log_id, first, last, ingested_at in found:
            at = ingested_at.replace(tzinfo=UTC)
            batch = StoredBatch(first, last, at, at >= horizon, log_id)
            batches.setdefault(TopicPartition(topic, partition), {})[log_id] = batch
        return batches

    def oldest_known(self) -> datetime:
        """The time since which so few batches came that every table still knows their tokens.

        A token that fell out of the window protects nothing: sending such a batch again would store it twice.
        """
        # Answered from the parts' own marks, since the table is partitioned by it.
        newest = self.client.query("SELECT max(_ingested_at) FROM messages").result_rows[0][0]
        most = self.window.blocks // 2
        since = newest.replace(tzinfo=UTC) - timedelta(seconds=min(REPAIRABLE_SECONDS, self.window.seconds / 2))
        count, oldest = self.client.query(
            """
            SELECT count(), min(arrived_at) FROM (
                SELECT max(_ingested_at) AS arrived_at FROM messages WHERE _ingested_at >= {since:DateTime('UTC')}
                GROUP BY _topic, _partition, _log_id, _b0 ORDER BY arrived_at DESC LIMIT {most:UInt32}
            )
            """,
            parameters={"since": since, "most": most},
        ).result_rows[0]
        horizon: datetime = since if count < most else oldest.replace(tzinfo=UTC) + timedelta(seconds=1)
        return horizon

    def read_back(self, partition: TopicPartition, stored: StoredBatch) -> Batch:
        """A batch as it was sent, read from the table."""
        rows = self.client.query(
            f"""
            SELECT _offset, toUnixTimestamp64Milli(_timestamp), _key, value, mapKeys(headers), mapValues(headers)
            FROM messages
            WHERE {within([Span(partition, stored.log_id, stored.first, stored.last + 1)], "_offset")}
            ORDER BY _offset
            """,
            query_formats={"String": "bytes"},
        ).result_rows
        records = [
            StoredRecord(offset, timestamp, key, value, tuple(zip(names, values, strict=True)))
            for offset, timestamp, key, value, names, values in rows
        ]
        return Batch(partition.topic, partition.partition, records, stored.ingested_at, stored.first, stored.log_id)


def comment_for(topic: str, partition: int) -> str:
    """How an insert into this partition is found among what the store is running."""
    return json.dumps({"soma.sink": f"{topic}:{partition}"})
