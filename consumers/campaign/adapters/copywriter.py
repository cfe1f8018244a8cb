"""A copywriter who fills in templates. One who asks a language model would fit the same port."""

import asyncio
import re
import unicodedata

from consumers.campaign.adapters.rendering import rendered
from consumers.campaign.ports import Copy
from schemas.campaign import Brief, Channel

MOST_SOCIAL_CHARACTERS = 280
MOST_SUMMARY_CHARACTERS = 180
MOST_HASHTAGS = 3
MOST_HASHTAG_CHARACTERS = 24
FEWEST_LEAD_CHARACTERS = 20
JOINERS = "\u200c\u200d"


class TemplateCopywriter:
    """Writes the same words for the same brief and research. The templates speak English around the brief's words."""

    async def write(self, brief: Brief, findings: tuple[str, ...], keywords: tuple[str, ...]) -> Copy:
        """The words for every channel of the brief."""
        return await asyncio.to_thread(self._write, brief, findings, keywords)

    def _write(self, brief: Brief, findings: tuple[str, ...], keywords: tuple[str, ...]) -> Copy:
        headline = one_line(brief.name)
        # What only repeats the goal, as it does when there are no sources, is not told twice.
        news = [finding for finding in findings if finding not in one_line(brief.goal)]
        texts: dict[Channel, str] = {}
        for channel in brief.channels:
            if channel == "social":
                texts[channel] = _social_text(headline, (news or [one_line(brief.goal)])[0], keywords)
            else:
                template = "blog.md.j2" if channel == "blog" else "email.txt.j2"
                texts[channel] = rendered(template, brief=brief, findings=news, headline=headline).strip() + "\n"
        return Copy(headline, _summary(brief.goal), texts)


def one_line(text: str) -> str:
    """The text without line breaks, control and format characters, and runs of spaces.

    The two joiners stay: Persian and Hindi words, and many emoji, fall apart without them.
    """
    return " ".join("".join(map(_shown, text)).split())


def _shown(letter: str) -> str:
    if letter.isprintable() or letter in JOINERS:
        return letter
    # A soft hyphen or a direction mark stands inside a word.
    return "" if unicodedata.category(letter) == "Cf" else " "


def shortened(text: str, most_characters: int) -> str:
    """The text, cut at a word and marked with an ellipsis if it is too long."""
    if len(text) <= most_characters:
        return text
    head = text[: most_characters - 1]
    cut = head.rpartition(" ")[0]
    return (cut if len(cut) > most_characters // 2 else head).rstrip(" ,;:-") + "\u2026"


def _summary(goal: str) -> str:
    first = re.split(r"(?<=[.!?\u2026])\s+|(?<=[\u3002\uff01\uff1f])", one_line(goal), maxsplit=1)[0]
    return shortened(first, MOST_SUMMARY_CHARACTERS)


def _social_text(headline: str, lead: str, keywords: tuple[str, ...]) -> str:
    words = (re.sub(r"\W|_", "", keyword) for keyword in keywords)
    tags = ["#" + word for word in words if 2 < len(word) < MOST_HASHTAG_CHARACTERS][:MOST_HASHTAGS]
    room = MOST_SOCIAL_CHARACTERS - len(rendered("social.txt.j2", headline=headline, lead="", tags=tags).strip()) - 2
    lead = shortened(lead, room) if room >= FEWEST_LEAD_CHARACTERS else ""
    return rendered("social.txt.j2", headline=headline, lead=lead, tags=tags).strip()
