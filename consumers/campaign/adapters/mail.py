"""What one mail looks like."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from consumers.campaign.adapters.copywriter import one_line
from consumers.campaign.adapters.names import fingerprint
from consumers.campaign.adapters.rendering import blocks, rendered
from consumers.campaign.ports import MailDeclined, Mailing


def mail_to(recipient: str, sender: str, key: str, mailing: Mailing, banner: bytes) -> EmailMessage:
    """The mail for one recipient: plain text, and the same as HTML with the banner inside.

    Its Message-ID follows from the key and the recipient, so whoever gets it twice can tell.
    """
    number, domain = fingerprint(f"{key}\n{recipient}"), sender.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["From"] = address_of(sender)
    mail["To"] = address_of(recipient)
    mail["Subject"] = one_line(mailing.subject)
    mail["Date"] = format_datetime(mailing.prepared_at)
    mail["Message-ID"] = f"<{number}@{domain}>"
    mail["List-Unsubscribe"] = f"<mailto:{sender}?subject=unsubscribe>"
    mail.set_content(mailing.text, cte="quoted-printable")
    banner_id = f"banner.{number}@{domain}"
    page = rendered("mail.html.j2", subject=mailing.subject, blocks=blocks(mailing.text), banner_id=banner_id)
    mail.add_alternative(page, subtype="html", cte="quoted-printable")
    html = mail.get_payload(1)
    html.add_related(banner, "image", "png", cid=f"<{banner_id}>", filename="banner.png", disposition="inline")  # type: ignore[union-attr]
    return mail


def address_of(recipient: str) -> Address:
    """The recipient as an address in ASCII; raises MailDeclined for what no ordinary mail server would understand."""
    person, _, domain = recipient.rpartition("@")
    try:
        if not recipient.isprintable():
            raise ValueError("it has characters that cannot be shown")
        return Address(addr_spec=f"{person}@{domain.encode('idna').decode().lower()}")
    except Exception as mistake:  # The parser of the standard library raises half a dozen kinds.
        raise MailDeclined(f"{recipient!r} cannot be mailed to: {mistake}") from mistake
