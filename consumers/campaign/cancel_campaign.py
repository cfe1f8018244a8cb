"""Call the campaign off."""

from consumers.runtime.steps import Call, on
from schemas.campaign import CampaignCancelled, CampaignOpened, CancelCampaign, DeliveryCleared
from schemas.engine import CommandRefused


@on(CancelCampaign)
async def cancel_campaign(
    cancel: CancelCampaign, opened: CampaignOpened | None, cleared: DeliveryCleared | None, call: Call
) -> CampaignCancelled | CommandRefused:
    """Cancel at any time before delivery is cleared; refuse from then on. Has no effect, so it may be called again."""
    if opened is None:
        return call.refused("there is no such campaign: check the id, or start it first")
    if cleared is not None:
        return call.refused("delivery is cleared and mail may be leaving: the campaign can only be let run to its end")
    return CampaignCancelled(saga_id=call.saga_id, reason=cancel.reason)
