"""The engine: chDB handles, opened per request, so that one statement's settings, tables and failures stay its own.

A handle costs 0.2 ms. Using each for one request only is also the cure for a chDB bug: after a query that fails while
it runs, what it had already put out is prepended to the handle's *next* result.
"""

import fcntl
import re
import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deploy.local.errors import StackError, explained

from .answers import Answer, Refused
from .statements import Statement

BAD_SETTING_NAME = 115
NOT_ENOUGH_SPACE = 243
SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class StoreInUse(StackError):
    """Another program has this folder open."""


class StoreUnusable(StackError):
    """The engine does not open this folder."""


class Request(NamedTuple):
    """One statement with all that surrounds it."""

    statement: Statement
    database: str | None = None
    settings: Mapping[str, str] = {}
    parameters: Mapping[str, str] = {}


class Engine:
    """One data folder, open in this program and in no other.

    All methods block; call them from threads, as many at once as wanted.

    Raises:
        StoreInUse: another program has the folder open.
        StoreUnusable: the engine refuses it; the engine itself says more on stderr.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        refuse_if_locked(self.folder)
        self.opening = threading.Lock()
        try:
            # Held open to the end: the engine shuts down when its last handle closes.
            self.anchor = self.open_handle()
        except RuntimeError as error:
            refuse_if_locked(self.folder)
            raise StoreUnusable(f"ClickHouse does not open {self.folder}: {error}") from error
        self.rows_folder = folder_for_rows(self.folder)
        self.version, self.timezone = (
            self.anchor.query("SELECT version(), timezone()", "TabSeparated").bytes().decode().strip().split("\t")
        )

    def open_handle(self) -> Any:
        """A new handle on the folder, with settings and temporary tables of its own."""
        # Imported here: it loads half a gigabyte, and only the store needs it.
        import chdb

        with self.opening:
            return chdb.connect(str(self.folder))  # type: ignore[no-untyped-call]

    def run(self, request: Request, handle: Any = None) -> Answer:
        """Run one statement, on a handle of its own unless a session's is given.

        Raises:
            Refused: the statement failed, with ClickHouse's code. The handle must then not be used again.
        """
        own = handle is None
        handle = self.open_handle() if own else handle
        try:
            return run_on(handle, request, self.rows_folder)
        except Refused:
            raise
        except OSError as error:
            # The rows' file could not be written. ClickHouse's own word for it, which clients know to be worth a retry.
            raise Refused(NOT_ENOUGH_SPACE, f"Cannot keep the rows: {error}", "NOT_ENOUGH_SPACE") from error
        except Exception as error:
            raise Refused.from_engine(error) from error
        finally:
            if own:
                handle.close()

    def close(self) -> None:
        """Close the folder; whatever still runs is cut off. May be called twice."""
        self.anchor.close()


def run_on(handle: Any, request: Request, rows_folder: Path) -> Answer:
    """Run one statement on this handle and leave its settings and database behind."""
    if request.database:
        handle.query(f"USE {identifier(request.database)}", "Null")
    if request.settings:
        handle.query(f"SET {assignments(request.settings)}", "Null")
    statement = request.statement
    if statement.insert_format is not None:
        return insert_on(handle, statement, request.parameters, rows_folder)
    result = handle.query(
        statement.text.decode() if is_text(statement.text) else statement.text,
        statement.output_format or "TabSeparated",
        params=dict(request.parameters),
    )
    return Answer(
        result.bytes() if statement.output_format is not None else b"",
        statement.output_format,
        result.rows_read(),
        result.bytes_read(),
        result.rows_written(),
        result.bytes_written(),
        result.elapsed(),
    )


def insert_on(handle: Any, statement: Statement, parameters: Mapping[str, str], rows_folder: Path) -> Answer:
    """Insert the body's rows, through a file.

    The two ways without a file lose rows (chdb-core 26.9): `send_insert` answers "written" when a materialised view, a
    constraint or a limit of the table refused the rows, and rows behind FORMAT in the statement are cut at a semicolon.
    """
    with tempfile.NamedTemporaryFile(dir=rows_folder, suffix=".rows") as rows:
        rows.write(statement.body)
        rows.flush()
        result = handle.query(
            f"{statement.text.decode()} FROM INFILE '{rows.name}' COMPRESSION 'none'"
            f" {statement.settings.decode()} FORMAT {statement.insert_format}",
            "Null",
            params=dict(parameters),
        )
    rows_written, bytes_written = result.rows_read(), len(statement.body)
    return Answer(rows_written=rows_written, bytes_written=bytes_written, elapsed_seconds=result.elapsed())


def folder_for_rows(folder: Path) -> Path:
    """Where the rows of running INSERTs lie; emptied at every start.

    ClickHouse takes `*?{}` in a file's name for a pattern, so below a folder with such a name they lie elsewhere.
    """
    if set(str(folder)) & set("*?{}[]'\\"):
        return Path(tempfile.mkdtemp(prefix="soma-store-"))
    rows_folder = folder / "rows_being_inserted"
    shutil.rmtree(rows_folder, ignore_errors=True)
    rows_folder.mkdir()
    return rows_folder


def is_text(statement: bytes) -> bool:
    """Whether the statement is UTF-8; the engine takes raw bytes too."""
    try:
        statement.decode()
    except UnicodeDecodeError:
        return False
    return True


def identifier(name: str) -> str:
    """The name, quoted."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def assignments(settings: Mapping[str, str]) -> str:
    """`a = '1', b = 'x'`. Quoted always: ClickHouse turns a text into a number where the setting is one."""
    for name in settings:
        if SETTING_NAME.match(name) is None:
            raise Refused(BAD_SETTING_NAME, f"Unknown setting '{name}'", "UNKNOWN_SETTING")
    quoted = {name: text.replace("\\", "\\\\").replace("'", "\\'") for name, text in settings.items()}
    return ", ".join(f"{name} = '{text}'" for name, text in quoted.items())


def refuse_if_locked(folder: Path) -> None:
    """Raise `StoreInUse` when another program holds the engine's own lock.

    Asked for before the engine opens, because the engine tells the reason only to stderr.
    """
    status = folder / "status"
    try:
        with status.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return
    except BlockingIOError:
        holder = status.read_text(errors="replace").partition("\n")[0].removeprefix("PID: ") or "unknown"
        raise StoreInUse(f"{folder} is already open in another program (pid {holder})") from None
