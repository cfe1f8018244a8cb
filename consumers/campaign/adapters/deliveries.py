"""Looks on the disk for what was delivered."""

import asyncio
import json
from pathlib import Path

from consumers.campaign.adapters.names import is_message_name


class DeliveriesOnDisk:
    """Counts pages, entries and sent mail. Changes nothing, so it may be called at any time."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def pages(self, url: str) -> int:
        """How many pages are found at the address: one or none."""
        return int(await asyncio.to_thread((self._home / url).is_file))

    async def entries(self, url: str) -> int:
        """How many entries of the feed are found under the address: one or none."""
        return await asyncio.to_thread(self._entries, url)

    async def mails(self, folder: str) -> int:
        """How many messages of this outbox folder the mail server has accepted."""
        return await asyncio.to_thread(self._mails, folder)

    def _mails(self, folder: str) -> int:
        try:
            return sum(is_message_name(file.name) for file in (self._home / folder / "sent").iterdir())
        except FileNotFoundError:
            return 0

    def _entries(self, url: str) -> int:
        file, _, name = url.partition("#")
        try:
            feed = json.loads((self._home / file).read_text("utf-8"))
        except FileNotFoundError:
            return 0
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{file} is no JSON ({error}): the next publication in the feed writes it again"
            ) from error
        items = feed.get("items") if isinstance(feed, dict) else None
        return sum(isinstance(item, dict) and item.get("id") == name for item in items or ())
