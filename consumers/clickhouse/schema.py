"""The tables: applied in order, checked before the first insert, and tied to one Kafka cluster. Everything blocks."""

import re
from collections.abc import Mapping
from pathlib import Path

from clickhouse_connect.driver.client import Client

from schemas.message import Command, CompensatingEvent, Completion, FailingEnd, Message, Opening
from schemas.topics import SagaSchema

from .connecting import connect
from .errors import AnotherCluster, NoDeduplication

STATEMENT_END = re.compile(r";[ \t]*(?:\n|\Z)")
COMMENT = re.compile(r"--[^\n]*")
WINDOW = re.compile(r"\b(?:non_replicated|replicated)_deduplication_window\s*=\s*(\d+)")
TARGET = re.compile(r"\bTO\s+(?:`?(?P<database>\w+)`?\.)?`?(?P<table>\w+)`?")


def statements_in(folder: Path) -> list[str]:
    """The statements of the folder's .sql files, in the files' order."""
    texts = [file.read_text() for file in sorted(folder.glob("*.sql"))]
    pieces = [piece.strip() for text in texts for piece in STATEMENT_END.split(text)]
    return [piece for piece in pieces if COMMENT.sub("", piece).strip()]


def apply_schema(url: str, database: str, folder: Path) -> Client:
    """Create the database and whatever of its tables and views is missing; a client of it. May be called again.

    Raises:
        DatabaseError: ClickHouse refuses a statement, or is not reachable.
    """
    server = connect(url)
    server.command(f"CREATE DATABASE IF NOT EXISTS `{database}`")
    server.close()
    client = connect(url, database)
    for statement in statements_in(folder):
        client.command(statement)
    return client


def smallest_window(client: Client) -> int:
    """How many blocks the tables behind the materialised views remember: the smallest of their windows.

    Raises:
        NoDeduplication: one of them has none. A batch sent twice, after a lost answer, would be counted twice there.
    """
    views = client.query(
        "SELECT name, create_table_query FROM system.tables"
        " WHERE database = currentDatabase() AND engine = 'MaterializedView'"
    ).result_rows
    said = client.query(
        "SELECT name, value FROM system.merge_tree_settings WHERE name LIKE '%replicated_deduplication_window'"
    ).result_rows
    defaults = {str(name): str(value) for name, value in said}
    windows: dict[str, int] = {}
    for view, text in views:
        found = TARGET.search(text)
        if found is None:
            raise NoDeduplication(f"the view {view} keeps its rows in a hidden table: give it its own (TO table)")
        windows[found["table"]] = window_of(client, found["database"], found["table"], defaults)
    without = sorted(table for table, window in windows.items() if window < 1)
    if without or not windows:
        raise NoDeduplication(
            f"no deduplication window on {', '.join(without) or 'any table'}: a repeated batch would be stored twice."
            " ALTER TABLE … MODIFY SETTING non_replicated_deduplication_window = 10000"
        )
    return min(windows.values())


def window_of(client: Client, database: str | None, table: str, defaults: Mapping[str, str]) -> int:
    """The deduplication window of one table; 0 where it has none or is no MergeTree."""
    rows = client.query(
        "SELECT engine, engine_full FROM system.tables WHERE database = ifNull({database:Nullable(String)},"
        " currentDatabase()) AND name = {table:String}",
        parameters={"database": database, "table": table},
    ).result_rows
    if not rows or "MergeTree" not in rows[0][0]:
        return 0
    engine, engine_full = rows[0]
    replicated = engine.startswith(("Replicated", "Shared"))
    said = WINDOW.search(engine_full)
    if said is not None:
        return int(said[1])
    return int(defaults.get(f"{'' if replicated else 'non_'}replicated_deduplication_window", 0))


def tie_to_cluster(client: Client, cluster_id: str) -> None:
    """Remember whose records these are.

    Raises:
        AnotherCluster: the tables hold those of another Kafka, whose offsets would be mistaken for this one's.
    """
    known = [row[0] for row in client.query("SELECT cluster_id FROM kafka_cluster").result_rows]
    if not known:
        client.insert("kafka_cluster", [[cluster_id]], column_names=["cluster_id"], settings={"async_insert": 0})
        return
    if cluster_id not in known:
        raise AnotherCluster(
            f"this database holds records of the Kafka cluster {known[0]}, the one configured is {cluster_id}:"
            " set SOMA_CLICKHOUSE_DATABASE to another database, or point to the other cluster"
        )


def note_types(client: Client, catalogue: Mapping[str, SagaSchema]) -> None:
    """Tell the views what each wire type is. May be called again; the newest saying counts."""
    rows = [
        (wire_type, schema.saga, kind_of(kind), ends_as(kind), undoes(kind))
        for schema in catalogue.values()
        for wire_type, kind in schema.messages.items()
    ]
    if rows:
        names = ["type", "saga", "kind", "ends_as", "undoes"]
        client.insert("message_types", rows, column_names=names, settings={"async_insert": 0})


def kind_of(message: type[Message]) -> str:
    """The kind of message, as the views know it."""
    kinds: tuple[tuple[type[Message], str], ...] = (
        (Command, "command"),
        (Opening, "opening"),
        (Completion, "completion"),
        (FailingEnd, "failing_end"),
        (CompensatingEvent, "compensating"),
    )
    return next((name for kind, name in kinds if issubclass(message, kind)), "event")


def ends_as(message: type[Message]) -> str:
    """The state in which this message, where it is the first end, leaves its saga."""
    if issubclass(message, Completion):
        return "completed"
    return message.ends_as if issubclass(message, FailingEnd) else ""


def undoes(message: type[Message]) -> str:
    """The wire type that this message takes back, if it is a compensating event."""
    undone = getattr(message, "undoes", None)
    return undone.wire_type if isinstance(undone, type) and issubclass(undone, Message) else ""
