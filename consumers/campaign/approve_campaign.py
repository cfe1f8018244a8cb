"""Hear the reviewer's yes."""

from consumers.runtime.steps import Call, on
from schemas.campaign import ApproveCampaign, CampaignApproved, ReviewRequested
from schemas.engine import CommandRefused


@on(ApproveCampaign)
async def approve_campaign(
    approve: ApproveCampaign, asked: ReviewRequested | None, approved: CampaignApproved | None, call: Call
) -> CampaignApproved | CommandRefused:
    """Approve what was asked about; refuse what is not, or no longer, asked. Has no effect: it may be called again."""
    if approved is not None:
        return call.refused(f"already approved by {approved.reviewer}: nothing is left to approve")
    if asked is None:
        return call.refused("no review has been asked for yet: approve once the status says it waits for approval")
    return CampaignApproved(saga_id=call.saga_id, reviewer=approve.reviewer, note=approve.note)
