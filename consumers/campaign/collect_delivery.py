"""Count what has really arrived; the campaign is complete."""

from consumers.campaign.ports import Deliveries
from consumers.runtime.steps import Call, on
from schemas.campaign import (
    BlogNotWanted,
    BlogPublished,
    CampaignCompleted,
    Channel,
    EmailNotWanted,
    EmailPrepared,
    EmailSent,
    EmailSkipped,
    SocialNotWanted,
    SocialPublished,
)


@on(EmailSent, EmailSkipped, failure="hold")
async def collect_delivery(
    sent: EmailSent | EmailSkipped,
    blog: BlogPublished | BlogNotWanted,
    social: SocialPublished | SocialNotWanted,
    email: EmailPrepared | EmailNotWanted,
    deliveries: Deliveries,
    call: Call,
) -> CampaignCompleted:
    """Look for the page, the entry and the sent mail rather than believe what was said; may be called again."""
    delivered: dict[Channel, int] = {}
    links: dict[Channel, str] = {}
    if isinstance(blog, BlogPublished):
        delivered["blog"], links["blog"] = await deliveries.pages(blog.url), blog.url
    if isinstance(social, SocialPublished):
        delivered["social"], links["social"] = await deliveries.entries(social.url), social.url
    if isinstance(email, EmailPrepared):
        delivered["email"], links["email"] = await deliveries.mails(email.folder), email.folder
    return CampaignCompleted(saga_id=call.saga_id, delivered=delivered, links=links)
