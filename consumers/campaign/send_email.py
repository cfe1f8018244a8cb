"""Pivot: let the mail leave."""

from consumers.campaign.ports import Outbox
from consumers.runtime.steps import Call, Retry, on
from schemas.campaign import DeliveryCleared, EmailNotWanted, EmailPrepared, EmailSent, EmailSkipped


@on(DeliveryCleared, pivot=True, failure="hold", timeout="10m", retry=Retry(attempts=8, first="1s", most="1m"))
async def send_email(
    cleared: DeliveryCleared, email: EmailPrepared | EmailNotWanted, outbox: Outbox, call: Call
) -> EmailSent | EmailSkipped:
    """Send what was prepared. A repeated call sends only what is not known to be sent, under the same Message-ID.

    There is no way back from here, so a mail server that takes nothing holds the campaign until a person retries it.
    """
    if isinstance(email, EmailNotWanted):
        return EmailSkipped(saga_id=call.saga_id)
    dispatch = await outbox.send(email.folder)
    return EmailSent(saga_id=call.saga_id, sent=dispatch.sent, refused=dispatch.refused)
