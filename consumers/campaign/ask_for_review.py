"""Ask a person whether the campaign may go out."""

from datetime import timedelta

from consumers.runtime.steps import Call, on
from schemas.campaign import AssetsDesigned, CampaignApproved, CampaignOpened, ContentDrafted, ReviewRequested


@on(AssetsDesigned)
async def ask_for_review(
    assets: AssetsDesigned, opened: CampaignOpened, draft: ContentDrafted, call: Call
) -> ReviewRequested | CampaignApproved:
    """Ask for a decision, showing what is to be decided; approve at once if the brief asks for no review.

    The deadline counts from the call that is said first. Has no effect, so it may be called again.
    """
    if opened.review == "none":
        return CampaignApproved(saga_id=call.saga_id, reviewer="nobody", note="no review was asked for")
    return ReviewRequested(
        saga_id=call.saga_id,
        deadline=call.now + timedelta(hours=opened.review_timeout_hours),
        headline=draft.headline,
        summary=draft.summary,
        draft=draft.path,
        banners=assets.banners,
    )
