"""The words a channel does not carry."""

import re
import unicodedata
from pathlib import Path

from schemas.campaign import Channel


class HouseRules:
    """Reads `rules/<channel>.txt`: one forbidden word or phrase a line, in any case. No file, no rules."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "rules"

    def broken_by(self, channel: Channel, *texts: str) -> str | None:
        """The first rule that one of the texts breaks, if any. Blocks: call it in a thread."""
        try:
            rules = (self._folder / f"{channel}.txt").read_text("utf-8-sig", "replace").splitlines()
        except FileNotFoundError:
            return None
        said = _folded(" \n ".join(texts))
        return next((rule.strip() for rule in rules if rule.strip() and _pattern(_folded(rule)).search(said)), None)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _pattern(phrase: str) -> re.Pattern[str]:
    # Whole words, so that "ass" lets "class" pass; but Chinese and its neighbours write no spaces between them.
    spaceless = any(unicodedata.east_asian_width(character) in "WF" for character in phrase)
    return re.compile(re.escape(phrase) if spaceless else rf"(?<!\w){re.escape(phrase)}(?!\w)")
