"""The door's first step: let the campaign begin."""

from consumers.runtime.steps import on
from schemas.campaign import CampaignOpened, StartCampaign


@on(StartCampaign)
async def open_campaign(start: StartCampaign) -> CampaignOpened:
    """Open the campaign with the brief as it was given. Has no effect, so it may be called again."""
    return CampaignOpened(**start.model_dump())
