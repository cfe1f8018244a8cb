"""The relay's steps: each has an effect port that does nothing, and says one event."""

import asyncio
from typing import Protocol

from consumers.runtime.steps import Call, Flow, Participant, join, on

from .schema import (
    AnalyticsRefused,
    AssetsDrawn,
    BlogPublished,
    ContentWritten,
    EmailPrepared,
    RelayCompleted,
    RelayOpened,
    Researched,
    SocialPublished,
    StartRelay,
)

DOOR, STUDIO, CHANNELS, ANALYTICS = "relay.door", "relay.studio", "relay.channels", "relay.analytics"


class Effects(Protocol):
    """Somebody outside who is asked to do something, and to take it back."""

    async def make(self, key: str) -> None: ...

    async def take_back(self, key: str) -> None: ...


class NoEffects:
    """Does nothing, at once."""

    async def make(self, key: str) -> None:
        """Nothing is made."""

    async def take_back(self, key: str) -> None:
        """Nothing is taken back."""


@on(StartRelay)
async def open_relay(start: StartRelay) -> RelayOpened:
    return RelayOpened(saga_id=start.saga_id, refuse=start.refuse, sleep_seconds=start.sleep_seconds)


@on(RelayOpened)
async def research(opened: RelayOpened, effects: Effects, call: Call) -> Researched:
    await effects.make(call.key)
    return Researched(saga_id=call.saga_id)


@on(Researched)
async def write_content(researched: Researched, opened: RelayOpened, effects: Effects, call: Call) -> ContentWritten:
    if opened.sleep_seconds:
        await asyncio.sleep(opened.sleep_seconds)
    await effects.make(call.key)
    return ContentWritten(saga_id=call.saga_id)


@on(ContentWritten)
async def draw_assets(content: ContentWritten, effects: Effects, call: Call) -> AssetsDrawn:
    await effects.make(call.key)
    return AssetsDrawn(saga_id=call.saga_id)


@on(AssetsDrawn)
async def publish_blog(assets: AssetsDrawn, effects: Effects, call: Call) -> BlogPublished:
    await effects.make(call.key)
    return BlogPublished(saga_id=call.saga_id)


@on(AssetsDrawn)
async def publish_social(assets: AssetsDrawn, effects: Effects, call: Call) -> SocialPublished:
    await effects.make(call.key)
    return SocialPublished(saga_id=call.saga_id)


@on(AssetsDrawn)
async def prepare_email(assets: AssetsDrawn, effects: Effects, call: Call) -> EmailPrepared:
    await effects.make(call.key)
    return EmailPrepared(saga_id=call.saga_id)


@join(BlogPublished, SocialPublished, EmailPrepared, deadline="1h")
async def analyse(
    blog: BlogPublished, social: SocialPublished, email: EmailPrepared, opened: RelayOpened, call: Call
) -> RelayCompleted | AnalyticsRefused:
    if opened.refuse:
        return AnalyticsRefused(saga_id=call.saga_id, reason="it was asked to")
    return RelayCompleted(saga_id=call.saga_id)


FLOW = Flow(
    "relay",
    participants=(
        Participant(DOOR, steps=(open_relay,), door=True),
        Participant(STUDIO, steps=(research, write_content, draw_assets)),
        Participant(CHANNELS, steps=(publish_blog, publish_social, prepare_email)),
        Participant(ANALYTICS, steps=(analyse,)),
    ),
)
