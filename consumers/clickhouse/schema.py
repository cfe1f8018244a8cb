"""The tables: applied in order, checked before the first insert, and tied to one Kafka cluster. Everything blocks."""

import logging
import math
import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from schemas.message import Command, CompensatingEvent, Completion, FailingEnd, Message, Opening
from schemas.topics import SagaSchema

from .connecting import NO_SUCH_DATABASE, connect
from .errors import AnotherCluster, NoDeduplication

log = logging.getLogger(__name__)

STATEMENT_END = re.compile(r";[ \t]*(?:\n|\Z)")
COMMENT = re.compile(r"--[^\n]*")
MADE = re.compile(
    r"(?:CREATE (?:OR REPLACE )?(?:TABLE|MATERIALIZED VIEW|VIEW)|ALTER TABLE)\s+(?:IF NOT EXISTS\s+)?(?P<name>\w+)"
)
ENGINE = re.compile(r"\bENGINE = (\w*MergeTree)\b")
TARGET = re.compile(r"\bTO\s+(?:`?(?P<database>\w+)`?\.)?`?(?P<table>\w+)`?")
NO_SUCH_TABLE = 60
# A read that decides must not be answered by a replica that lags; on tables that are not replicated it changes nothing.
READS_THAT_DECIDE = {"select_sequential_consistency": 1}


class Window(NamedTuple):
    """What every table remembers of the batches it had: so many blocks, for so many seconds."""

    blocks: int
    seconds: float = math.inf
    replicated: bool = False


def statements_in(folder: Path, cluster: str | None = None) -> list[str]:
    """The statements of the folder's .sql files, in the files' order; for a ClickHouse cluster where one is named."""
    texts = [file.read_text() for file in sorted(folder.glob("*.sql"))]
    pieces = [piece.strip() for text in texts for piece in STATEMENT_END.split(text)]
    statements = [piece for piece in pieces if COMMENT.sub("", piece).strip()]
    return statements if cluster is None else [on_cluster(statement, cluster) for statement in statements]


def on_cluster(statement: str, cluster: str) -> str:
    """The statement for all replicas of a cluster, with tables that replicate."""
    named = MADE.sub(lambda found: f"{found[0]} ON CLUSTER `{cluster}`", statement, count=1)
    replicated = ENGINE.sub(lambda found: f"ENGINE = Replicated{found[1]}", named)
    return replicated.replace("non_replicated_deduplication_window", "replicated_deduplication_window")


def prepare_schema(url: str, database: str, folder: Path, cluster: str | None = None) -> Client:
    """A client of the database, whose tables and views are those of `folder`; runs no statement where they are.

    Raises:
        DatabaseError: ClickHouse refuses a statement, or is not reachable.
    """
    wanted = schema_id(statements_in(folder, cluster))
    try:
        client = connect(url, database, settings=READS_THAT_DECIDE)
    except DatabaseError as error:
        if error.code != NO_SUCH_DATABASE:
            raise
    else:
        if applied_schema(client) == wanted and not missing_of(client, folder):
            return client
        client.close()
    return apply_schema(url, database, folder, cluster)


def apply_schema(url: str, database: str, folder: Path, cluster: str | None = None) -> Client:
    """Create the database and whatever of its tables and views is missing; a client of it. May be called again.

    Raises:
        DatabaseError: ClickHouse refuses a statement, or is not reachable.
    """
    server = connect(url)
    server.command(f"CREATE DATABASE IF NOT EXISTS `{database}`" + (f" ON CLUSTER `{cluster}`" if cluster else ""))
    server.close()
    client = connect(url, database, settings=READS_THAT_DECIDE)
    statements = statements_in(folder, cluster)
    for statement in statements:
        client.command(statement)
    client.insert("applied_schema", [[schema_id(statements)]], column_names=["schema_id"], settings={"async_insert": 0})
    log.info("sink.schema.applied", extra={"database": database, "statements": len(statements)})
    return client


def mend_schema(client: Client, folder: Path, cluster: str | None = None) -> None:
    """Make the tables and views that are missing, and leave the others as they are."""
    missing = missing_of(client, folder)
    for statement in statements_in(folder, cluster):
        if name_in(statement) in missing:
            client.command(statement)
    if missing:
        log.warning("sink.schema.mended", extra={"missing": sorted(missing)})


def schema_id(statements: Iterable[str]) -> str:
    """Stands for the statements."""
    return blake2b("\n".join(statements).encode(), digest_size=8).hexdigest()


def applied_schema(client: Client) -> str:
    """Which statements were applied last; "" where none were."""
    try:
        return str(client.query("SELECT argMax(schema_id, applied_at) FROM applied_schema").result_rows[0][0])
    except DatabaseError as error:
        if error.code != NO_SUCH_TABLE:
            raise
        return ""


def missing_of(client: Client, folder: Path) -> set[str]:
    """The tables and views of `folder` that the database has not."""
    rows = client.query("SELECT name FROM system.tables WHERE database = currentDatabase()").result_rows
    wanted = {name_in(statement) for statement in statements_in(folder)}
    return wanted - {row[0] for row in rows}


def name_in(statement: str) -> str:
    """The table or view that the statement makes or changes."""
    found = MADE.search(COMMENT.sub("", statement))
    if found is None:
        raise ValueError(f"a statement of the schema makes no table or view: {statement[:80]}")
    return found["name"]


def smallest_window(client: Client) -> Window:
    """What the tables behind the materialised views remember of batches: the least that one of them does.

    Each table is judged by the setting of its own engine: a replicated one forgets by number and by time.

    Raises:
        NoDeduplication: one of them has none. A batch sent twice, after a lost answer, would be counted twice there.
    """
    views = client.query(
        "SELECT name, create_table_query FROM system.tables"
        " WHERE database = currentDatabase() AND engine = 'MaterializedView'"
    ).result_rows
    said = client.query(
        "SELECT name, value FROM system.merge_tree_settings WHERE name LIKE '%replicated_deduplication_window%'"
    ).result_rows
    defaults = {str(name): str(value) for name, value in said}
    windows: dict[str, Window] = {}
    for view, text in views:
        found = TARGET.search(text)
        if found is None:
            raise NoDeduplication(f"the view {view} keeps its rows in a hidden table: give it its own (TO table)")
        windows[found["table"]] = window_of(client, found["database"], found["table"], defaults)
    without = {table: window for table, window in windows.items() if window.blocks < 1 or window.seconds < 1}
    if without or not windows:
        alter = "; ".join(
            f"ALTER TABLE {table} MODIFY SETTING {setting_of(window.replicated)} = 10000"
            + (", replicated_deduplication_window_seconds = 3600" if window.replicated else "")
            for table, window in sorted(without.items())
        )
        raise NoDeduplication(
            f"no deduplication window on {', '.join(sorted(without)) or 'any table'}: a repeated batch would be stored"
            f" twice. {alter}"
        )
    every = windows.values()
    return Window(
        min(one.blocks for one in every), min(one.seconds for one in every), any(one.replicated for one in every)
    )


def window_of(client: Client, database: str | None, table: str, defaults: Mapping[str, str]) -> Window:
    """The deduplication window of one table; of no blocks where it has none or is no MergeTree."""
    rows = client.query(
        "SELECT engine, engine_full FROM system.tables WHERE database = ifNull({database:Nullable(String)},"
        " currentDatabase()) AND name = {table:String}",
        parameters={"database": database, "table": table},
    ).result_rows
    return window_in(rows[0][0], rows[0][1], defaults) if rows else Window(0)


def window_in(engine: str, engine_full: str, defaults: Mapping[str, str]) -> Window:
    """The window by the settings that this engine heeds. PURE."""
    if "MergeTree" not in engine:
        return Window(0)
    replicated = engine.startswith(("Replicated", "Shared"))

    def of(name: str) -> float:
        said = re.search(rf"\b{name}\s*=\s*(\d+)", engine_full)
        return float(said[1] if said is not None else defaults.get(name, 0))

    blocks = int(of(setting_of(replicated)))
    return Window(blocks, of("replicated_deduplication_window_seconds") if replicated else math.inf, replicated)


def setting_of(replicated: bool) -> str:
    """The setting that bounds how many blocks a table remembers."""
    return "replicated_deduplication_window" if replicated else "non_replicated_deduplication_window"


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
