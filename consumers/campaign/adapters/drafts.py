"""Drafts on disk: one folder per key, one file per channel."""

import asyncio
import json
from pathlib import Path

from consumers.campaign.adapters.shelf import Shelf
from consumers.campaign.ports import Copy, SavedDraft

FILES = {"blog": "blog.md", "social": "social.txt", "email": "email.txt"}


class DraftsOnDisk:
    """Keeps each draft below `drafts/`; repeating, racing and undoing are safe as `shelf.py` says."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._shelf = Shelf(home, "drafts", "drafts")

    async def save(self, key: str, copy: Copy) -> SavedDraft:
        """Keep the copy; a repeated call returns what the first one saved. Raises AlreadyUndone after `discard`."""
        return await asyncio.to_thread(self._save, key, copy)

    async def discard(self, key: str) -> None:
        """Remove the draft, and let none be saved under the key again. Twice is a success."""
        await asyncio.to_thread(self._shelf.take_back, key)

    def _save(self, key: str, copy: Copy) -> SavedDraft:
        def fill(folder: Path) -> None:
            for channel, text in copy.texts.items():
                (folder / FILES[channel]).write_text(text, "utf-8")
            whole = {"headline": copy.headline, "summary": copy.summary, "texts": dict(copy.texts)}
            (folder / "copy.json").write_text(json.dumps(whole, ensure_ascii=False, indent=2), "utf-8")

        path = self._shelf.place(key, fill).relative_to(self._home).as_posix()
        try:
            return SavedDraft(path, Copy(**json.loads(self._shelf.read(key, "copy.json"))))
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{path}/copy.json is damaged: {error}") from error
