"""The person's decision in `soma run`: what it is about, and what they say."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from deploy.cli.talking import printable, user_name
from schemas.campaign import ContentDrafted, ReviewRequested

REASON = "rejected on the command line"
Verb = Literal["approve", "reject"]


@dataclass(frozen=True)
class Decision:
    """What is to be published: `campaign.<verb>` with this body."""

    verb: Verb
    body: dict[str, Any]


def decision(verb: Verb, reason: str = REASON) -> Decision:
    """The decision, in the name of whoever sits at this command line."""
    body = {"reviewer": user_name()} | ({"reason": reason} if verb == "reject" else {})
    return Decision(verb, body)


class EndOfInput(Exception):
    """Nobody will say anything more."""


class Keyboard:
    """Lines from stdin, without a thread: waiting for one can be given up."""

    def __init__(self) -> None:
        self._typed = b""

    async def line(self) -> str:
        """The next line; raises `EndOfInput` where there is none."""
        while b"\n" not in self._typed:
            more = await self._more()
            if not more:
                raise EndOfInput
            self._typed += more
        line, _, self._typed = self._typed.partition(b"\n")
        return line.decode(errors="replace").strip()

    async def _more(self) -> bytes:
        loop, number = asyncio.get_running_loop(), sys.stdin.fileno()
        readable = loop.create_future()
        loop.add_reader(number, _done, readable)
        try:
            await readable
            return os.read(number, 4096)
        except OSError:
            # The terminal was closed.
            return b""
        finally:
            loop.remove_reader(number)


def _done(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)


def show_draft(console: Console, facts: list[tuple[str, dict[str, Any]]], home: Path) -> None:
    """Print the texts that were drafted, and where the draft and the banners lie."""
    latest = dict(facts)
    drafted = latest.get(ContentDrafted.wire_type, {})
    asked = latest.get(ReviewRequested.wire_type, {})
    console.print(Text(f"\n{asked.get('headline', '')}", "bold"))
    for channel, text in drafted.get("texts", {}).items():
        shown = "\n".join(printable(line) for line in text.strip().splitlines())
        console.print(Panel(Text(shown), title=channel, title_align="left", width=min(console.width, 100)))
    for name, path in {"draft": asked.get("draft"), **asked.get("banners", {})}.items():
        if path:
            what = name if name == "draft" else f"banner for {name}"
            console.print(Text(f"{what}: {home / path}"), soft_wrap=True)


async def decided(console: Console, keyboard: Keyboard) -> Decision:
    """Ask until the person approves or rejects; raises `EndOfInput` where they only leave."""
    while True:
        console.print(Text("Approve or reject? [a/r] ", "bold"), end="")
        said = (await keyboard.line()).lower()
        if said in ("a", "approve", "y", "yes"):
            return decision("approve")
        if said in ("r", "reject", "n", "no"):
            console.print(Text("Why? (Enter leaves it open) "), end="")
            return decision("reject", await keyboard.line() or REASON)
