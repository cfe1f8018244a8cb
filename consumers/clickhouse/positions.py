"""How far each log is stored, and what it lacks: read from and written to the store. Everything here blocks."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiokafka import TopicPartition
from clickhouse_connect.driver.client import Client

from .gaps import Bookmark, Gap, Span, StoredBatch


class Positions:
    """The bookmarks and gaps of one Kafka cluster. `targets_id` stands for the tables as they are now."""

    client: Client
    cluster_id: str
    targets_id: str
    quorum: dict[str, Any]

    def bookmarks(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, list[Bookmark]]:
        """Every log that is known of these partitions, newest or not."""
        rows = self.client.query(
            """
            SELECT toString(_topic), _partition, toString(log_id), max(checked_up_to),
                   if(countIf(targets_id = {targets_id:String}) > 0,
                      maxIf(checked_up_to, targets_id = {targets_id:String}), min(began_at)),
                   max(said_at), min(began_at), countIf(startsWith(targets_id, {messages_id:String})) > 0
            FROM partition_positions
            WHERE cluster_id = {cluster_id:String} AND _topic IN {topics:Array(String)}
            GROUP BY _topic, _partition, log_id
            """,
            parameters={
                "cluster_id": self.cluster_id,
                "targets_id": self.targets_id,
                "messages_id": self.targets_id.partition(".")[0],
                "topics": sorted({one.topic for one in partitions}),
            },
        ).result_rows
        found: dict[TopicPartition, list[Bookmark]] = {}
        for topic, partition, log_id, checked, of_targets, said_at, began_at, is_same in rows:
            mark = Bookmark(log_id, checked, of_targets, said_at.replace(tzinfo=UTC), began_at, is_same)
            found.setdefault(TopicPartition(topic, partition), []).append(mark)
        return found

    def note_bookmarks(self, checked: Mapping[TopicPartition, tuple[str, int]]) -> None:
        """Remember how far each log is stored whole; a smaller offset than known changes nothing."""
        now = datetime.now(UTC)
        rows = [
            (partition.topic, partition.partition, self.cluster_id, log_id, self.targets_id, offset, offset, now)
            for partition, (log_id, offset) in checked.items()
        ]
        names = ["_topic", "_partition", "cluster_id", "log_id", "targets_id", "began_at", "checked_up_to", "said_at"]
        if rows:
            self.client.insert(
                "partition_positions", rows, column_names=names, settings={"async_insert": 0, **self.quorum}
            )

    def note_gaps(self, gaps: Sequence[Gap]) -> None:
        """Write what is lost into the ledger; a gap that is written twice is there once."""
        rows = [(*gap.partition, gap.log_id, gap.target, gap.first, gap.last, gap.cause, gap.detail) for gap in gaps]
        names = ["_topic", "_partition", "log_id", "target", "first_offset", "last_offset", "cause", "detail"]
        if rows:
            self.client.insert("ledger_gaps", rows, column_names=names, settings={"async_insert": 0, **self.quorum})

    def batches_in(self, spans: Sequence[Span]) -> dict[TopicPartition, list[StoredBatch]]:
        """The batches of `messages` that begin in the spans, in order."""
        rows = self.client.query(
            f"""
            SELECT toString(_topic), _partition, _b0, max(_b1), max(_ingested_at), count(), max(_batch_rows),
                   toString(any(_log_id))
            FROM messages
            WHERE {within(spans, "_offset")}
            GROUP BY _topic, _partition, _log_id, _b0 ORDER BY _topic, _partition, _b0
            """
        ).result_rows
        found: dict[TopicPartition, list[StoredBatch]] = {}
        for topic, partition, first, last, ingested_at, count, sent, log_id in rows:
            batch = StoredBatch(first, last, ingested_at.replace(tzinfo=UTC), False, log_id, count, sent)
            found.setdefault(TopicPartition(topic, partition), []).append(batch)
        return found

    def batch_at(self, partition: TopicPartition, log_id: str, first: int) -> StoredBatch:
        """The batch of `messages` that begins there; its rows are not counted."""
        last, ingested_at, sent = self.client.query(
            """
            SELECT _b1, _ingested_at, _batch_rows FROM messages
            WHERE _topic = {topic:String} AND _partition = {partition:UInt32} AND _offset >= {first:UInt64}
              AND _b0 = {first:UInt64} AND _log_id = {log_id:String}
            ORDER BY _topic, _partition, _offset LIMIT 1
            """,
            parameters={**partition._asdict(), "first": first, "log_id": log_id},
        ).first_row or (first, datetime.min, 0)
        return StoredBatch(first, last, ingested_at.replace(tzinfo=UTC), False, log_id, sent, sent)


def within(spans: Iterable[Span], offset: str) -> str:
    """The condition that a row belongs to one of the spans, by the column `offset`; the primary index serves it."""
    conditions = [
        f"(_topic = {quoted(span.partition.topic)} AND _partition = {span.partition.partition}"
        f" AND {offset} >= {span.first} AND {offset} < {span.end} AND _b0 >= {span.first}"
        f" AND _log_id = {quoted(span.log_id)})"
        for span in spans
    ]
    return " OR ".join(conditions) or "false"


def quoted(text: str) -> str:
    """The text as an SQL literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
