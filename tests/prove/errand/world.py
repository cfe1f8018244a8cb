"""The world outside: one file to which every effect adds a line. It survives every death."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

WORLD_FILE = "world.log"


class World(Protocol):
    """Where errands leave their marks. A key that was undone is closed for good: doing it later has no effect."""

    async def do(self, key: str) -> None: ...
    async def undo(self, key: str) -> None: ...


class WorldOnDisk:
    """Appends `do KEY` or `undo KEY` in one write, so that the lines of all workers stand in one true order.

    It looks nothing up: who reads the file knows that an effect stands if its key was done and never undone.
    `after_effect` is called when the line is written and nobody knows of it yet.
    """

    def __init__(self, path: Path, after_effect: Callable[[], None]) -> None:
        self._path, self._after_effect = path, after_effect
        self._file: int | None = None

    async def do(self, key: str) -> None:
        """Make the effect of the key; again and again, if need be."""
        self._append(f"do {key}\n")
        self._after_effect()

    async def undo(self, key: str) -> None:
        """Take the effect of the key back, whether or not it was ever made."""
        self._append(f"undo {key}\n")
        self._after_effect()

    def _append(self, line: str) -> None:
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(self._file, line.encode())
