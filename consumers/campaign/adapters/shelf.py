"""Folders that are made whole, once per key, and taken back for good.

Placing fills a folder of its own at `staging/<port>/<name>/<random>` and renames it to where it belongs: a reader sees
nothing or all of it, and of several calls with one key the first rename wins. Taking back writes the tombstone
`undone/<port>/<name>` first, then moves away the key's staging folder, then what was placed.

Placing creates its staging folder *before* it looks for the tombstone. So either it sees the tombstone, or the undo
that follows takes the staging folder from under it and the rename fails: no call that was late, frozen or cut off
can make anything after the undo, and none needs to live long enough to tidy up after itself. What was placed goes last,
after the staging folder is deleted and not only moved: the kernel may be in the middle of a rename out of it.
"""

import errno
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from consumers.campaign.adapters.names import name_of
from consumers.campaign.ports import AlreadyUndone


class Shelf:
    """The folders of one port. Its methods block: call them in a thread. All of `home` must be on one file system."""

    def __init__(self, home: Path, port: str, place: str) -> None:
        self.root = home / place
        self._staging = home / "staging" / port
        self._undone = home / "undone" / port

    def find(self, key: str) -> Path | None:
        """The folder placed under the key, if there is one."""
        target = self.root / name_of(key)
        return target if target.is_dir() else None

    def place(self, key: str, fill: Callable[[Path], None]) -> Path:
        """Let `fill` fill the key's folder, unless it stands already. Raises AlreadyUndone after `take_back`."""
        name = name_of(key)
        target, tombstone = self.root / name, self._undone / name
        own = self._staging / name / secrets.token_hex(8)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            own.mkdir(parents=True)
            if not tombstone.exists() and not target.exists():
                fill(own)
                own.rename(target)
        except OSError:
            # Another call may have been first, or an undo may have taken the staging folder: that is no failure here.
            if not target.exists() and not tombstone.exists():
                raise
        finally:
            _delete(own)
            with suppress(OSError):
                own.parent.rmdir()
        self._refuse_undone(name)
        # Whatever attempts that were cut off have left behind.
        self._clear(name)
        return target

    def read(self, key: str, file: str) -> str:
        """The text of a file in the key's folder. Raises AlreadyUndone if `take_back` has removed it."""
        name = name_of(key)
        try:
            return (self.root / name / file).read_text("utf-8")
        except FileNotFoundError:
            self._refuse_undone(name)
            raise

    def take_back(self, key: str) -> None:
        """Remove what stands under the key, and let nothing be placed there again. Twice is a success."""
        name = name_of(key)
        self._undone.mkdir(parents=True, exist_ok=True)
        (self._undone / name).touch()
        self._clear(name)
        self._move_away(self.root / name, name)
        self._clear(name)

    def _refuse_undone(self, name: str) -> None:
        if (self._undone / name).exists():
            raise AlreadyUndone(f"{self._undone.name} {name} was taken back")

    def _move_away(self, folder: Path, name: str) -> None:
        # Renamed first, so that nobody sees half of it and nothing can be added while it is being deleted.
        self._staging.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            folder.rename(self._staging / f"{name}.gone-{secrets.token_hex(8)}")

    def _clear(self, name: str) -> None:
        self._move_away(self._staging / name, name)
        for gone in self._staging.glob(f"{name}.gone-*"):
            _delete(gone)


def _delete(folder: Path) -> None:
    while True:
        try:
            return shutil.rmtree(folder, onerror=_unless_gone)
        except OSError as failure:
            # A call that was on its way when the folder was moved has still put something into it.
            if failure.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def _unless_gone(function: Any, path: str, failure: Any) -> None:
    if not isinstance(failure[1], FileNotFoundError):
        raise failure[1]
