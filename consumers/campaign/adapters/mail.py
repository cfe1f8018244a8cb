"""What one mail looks like."""

from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import quote

from consumers.campaign.adapters.copywriter import one_line
from consumers.campaign.adapters.names import fingerprint
from consumers.campaign.adapters.rendering import blocks, rendered
from consumers.campaign.ports import MailDeclined, Mailing
from schemas.addresses import mailbox

# Headers are written on one line each, as RFC 5322 allows: CPython breaks what is longer than `max_line_length` into
# encoded words, which loses spaces between them, and is not allowed in addresses and ids at all (python/cpython#92081).
UNFOLDED = SMTP.clone(max_line_length=998)
# RFC 2045 ends the lines of encoded bodies two characters sooner than CPython's policy does.
ENCODED = SMTP.clone(max_line_length=76)
ENCODED_LINE_CHARACTERS_MAX = 76
PLAIN_SUBJECT_CHARACTERS_MAX = 900


def mail_to(recipient: str, sender: str, key: str, mailing: Mailing, banner: bytes) -> bytes:
    """The mail for one recipient, as it is sent: plain text, and the same as HTML with the banner inside.

    Its Message-ID follows from the key and the recipient, so whoever gets it twice can tell.
    """
    number, domain = fingerprint(f"{key}\n{recipient}"), sender.rpartition("@")[2]
    mail = EmailMessage(policy=ENCODED)
    mail["From"] = address_of(sender)
    mail["To"] = address_of(recipient)
    mail["Date"] = format_datetime(mailing.prepared_at)
    mail["Message-ID"] = f"<{number}@{domain}>"
    mail["List-Unsubscribe"] = f"<mailto:{quote(sender, safe='@')}?subject=unsubscribe>"
    mail.set_content(mailing.text, cte="quoted-printable")
    banner_id = f"banner.{number}@{domain}"
    page = rendered("mail.html.j2", subject=mailing.subject, blocks=blocks(mailing.text), banner_id=banner_id)
    mail.add_alternative(page, subtype="html", cte="quoted-printable")
    html = mail.get_payload(1)
    html.add_related(banner, "image", "png", cid=f"<{banner_id}>", filename="banner.png", disposition="inline")  # type: ignore[union-attr]
    return subject_line(mailing.subject) + mail.as_bytes(policy=UNFOLDED)


def subject_line(subject: str) -> bytes:
    """The Subject header with its line end; what is not plain ASCII stands in encoded words, as RFC 2047 has them."""
    text = one_line(subject)
    is_plain = text.isascii() and "=?" not in text and len(text) <= PLAIN_SUBJECT_CHARACTERS_MAX
    if not is_plain:
        words = Header(text, "utf-8", maxlinelen=ENCODED_LINE_CHARACTERS_MAX, header_name="Subject")
        text = words.encode(linesep="\r\n")
    return f"Subject: {text}\r\n".encode("ascii")


def address_of(recipient: str) -> str:
    """The recipient as an address in ASCII; raises MailDeclined for what is not accepted."""
    try:
        return mailbox(recipient)
    except ValueError as mistake:
        raise MailDeclined(f"{recipient!r} cannot be mailed to: {mistake}") from mistake
