"""One file that lists the folders of a shelf."""

import asyncio
import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
NOTE = "entry.json"


class Listing:
    """Derives `file` from the notes in the folders below `root`, newest first.

    It is derived from what exists, so concurrent changes cannot lose an entry; and it takes no lock between workers,
    which a frozen one could hold: whoever has written looks again, and writes again if the folders have changed.
    """

    def __init__(self, root: Path, file: Path, render: Callable[[Sequence[Entry]], str]) -> None:
        self._root, self._file, self._render = root, file, render
        # A folder never changes once it is placed, so its note is read once.
        self._known: dict[str, Entry] = {}
        self._turn = asyncio.Lock()
        self._asked = self._answered = 0

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
            self._known = {name: entry for name in names if (entry := self._known.get(name) or self._read(name))}
            entries = sorted(
                self._known.values(), key=lambda entry: (entry["published_at"], entry["name"]), reverse=True
            )
            _replace(self._file, self._render(entries))
            written = names

    def _names(self) -> list[str]:
        try:
            return sorted(folder.name for folder in self._root.iterdir())
        except FileNotFoundError:
            return []

    def _read(self, name: str) -> Entry | None:
        try:
            note: Entry = json.loads((self._root / name / NOTE).read_text("utf-8"))
        except OSError:
            # Taken back in between, or no folder of ours.
            return None
        return note | {"name": name}


def write_note(folder: Path, note: Entry) -> None:
    """Leave in the folder what the listing shall say of it; `published_at`, in ISO format, puts it in order."""
    (folder / NOTE).write_text(json.dumps(note, ensure_ascii=False), "utf-8")


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        fresh.write_text(text, "utf-8")
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
