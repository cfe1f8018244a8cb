"""Banners on disk: one folder per key, one picture per channel."""

import asyncio
from pathlib import Path

from consumers.campaign.adapters.banner import banner
from consumers.campaign.adapters.shelf import Shelf
from schemas.campaign import Channel

SIZES: dict[Channel, tuple[int, int]] = {"blog": (1200, 630), "social": (1080, 1080), "email": (600, 200)}


class PicturesOnDisk:
    """Keeps banners below `pictures/`; repeating, racing and undoing are safe as `shelf.py` says."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._shelf = Shelf(home, "pictures", "pictures")

    async def draw(self, key: str, headline: str, summary: str, channels: tuple[Channel, ...]) -> dict[Channel, str]:
        """Draw one banner per channel; returns their paths. Raises AlreadyUndone after `remove`."""
        return await asyncio.to_thread(self._draw, key, headline, summary, channels)

    async def remove(self, key: str) -> None:
        """Remove the banners, and let none be drawn under the key again. Twice is a success."""
        await asyncio.to_thread(self._shelf.take_back, key)

    def _draw(self, key: str, headline: str, summary: str, channels: tuple[Channel, ...]) -> dict[Channel, str]:
        def fill(folder: Path) -> None:
            for channel in channels:
                # Packing harder would take most of the time and save a tenth of the bytes.
                banner(SIZES[channel], headline, summary).save(folder / f"{channel}.png", compress_level=3)

        folder = self._shelf.place(key, fill).relative_to(self._home)
        return {channel: (folder / f"{channel}.png").as_posix() for channel in channels}
