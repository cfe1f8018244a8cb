"""The tables behind `messages`: what each must hold of a batch, what it does hold, and how it is filled. Blocks.

What a table must hold is what its own view makes of the batch's rows in `messages`. A table that does not name the
batch of its rows cannot be compared.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

from aiokafka import TopicPartition
from clickhouse_connect.driver.client import Client

from .gaps import MESSAGES, Lack, Span
from .positions import quoted, within
from .schema import TARGET

BATCH_COLUMNS = frozenset({"_topic", "_partition", "_b0", "_log_id"})
LACKS_AT_ONCE = 500


class View(NamedTuple):
    """A materialised view over `messages`. `select` has `{messages}` where its source stands."""

    name: str
    target: str
    select: str
    columns: tuple[str, ...]

    @property
    def names_batches(self) -> bool:
        """Whether the target's rows say to which batch they belong."""
        return set(self.columns) >= BATCH_COLUMNS

    @property
    def weight(self) -> str:
        """What is compared: what was counted, where the target counts, else its rows."""
        return "sum(count)" if "count" in self.columns else "count()"


class Targets:
    """Compares and fills the tables that hang on `messages`."""

    client: Client
    owner: str

    def views(self) -> list[View]:
        """Every materialised view over `messages` with its target."""
        rows = self.client.query(
            "SELECT name, create_table_query, as_select, currentDatabase() FROM system.tables"
            " WHERE database = currentDatabase() AND engine = 'MaterializedView' ORDER BY name"
        ).result_rows
        found = []
        for name, statement, select, database in rows:
            target, source = TARGET.search(statement), f"FROM {database}.{MESSAGES}"
            if target is not None and source in select:
                named = f"{target['database'] or database}.{target['table']}"
                text = select.replace("{", "{{").replace("}", "}}").replace(source, "FROM ({messages}) AS messages")
                found.append(View(name, named, text, self.columns_of(named)))
        return found

    def columns_of(self, target: str) -> tuple[str, ...]:
        """The target's columns that a view can fill."""
        database, _, table = target.partition(".")
        rows = self.client.query(
            "SELECT name FROM system.columns WHERE database = {database:String} AND table = {table:String}"
            " AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') ORDER BY position",
            parameters={"database": database, "table": table},
        ).result_rows
        return tuple(row[0] for row in rows)

    def lacking(self, spans: Sequence[Span]) -> list[Lack]:
        """The batches of the spans that some target has not exactly once; at most `LACKS_AT_ONCE` of each target."""
        return [lack for view in self.views() if view.names_batches for lack in self.lacking_in(view, spans)]

    def lacking_in(self, view: View, spans: Sequence[Span]) -> Iterator[Lack]:
        """As `lacking`, of one target."""
        key = "toString(_topic) AS topic, toUInt32(_partition) AS number, toString(_log_id) AS log, _b0 AS first"
        rows = self.client.query(
            f"""
            SELECT topic, number, log, first, sum(expected) AS must, sum(found) AS is FROM (
                SELECT {key}, {view.weight} AS expected, 0 AS found
                FROM ({view.select.format(messages=rows_of(spans))}) GROUP BY topic, number, log, first
                UNION ALL
                SELECT {key}, 0 AS expected, {view.weight} AS found
                FROM {view.target} WHERE {within(spans, "_b0")} GROUP BY topic, number, log, first
            )
            GROUP BY topic, number, log, first HAVING must > 0 AND must != is
            ORDER BY topic, number, log, first LIMIT {LACKS_AT_ONCE}
            """
        ).result_rows
        for topic, number, log, first, must, found in rows:
            yield Lack(view.target.partition(".")[2], TopicPartition(topic, number), log, first, must, found)

    def fill(self, target: str, span: Span) -> None:
        """Put what the target lacks of the span's batches into it, from `messages`.

        For batches only of which the target holds nothing, and which no repeated batch can reach any more. Repeating it
        changes nothing, and a sink that has lost the partition fills nothing.
        """
        view = next(one for one in self.views() if one.target.partition(".")[2] == target)
        columns = ", ".join(f"`{name}`" for name in self.filled_columns(view))
        # One condition more than the view has: this insert does not pass the view that asks for the owner.
        rows = f"{rows_of([span])} AND {self.is_ours(span.partition)}"
        self.client.command(
            f"INSERT INTO {view.target} ({columns}) SELECT {columns} FROM ({view.select.format(messages=rows)})",
            settings={
                "async_insert": 0,
                "insert_deduplicate": 1,
                "insert_deduplication_token": fill_token(target, span),
                "deduplicate_blocks_in_dependent_materialized_views": 1,
                "max_insert_threads": 1,
            },
        )

    def filled_columns(self, view: View) -> list[str]:
        """The columns that the view gives and the target has."""
        described = self.client.query(f"DESCRIBE ({view.select.format(messages='SELECT * FROM messages')})").result_rows
        return [row[0] for row in described if row[0] in view.columns]

    def is_ours(self, partition: TopicPartition) -> str:
        """The condition that this sink's claim is the newest one."""
        return (
            "(SELECT argMax(owner, (claim, owner)) FROM partition_owners"
            f" WHERE _topic = {quoted(partition.topic)} AND _partition = {partition.partition}) = {quoted(self.owner)}"
        )

    def unchecked(self) -> list[str]:
        """The targets that cannot be compared, since their rows do not name their batch."""
        return [view.target for view in self.views() if not view.names_batches]


def rows_of(spans: Sequence[Span]) -> str:
    """The rows of `messages` in the spans."""
    return f"SELECT * FROM {MESSAGES} WHERE ({within(spans, '_offset')})"


def fill_token(target: str, span: Span) -> str:
    """What makes a repeated fill known as one."""
    partition = span.partition
    return f"{target}<{partition.topic}:{partition.partition}:{span.first}-{span.end - 1}@{span.log_id}"


def targets_id(client: Client) -> str:
    """Stands for the tables behind the views as they are: another one where a table was dropped and made again.

    It begins with what stands for `messages`, before a dot.
    """
    rows = client.query(
        "SELECT name, toString(uuid) FROM system.tables WHERE database = currentDatabase()"
        " AND engine LIKE '%MergeTree' ORDER BY name"
    ).result_rows
    views = client.query(
        "SELECT create_table_query FROM system.tables"
        " WHERE database = currentDatabase() AND engine = 'MaterializedView'"
    ).result_rows
    named = {found["table"] for (text,) in views if (found := TARGET.search(text)) is not None}
    said = ",".join(f"{name}={uuid}" for name, uuid in rows if name in named)
    of_messages = next((uuid for name, uuid in rows if name == MESSAGES), "")
    return f"{of_messages}.{blake2b(said.encode(), digest_size=8).hexdigest()}"
