"""A blog that is a static site on disk."""

import asyncio
import shutil
from pathlib import Path

from consumers.campaign.adapters.house_rules import HouseRules
from consumers.campaign.adapters.listing import Listing, Note, write_note
from consumers.campaign.adapters.rendering import blocks, rendered
from consumers.campaign.adapters.shelf import Shelf
from consumers.campaign.ports import Post, PostDeclined


class BlogNote(Note):
    """What the index shows of a post."""

    summary: str


class BlogOnDisk:
    """Keeps a page per post at `site/posts/<name>/` and lists them in `site/index.html`.

    Repeating, racing and undoing are safe as `shelf.py` and `listing.py` say.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._rules = HouseRules(home)
        self._shelf = Shelf(home, "blog", "site/posts")
        self._index = Listing(
            self._shelf.root,
            home / "site" / "index.html",
            BlogNote,
            lambda entries: rendered("index.html.j2", entries=entries),
        )

    async def publish(self, key: str, post: Post) -> str:
        """Put the post on the site and into its index; returns the page's path.

        Raises PostDeclined if the house rules forbid it, AlreadyUndone after `unpublish`.
        """
        page = await asyncio.to_thread(self._place, key, post)
        await self._index.renew()
        return page

    async def unpublish(self, key: str) -> None:
        """Take the post off the site and its index, and let none be published under the key again."""
        await asyncio.to_thread(self._shelf.take_back, key)
        await self._index.renew()

    def passed_over(self) -> int:
        """How many posts the index leaves out because their folders cannot be read; for the metrics."""
        return len(self._index.skipped)

    def _place(self, key: str, post: Post) -> str:
        # What already stands was allowed when it was made: declining now would leave it there, never to be undone.
        if self._shelf.find(key) is None:
            broken = self._rules.broken_by("blog", post.title, post.summary, post.text)
            if broken is not None:
                raise PostDeclined(f'the house rules of the blog forbid "{broken}"')

        def fill(folder: Path) -> None:
            shutil.copyfile(self._home / post.banner, folder / "banner.png")
            page = rendered("post.html.j2", post=post, blocks=blocks(post.text))
            (folder / "index.html").write_text(page, "utf-8")
            write_note(folder, BlogNote(title=post.title, summary=post.summary, published_at=post.published_at))

        return (self._shelf.place(key, fill) / "index.html").relative_to(self._home).as_posix()
