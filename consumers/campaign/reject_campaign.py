"""Hear the reviewer's no."""

from consumers.runtime.steps import Call, on
from schemas.campaign import CampaignApproved, CampaignRejected, RejectCampaign, ReviewRequested
from schemas.engine import CommandRefused


@on(RejectCampaign)
async def reject_campaign(
    reject: RejectCampaign, asked: ReviewRequested | None, approved: CampaignApproved | None, call: Call
) -> CampaignRejected | CommandRefused:
    """Reject what was asked about; refuse what is not, or no longer, asked. Has no effect: it may be called again."""
    if approved is not None:
        return call.refused(f"already approved by {approved.reviewer}: cancel the campaign to take it back")
    if asked is None:
        return call.refused("no review has been asked for yet: reject once the status says so, or cancel the campaign")
    return CampaignRejected(saga_id=call.saga_id, reviewer=reject.reviewer, reason=reject.reason)
