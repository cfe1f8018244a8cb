"""How a campaign is undone, last step first.

A compensation is handed the fact it takes back or, when nobody knows whether the step got that far, None: so it goes
by the key alone, which is the one the step was called with. It cannot refuse, is tried until it succeeds, and may be
called again: what is already gone counts as taken back.
"""

from consumers.campaign.ports import Blog, Drafts, Outbox, Pictures, SocialFeed, key_of
from consumers.runtime.steps import Call, undo
from schemas.campaign import (
    AssetsDesigned,
    AssetsRemoved,
    BlogPublished,
    BlogUnpublished,
    ContentDiscarded,
    ContentDrafted,
    EmailDiscarded,
    EmailPrepared,
    SocialPublished,
    SocialUnpublished,
)


@undo(EmailPrepared)
async def discard_email(prepared: EmailPrepared | None, outbox: Outbox, call: Call) -> EmailDiscarded:
    """Empty the outbox of this campaign, before anything has left."""
    await outbox.discard(key_of(call))
    return EmailDiscarded(saga_id=call.saga_id)


@undo(SocialPublished)
async def unpublish_social(published: SocialPublished | None, social: SocialFeed, call: Call) -> SocialUnpublished:
    """Take the entry out of the feed."""
    await social.unpublish(key_of(call))
    return SocialUnpublished(saga_id=call.saga_id)


@undo(BlogPublished)
async def unpublish_blog(published: BlogPublished | None, blog: Blog, call: Call) -> BlogUnpublished:
    """Take the post off the blog."""
    await blog.unpublish(key_of(call))
    return BlogUnpublished(saga_id=call.saga_id)


@undo(AssetsDesigned)
async def remove_assets(designed: AssetsDesigned | None, pictures: Pictures, call: Call) -> AssetsRemoved:
    """Remove the banners."""
    await pictures.remove(key_of(call))
    return AssetsRemoved(saga_id=call.saga_id)


@undo(ContentDrafted)
async def discard_content(drafted: ContentDrafted | None, drafts: Drafts, call: Call) -> ContentDiscarded:
    """Remove the draft."""
    await drafts.discard(key_of(call))
    return ContentDiscarded(saga_id=call.saga_id)


UNDOS = (discard_email, unpublish_social, unpublish_blog, remove_assets, discard_content)
