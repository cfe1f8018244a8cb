"""`soma query SQL`: ask ClickHouse."""

import json as json_text
import sys
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from consumers.clickhouse.connecting import NO_SUCH_DATABASE, connect
from consumers.clickhouse.diagnosis import clickhouse_failure, words_of
from deploy.cli.tables import UNFOLDED_COLUMNS
from deploy.cli.talking import show
from producers.errors import ConnectionFailed
from producers.settings import Settings


def query(settings: Settings, sql: str, json: bool) -> int:
    """Run one statement in the sagas' database and print what it answers, as a table or as one JSON object. Blocks.

    Returns:
        0, 2 where ClickHouse refuses the statement (its message goes to stderr), 3 where it is not reachable.
    """
    try:
        client = client_for(settings)
    except ConnectionFailed as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    try:
        columns, rows = ask(client, sql)
    except DatabaseError as error:
        if isinstance(error, OperationalError) and error.code is None:
            print(clickhouse_failure(settings, error), file=sys.stderr)
            return 3
        print(words_of(error), file=sys.stderr)
        return 2
    finally:
        client.close()
    if json:
        show({"columns": columns, "rows": rows})
    else:
        print_table(columns, rows)
    return 0


def client_for(settings: Settings) -> Client:
    """A client of the sagas' database, or of the server while the sink has not made that database yet.

    Raises `ConnectionFailed`.
    """
    url = settings.store_url.get_secret_value()
    try:
        try:
            return connect(url, settings.clickhouse_database, timeout_seconds=300)
        except DatabaseError as error:
            if error.code != NO_SUCH_DATABASE:
                raise
            return connect(url, timeout_seconds=300)
    except ClickHouseError as error:
        raise clickhouse_failure(settings, error) from error


def ask(client: Client, sql: str) -> tuple[list[str], list[list[Any]]]:
    """The answer's columns and rows, as JSON has them; nothing where the statement answers nothing."""
    answer = client.raw_query(
        sql,
        settings={
            "default_format": "JSONCompact",
            "output_format_json_quote_64bit_integers": 0,
            "output_format_json_quote_denormals": 1,
            "output_format_json_validate_utf8": 1,
        },
    )
    try:
        said = json_text.loads(answer)
        return [column["name"] for column in said["meta"]], said["data"]
    except (ValueError, TypeError, KeyError):
        # A FORMAT clause of the person's own, or a statement that only does something.
        lines = answer.decode(errors="replace").splitlines()
        return (["answer"], [[line] for line in lines]) if lines else ([], [])


def print_table(columns: list[str], rows: list[list[Any]]) -> None:
    """Print the rows; in full where stdout is no terminal."""
    if not columns:
        return
    console = Console()
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(escape(column), overflow="fold")
    for row in rows:
        table.add_row(*(escape(text_of(cell)) for cell in row))
    if console.is_terminal:
        console.print(table)
    else:
        Console(width=UNFOLDED_COLUMNS).print(table)
    print(f"{len(rows)} row{'' if len(rows) == 1 else 's'}", file=sys.stderr)


def text_of(cell: Any) -> str:
    """The cell as people read it."""
    if cell is None:
        return "NULL"
    return cell if isinstance(cell, str) else json_text.dumps(cell, ensure_ascii=False)
