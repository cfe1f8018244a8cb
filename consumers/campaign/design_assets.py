"""Draw the banners."""

from consumers.campaign.ports import Pictures, key_of
from consumers.runtime.steps import Call, on
from schemas.campaign import AssetsDesigned, CampaignOpened, ContentDrafted


@on(ContentDrafted)
async def design_assets(
    draft: ContentDrafted, opened: CampaignOpened, pictures: Pictures, call: Call
) -> AssetsDesigned:
    """Draw one banner per wanted channel. The key makes a repeated call find the pictures it already drew."""
    banners = await pictures.draw(key_of(call), draft.headline, draft.summary, opened.channels)
    return AssetsDesigned(saga_id=call.saga_id, banners=banners)
