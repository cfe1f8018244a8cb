"""Open the way for the mail, once every other channel has spoken."""

from consumers.runtime.steps import Call, join
from schemas.campaign import (
    BlogNotWanted,
    BlogPublished,
    DeliveryCleared,
    EmailNotWanted,
    EmailPrepared,
    SocialNotWanted,
    SocialPublished,
)


@join(BlogPublished | BlogNotWanted, SocialPublished | SocialNotWanted, EmailPrepared | EmailNotWanted, deadline="6h")
async def clear_delivery(
    blog: BlogPublished | BlogNotWanted,
    social: SocialPublished | SocialNotWanted,
    email: EmailPrepared | EmailNotWanted,
    call: Call,
) -> DeliveryCleared:
    """Clear the delivery when all that can be undone is done. Has no effect, so it may be called again.

    This is the door's because only the door can order it against a cancel: it hears the commands. The step that
    sends the mail, which has no way back, hears nothing but what the door has cleared.
    """
    return DeliveryCleared(saga_id=call.saga_id)
