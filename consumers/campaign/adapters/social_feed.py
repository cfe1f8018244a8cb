"""A social feed that is a JSON Feed on disk (https://www.jsonfeed.org/version/1.1/)."""

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from consumers.campaign.adapters.house_rules import HouseRules
from consumers.campaign.adapters.listing import Listing, Note, write_note
from consumers.campaign.adapters.shelf import Shelf
from consumers.campaign.ports import Post, PostDeclined

FEED = "site/feed.json"


class FeedNote(Note):
    """What the feed shows of an entry."""

    text: str


class JsonFeedOnDisk:
    """Keeps an entry at `site/entries/<name>/` each, and derives `site/feed.json` from them.

    Repeating, racing and undoing are safe as `shelf.py` and `listing.py` say.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._rules = HouseRules(home)
        self._shelf = Shelf(home, "social", "site/entries")
        self._feed = Listing(self._shelf.root, home / FEED, FeedNote, _feed)

    async def publish(self, key: str, post: Post) -> str:
        """Put the entry into the feed; returns the feed's path, with the entry's id as fragment.

        Raises PostDeclined if the house rules forbid it, AlreadyUndone after `unpublish`.
        """
        name = await asyncio.to_thread(self._place, key, post)
        await self._feed.renew()
        return f"{FEED}#{name}"

    async def unpublish(self, key: str) -> None:
        """Take the entry out of the feed, and let none be published under the key again."""
        await asyncio.to_thread(self._shelf.take_back, key)
        await self._feed.renew()

    def passed_over(self) -> int:
        """How many entries the feed leaves out because their folders cannot be read; for the metrics."""
        return len(self._feed.skipped)

    def _place(self, key: str, post: Post) -> str:
        # What already stands was allowed when it was made: declining now would leave it there, never to be undone.
        if self._shelf.find(key) is None:
            broken = self._rules.broken_by("social", post.title, post.text)
            if broken is not None:
                raise PostDeclined(f'the house rules of the social feed forbid "{broken}"')

        def fill(folder: Path) -> None:
            shutil.copyfile(self._home / post.banner, folder / "banner.png")
            write_note(folder, FeedNote(title=post.title, text=post.text, published_at=post.published_at))

        return self._shelf.place(key, fill).name


def _feed(entries: Sequence[FeedNote]) -> str:
    items = [
        {
            "id": entry.name,
            "title": entry.title,
            "content_text": entry.text,
            "image": f"entries/{entry.name}/banner.png",
            "date_published": entry.published_at.isoformat(),
        }
        for entry in entries
    ]
    feed = {"version": "https://jsonfeed.org/version/1.1", "title": "Campaigns", "items": items}
    return json.dumps(feed, ensure_ascii=False, indent=1)
