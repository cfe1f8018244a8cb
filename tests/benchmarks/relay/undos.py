"""How a relay's six effects are taken back: by the key alone, and each says so."""

from consumers.runtime.steps import Call, undo

from .schema import (
    AssetsDiscarded,
    AssetsDrawn,
    BlogPublished,
    BlogWithdrawn,
    ContentDiscarded,
    ContentWritten,
    EmailDiscarded,
    EmailPrepared,
    ResearchDiscarded,
    Researched,
    SocialPublished,
    SocialWithdrawn,
)
from .steps import Effects


@undo(Researched)
async def discard_research(fact: Researched | None, effects: Effects, call: Call) -> ResearchDiscarded:
    await effects.take_back(call.key)
    return ResearchDiscarded(saga_id=call.saga_id)


@undo(ContentWritten)
async def discard_content(fact: ContentWritten | None, effects: Effects, call: Call) -> ContentDiscarded:
    await effects.take_back(call.key)
    return ContentDiscarded(saga_id=call.saga_id)


@undo(AssetsDrawn)
async def discard_assets(fact: AssetsDrawn | None, effects: Effects, call: Call) -> AssetsDiscarded:
    await effects.take_back(call.key)
    return AssetsDiscarded(saga_id=call.saga_id)


@undo(BlogPublished)
async def withdraw_blog(fact: BlogPublished | None, effects: Effects, call: Call) -> BlogWithdrawn:
    await effects.take_back(call.key)
    return BlogWithdrawn(saga_id=call.saga_id)


@undo(SocialPublished)
async def withdraw_social(fact: SocialPublished | None, effects: Effects, call: Call) -> SocialWithdrawn:
    await effects.take_back(call.key)
    return SocialWithdrawn(saga_id=call.saga_id)


@undo(EmailPrepared)
async def discard_email(fact: EmailPrepared | None, effects: Effects, call: Call) -> EmailDiscarded:
    await effects.take_back(call.key)
    return EmailDiscarded(saga_id=call.saga_id)


UNDOS = (discard_email, withdraw_social, withdraw_blog, discard_assets, discard_content, discard_research)
