"""Write what will be said on each channel."""

from consumers.campaign.ports import Copywriter, Drafts, key_of
from consumers.runtime.steps import Call, on
from schemas.campaign import AudienceResearched, CampaignOpened, ContentDrafted


@on(AudienceResearched)
async def draft_content(
    research: AudienceResearched, opened: CampaignOpened, copywriter: Copywriter, drafts: Drafts, call: Call
) -> ContentDrafted:
    """Draft a text per channel and save it. The key makes a repeated call return what was saved first."""
    copy = await copywriter.write(opened, research.findings, research.keywords)
    saved = await drafts.save(key_of(call), copy)
    return ContentDrafted(
        saga_id=call.saga_id,
        headline=saved.copy.headline,
        summary=saved.copy.summary,
        path=saved.path,
        texts=dict(saved.copy.texts),
    )
