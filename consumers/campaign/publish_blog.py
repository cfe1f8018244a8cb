"""Put the campaign on the blog."""

from consumers.campaign.ports import Blog, Post, PostDeclined, key_of
from consumers.runtime.steps import Call, on
from schemas.campaign import (
    AssetsDesigned,
    BlogNotWanted,
    BlogPublished,
    BlogRefused,
    CampaignApproved,
    CampaignOpened,
    ContentDrafted,
)


@on(CampaignApproved)
async def publish_blog(
    approved: CampaignApproved,
    opened: CampaignOpened,
    draft: ContentDrafted,
    assets: AssetsDesigned,
    blog: Blog,
    call: Call,
) -> BlogPublished | BlogRefused | BlogNotWanted:
    """Put the post on the blog. The key makes a repeated call find the post it already made."""
    if "blog" not in opened.channels:
        return BlogNotWanted(saga_id=call.saga_id)
    post = Post(draft.headline, draft.summary, draft.texts["blog"], assets.banners["blog"], call.now)
    try:
        url = await blog.publish(key_of(call), post)
    except PostDeclined as declined:
        return BlogRefused(saga_id=call.saga_id, reason=str(declined))
    return BlogPublished(saga_id=call.saga_id, url=url)
