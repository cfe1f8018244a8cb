"""The campaign's ports in the simulated world: what stands out there, and everything that was ever asked for."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from compensations.campaign import UNDOS
from consumers.campaign import FLOW
from consumers.campaign.ports import (
    AlreadyUndone,
    Blog,
    Copy,
    Copywriter,
    Deliveries,
    Dispatch,
    Drafts,
    MailDeclined,
    Outbox,
    Pictures,
    PostDeclined,
    PreparedMail,
    SavedDraft,
    SocialFeed,
)
from consumers.runtime.graph import Graph, graph_of
from schemas.topics import catalogue
from tests.simulation.world import World

BRIEF: dict[str, Any] = {
    "name": "Spring",
    "goal": "Sell tulips",
    "audience": {"description": "gardeners", "recipients": ["a@example.org", "b@example.org"]},
    "channels": ["email", "social", "blog"],
    "review_timeout_hours": 0.01,
}


@cache
def campaign_graph() -> Graph:
    """The campaign as it ships."""
    return graph_of(FLOW, UNDOS, catalogue()["campaign"])


@dataclass
class Outside:
    """What stands in the world, by (what, key); `log` keeps the order of everything made and removed."""

    world: World
    standing: set[tuple[str, str]] = field(default_factory=set)
    gone: set[tuple[str, str]] = field(default_factory=set)
    making: str = ""
    log: list[str] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)
    fail: dict[str, int] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    mutations: int = 0
    before: Callable[[str], None] = lambda what: None

    async def hop(self) -> None:
        await asyncio.sleep(self.world.random.uniform(0.0001, 0.002))

    async def make(self, what: str, key: str) -> None:
        await self.hop()
        self.making = key
        self.before(what)
        await asyncio.sleep(self.slow.get(key.split("/", maxsplit=1)[0], 0.0))
        self.mutations += 1
        if self.fail.get(what, 0):
            self.fail[what] -= 1
            raise ConnectionError(f"{what} does not answer")
        if (what, key) in self.gone:
            raise AlreadyUndone(key)
        if what in self.refuse:
            raise (MailDeclined if what == "outbox" else PostDeclined)("not here")
        self.log.append(f"+{what}")
        self.standing.add((what, key))
        await self.hop()

    async def remove(self, what: str, key: str) -> None:
        await self.hop()
        if self.fail.get(f"-{what}", 0):
            self.fail[f"-{what}"] -= 1
            raise ConnectionError(f"{what} does not answer")
        self.mutations += 1
        self.gone.add((what, key))
        if (what, key) in self.standing:
            self.log.append(f"-{what}")
            self.standing.discard((what, key))
        await self.hop()


class SimulatedPorts:
    """Every port of the campaign over one `Outside`."""

    def __init__(self, outside: Outside, what: str) -> None:
        self._outside, self._what = outside, what

    async def write(self, brief: Any, findings: Any, keywords: Any) -> Copy:
        return Copy("headline", "summary", dict.fromkeys(brief.channels, "text"))

    async def save(self, key: str, copy: Copy) -> SavedDraft:
        await self._outside.make(self._what, key)
        return SavedDraft(f"drafts/{key}", copy)

    async def draw(self, key: str, headline: str, summary: str, channels: Any) -> dict[str, str]:
        await self._outside.make(self._what, key)
        return {channel: f"pictures/{key}-{channel}.png" for channel in channels}

    async def publish(self, key: str, post: Any) -> str:
        await self._outside.make(self._what, key)
        return f"{self._what}/{key}"

    async def prepare(self, key: str, mailing: Any) -> PreparedMail:
        await self._outside.make(self._what, key)
        return PreparedMail(f"outbox/{key}", len(mailing.recipients))

    async def send(self, folder: str) -> Dispatch:
        await self._outside.hop()
        if self._outside.fail.get("mail", 0):
            self._outside.fail["mail"] -= 1
            raise ConnectionError("mail does not answer")
        self._outside.mutations += 1
        self._outside.mails.append(folder)
        await self._outside.hop()
        return Dispatch(2, 0)

    async def remove(self, key: str) -> None:
        await self._outside.remove(self._what, key)

    discard = unpublish = remove

    async def pages(self, url: str) -> int:
        return 1

    entries = mails = pages


class CampaignWorld(World):
    """A world in which campaigns run; `outside` is what they can touch."""

    outside: Outside

    def __init__(self, seed: int = 0) -> None:
        super().__init__(campaign_graph(), self._ports, seed)

    def _ports(self, world: World) -> dict[type, object]:
        self.outside = Outside(world)
        named: dict[type, str] = {
            Copywriter: "copy",
            Drafts: "draft",
            Pictures: "picture",
            Blog: "page",
            SocialFeed: "entry",
            Outbox: "outbox",
            Deliveries: "deliveries",
        }
        return {kind: SimulatedPorts(self.outside, what) for kind, what in named.items()}

    def outside_mutations(self) -> int:
        return self.outside.mutations

    def current_saga(self) -> str:
        """The saga for which something is being made just now."""
        return self.outside.making.split("/")[0]
