"""Write the mail to each recipient, and keep it until it may leave."""

from consumers.campaign.ports import MailDeclined, Mailing, Outbox, key_of
from consumers.runtime.steps import Call, on
from schemas.campaign import (
    AssetsDesigned,
    CampaignApproved,
    CampaignOpened,
    ContentDrafted,
    EmailNotWanted,
    EmailPrepared,
    EmailRefused,
)


# Two thousand recipients take about ten seconds of an idle machine.
@on(CampaignApproved, timeout="2m")
async def prepare_email(
    approved: CampaignApproved,
    opened: CampaignOpened,
    draft: ContentDrafted,
    assets: AssetsDesigned,
    outbox: Outbox,
    call: Call,
) -> EmailPrepared | EmailRefused | EmailNotWanted:
    """Put one message per recipient into the outbox. The key makes a repeated call find those it already wrote."""
    recipients = opened.audience.recipients
    if "email" not in opened.channels or not recipients:
        return EmailNotWanted(saga_id=call.saga_id)
    mailing = Mailing(draft.headline, draft.texts["email"], assets.banners["email"], recipients, call.now)
    try:
        prepared = await outbox.prepare(key_of(call), mailing)
    except MailDeclined as declined:
        return EmailRefused(saga_id=call.saga_id, reason=str(declined))
    return EmailPrepared(saga_id=call.saga_id, recipients=prepared.recipients, folder=prepared.folder)
