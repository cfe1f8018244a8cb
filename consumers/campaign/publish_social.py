"""Put the campaign into the social feed."""

from consumers.campaign.ports import Post, PostDeclined, SocialFeed, key_of
from consumers.runtime.steps import Call, on
from schemas.campaign import (
    AssetsDesigned,
    CampaignApproved,
    CampaignOpened,
    ContentDrafted,
    SocialNotWanted,
    SocialPublished,
    SocialRefused,
)


@on(CampaignApproved)
async def publish_social(
    approved: CampaignApproved,
    opened: CampaignOpened,
    draft: ContentDrafted,
    assets: AssetsDesigned,
    social: SocialFeed,
    call: Call,
) -> SocialPublished | SocialRefused | SocialNotWanted:
    """Put the entry into the social feed. The key makes a repeated call find the entry it already made."""
    if "social" not in opened.channels:
        return SocialNotWanted(saga_id=call.saga_id)
    post = Post(draft.headline, draft.summary, draft.texts["social"], assets.banners["social"], call.now)
    try:
        url = await social.publish(key_of(call), post)
    except PostDeclined as declined:
        return SocialRefused(saga_id=call.saga_id, reason=str(declined))
    return SocialPublished(saga_id=call.saga_id, url=url)
