"""Stop waiting for a reviewer who does not answer."""

from consumers.runtime.steps import Call, Later, on
from schemas.campaign import CampaignApproved, CampaignExpired, ReviewRequested


@on(ReviewRequested)
async def expire_review(
    asked: ReviewRequested, approved: CampaignApproved | None, call: Call
) -> CampaignExpired | Later | None:
    """Let the review expire at its deadline, unless it was approved. Has no effect, so it may be called again."""
    if approved is not None:
        return None
    if call.now < asked.deadline:
        return call.later(asked.deadline)
    return CampaignExpired(saga_id=call.saga_id)
