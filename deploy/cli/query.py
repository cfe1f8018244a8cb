"""`soma query SQL`: ask ClickHouse."""

import json as json_text
import sys
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from consumers.clickhouse.connecting import NO_SUCH_DATABASE, connect
from producers.settings import Settings


def query(settings: Settings, sql: str, json: bool) -> int:
    """Run one statement in the sagas' database and print what it answers, as a table or as one JSON object. Blocks.

    Returns:
        0, 2 where ClickHouse refuses the statement (its message goes to stderr), 3 where it is not reachable.
    """
    try:
        client = client_for(settings)
    except DatabaseError as error:
        print(f"ClickHouse at {settings.store_url} is not reachable: {words_of(error)}", file=sys.stderr)
        return 3
    try:
        columns, rows = ask(client, sql)
    except OperationalError as error:
        if error.code is None:
            print(f"ClickHouse at {settings.store_url} is not reachable: {words_of(error)}", file=sys.stderr)
            return 3
        print(words_of(error), file=sys.stderr)
        return 2
    except DatabaseError as error:
        print(words_of(error), file=sys.stderr)
        return 2
    finally:
        client.close()
    if json:
        print(json_text.dumps({"columns": columns, "rows": rows}, ensure_ascii=False))
    else:
        print_table(columns, rows)
    return 0


def client_for(settings: Settings) -> Client:
    """A client of the sagas' database, or of the server while the sink has not made that database yet."""
    try:
        return connect(settings.store_url, settings.clickhouse_database, timeout_seconds=300)
    except DatabaseError as error:
        if error.code != NO_SUCH_DATABASE:
            raise
        return connect(settings.store_url, timeout_seconds=300)


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
        width = sum(max([len(name), *(len(text_of(row[at])) for row in rows)]) + 3 for at, name in enumerate(columns))
        Console(width=max(width, 20)).print(table)
    print(f"{len(rows)} row{'' if len(rows) == 1 else 's'}", file=sys.stderr)


def text_of(cell: Any) -> str:
    """The cell as people read it."""
    if cell is None:
        return "NULL"
    return cell if isinstance(cell, str) else json_text.dumps(cell, ensure_ascii=False)


def words_of(error: Exception) -> str:
    """The error's own words, without the address it was asked at."""
    return str(error).partition(" (for url ")[0].removeprefix("Received ClickHouse exception, ")
