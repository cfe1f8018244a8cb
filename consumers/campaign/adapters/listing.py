"""One file that lists the folders of a shelf."""

import asyncio
import errno
import logging
import os
import re
import secrets
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

log = logging.getLogger(__name__)

NOTE = "entry.json"
NOTE_BYTES_MAX = 1024 * 1024
# What `names.name_of` makes.
OUR_NAME = re.compile(r"[a-z0-9-]{1,100}")
# The process lacks something just now: no folder is to blame, and none may vanish from the list for it.
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class Note(BaseModel):
    """What a folder says of itself; subclasses add what their list shows. `name` is the folder's, given on reading."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: str
    published_at: AwareDatetime
    name: str = ""


SomeNote = TypeVar("SomeNote", bound=Note)


class _Unreadable(Exception):
    """The folder has no note that can be listed; the text says why."""


class Listing(Generic[SomeNote]):
    """Derives `file` from the notes in the folders below `root`, newest first.

    It is derived from what exists, so concurrent changes cannot lose an entry; and it takes no lock between workers,
    which a frozen one could hold: whoever has written looks again, and writes again if the folders have changed.
    A folder without a readable note is left out, logged once, and named by `skipped`; it stops no other folder.
    """

    def __init__(
        self, root: Path, file: Path, kind: type[SomeNote], render: Callable[[Sequence[SomeNote]], str]
    ) -> None:
        self._root, self._file, self._kind, self._render = root, file, kind, render
        # A folder never changes once it is placed, so its note is read once.
        self._known: dict[str, SomeNote] = {}
        self._skipped: dict[str, str] = {}
        self._turn = asyncio.Lock()
        self._asked = self._answered = 0

    @property
    def skipped(self) -> dict[str, str]:
        """The folders that the last writing left out, with the reason for each."""
        return dict(self._skipped)

    async def renew(self) -> None:
        """Write the file so that it shows all that was changed before this call; waiting calls share one writing."""
        self._asked += 1
        number = self._asked
        async with self._turn:
            if self._answered < number:
                answers = self._asked
                await asyncio.to_thread(self._write)
                self._answered = answers

    def _write(self) -> None:
        written: list[str] | None = None
        while (names := self._names()) != written:
            self._read_all(names)
            entries = sorted(self._known.values(), key=lambda note: (note.published_at, note.name), reverse=True)
            _replace(self._file, self._render(entries))
            written = names

    def _names(self) -> list[str]:
        try:
            with os.scandir(self._root) as found:
                return sorted(one.name for one in found if one.is_dir())
        except FileNotFoundError:
            return []

    def _read_all(self, names: list[str]) -> None:
        known: dict[str, SomeNote] = {}
        skipped: dict[str, str] = {}
        for name in names:
            try:
                note = self._known.get(name) or self._read(name)
            except _Unreadable as unreadable:
                skipped[name] = str(unreadable)
            else:
                if note is not None:
                    known[name] = note
        for name, cause in skipped.items():
            if self._skipped.get(name) != cause:
                folder = str(self._root / name).encode(errors="backslashreplace").decode()
                log.warning("listing.skipped", extra={"folder": folder, "cause": cause})
        self._known, self._skipped = known, skipped

    def _read(self, name: str) -> SomeNote | None:
        """The folder's note; None where the folder was taken back meanwhile. Raises `_Unreadable`."""
        folder = self._root / name
        try:
            if OUR_NAME.fullmatch(name) is None:
                raise _Unreadable("this is not the name of a folder that was published")
            return self._kind.model_validate_json(_content(folder / NOTE)).model_copy(update={"name": name})
        except OSError as error:
            if error.errno in EXHAUSTED:
                raise
            if not folder.exists():
                return None
            raise _Unreadable(f"{NOTE}: {error.strerror or error}") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise _Unreadable(f"{NOTE}: {place + ': ' if place else ''}{first['msg']}") from error


def write_note(folder: Path, note: Note) -> None:
    """Leave in the folder what the listing shall say of it; `published_at` puts it in order."""
    (folder / NOTE).write_text(note.model_dump_json(exclude={"name"}), "utf-8")


def _content(file: Path) -> bytes:
    # Opening a pipe would wait for its writer.
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise _Unreadable(f"{NOTE}: not a regular file")
    if found.st_size > NOTE_BYTES_MAX:
        raise _Unreadable(f"{NOTE}: larger than {NOTE_BYTES_MAX} bytes")
    return file.read_bytes()


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        fresh.write_text(text, "utf-8")
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
