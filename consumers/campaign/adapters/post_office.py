"""The mail server, as somebody who hands in one message after the other sees it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from email.policy import SMTP as POLICY
from enum import Enum
from urllib.parse import parse_qs, unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPSenderRefused,
    SMTPServerDisconnected,
)

from schemas.addresses import mailbox

ANSWER_SECONDS = 30
CLOSING = 421


class Answer(Enum):
    """What became of one message; all but `UNREADABLE` is the server's word."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"
    UNREADABLE = "unreadable"


class MailUnreadable(Exception):
    """The message cannot be read, is cut off, or names no recipient: it was not offered to the server."""


class Counter:
    """One connection to the mail server."""

    def __init__(self, connection: SMTP, sender: str) -> None:
        self._connection, self._sender = connection, sender

    async def hand_in(self, mail: bytes) -> Answer:
        """Offer the message to the server; raises `MailUnreadable` for what is no whole message.

        Any other exception means that the trouble is not with the message or its recipient but with the server.
        """
        recipient = recipient_of(mail)
        refusal: SMTPRecipientRefused | SMTPDataError | SMTPSenderRefused
        try:
            await self._connection.sendmail(self._sender, [recipient], mail)
            return Answer.ACCEPTED
        except SMTPRecipientsRefused as refusals:
            refusal = refusals.recipients[0]
        except (SMTPDataError, SMTPSenderRefused) as refused:
            refusal = refused
        if refusal.code == CLOSING:
            raise SMTPServerDisconnected(refusal.message) from refusal
        if isinstance(refusal, SMTPSenderRefused):
            raise refusal
        return Answer.DEFERRED if refusal.code < 500 else Answer.REFUSED


def recipient_of(mail: bytes) -> str:
    """The one address in the To header; raises `MailUnreadable` where there is none, or the message is cut off."""
    headers = BytesHeaderParser(policy=POLICY).parsebytes(mail)
    try:
        recipient = mailbox(str(headers["To"] or ""))
    except ValueError as error:
        raise MailUnreadable(f"it names no recipient: {error}") from error
    # Every message of ours ends with the closing line of its last boundary.
    if not mail.rstrip().endswith(b"--"):
        raise MailUnreadable("its end is missing")
    return recipient


@dataclass(frozen=True)
class PostOffice:
    """Where mail is handed in: `smtp://[user:password@]host[:port][?from=address]`.

    With `smtp://` the connection is encrypted as soon as the server offers it, with `smtps://` from the start. Empty:
    there is no mail server, and every call raises ConnectionError. The URL is in no repr, for it may hold a password.
    """

    smtp_url: str = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a sender that no mail can come from; raises `ValueError`."""
        try:
            mailbox(self.sender)
        except ValueError as error:
            raise ValueError(f"SOMA_SMTP_URL: from={self.sender}: {error}") from error

    @property
    def sender(self) -> str:
        """The address the mail comes from."""
        return parse_qs(urlsplit(self.smtp_url).query).get("from", ["campaigns@localhost.localdomain"])[0]

    @asynccontextmanager
    async def counter(self) -> AsyncIterator[Counter]:
        """Connect, and say good-bye at the end. Raises what aiosmtplib raises if nobody answers."""
        if not self.smtp_url:
            raise ConnectionError("no mail server is named: set SOMA_SMTP_URL, or start the stack with `soma up`")
        url = urlsplit(self.smtp_url)
        async with SMTP(
            hostname=url.hostname,
            port=url.port,
            username=unquote(url.username) if url.username else None,
            password=unquote(url.password) if url.password else None,
            use_tls=url.scheme == "smtps",
            timeout=ANSWER_SECONDS,
        ) as connection:
            yield Counter(connection, self.sender)
