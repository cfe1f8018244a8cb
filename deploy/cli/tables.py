"""Rows for people, on stdout."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.cli.talking import printable

# Wider than any row of ours: what a program reads from us is never folded.
UNFOLDED_COLUMNS = 100_000


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print the rows under their columns' names; folded to the terminal's width, a line each elsewhere."""
    console = Console(highlight=False)
    table = Table(*columns, box=box.SIMPLE_HEAD, show_edge=False)
    for row in rows:
        table.add_row(*(Text(printable(cell), overflow="fold") for cell in row))
    if console.is_terminal:
        console.print(table)
    else:
        Console(width=UNFOLDED_COLUMNS, highlight=False).print(table)
