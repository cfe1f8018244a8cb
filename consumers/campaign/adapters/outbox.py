"""An outbox on disk: one file per recipient, in `new/` until a mail server has taken it, then in `sent/`."""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path, PurePosixPath

from aiosmtplib import SMTPServerDisconnected

from consumers.campaign.adapters.house_rules import HouseRules
from consumers.campaign.adapters.mail import address_of, mail_to
from consumers.campaign.adapters.names import is_message_name, message_name
from consumers.campaign.adapters.post_office import Answer, MailUnreadable, PostOffice
from consumers.campaign.adapters.shelf import Shelf
from consumers.campaign.ports import (
    Dispatch,
    MailDeclined,
    MailDeferredError,
    Mailing,
    NoMailAcceptedError,
    PreparedMail,
    UnreadableMailError,
)

log = logging.getLogger(__name__)


class OutboxOnDisk:
    """Keeps mailings below `outbox/`; repeating, racing and undoing are safe as `shelf.py` says.

    Sending is at-least-once: a message that was accepted is moved to `sent/` before anything else happens, and one
    whose answer was lost goes out again under the same Message-ID.
    """

    def __init__(self, home: Path, post_office: PostOffice) -> None:
        self._home, self._post_office = home, post_office
        self._rules = HouseRules(home)
        self._shelf = Shelf(home, "outbox", "outbox")

    async def prepare(self, key: str, mailing: Mailing) -> PreparedMail:
        """Put one message per distinct recipient into the outbox; none leaves.

        Raises MailDeclined for an impossible address or what the house rules forbid, AlreadyUndone after `discard`.
        """
        return await asyncio.to_thread(self._prepare, key, mailing)

    async def discard(self, key: str) -> None:
        """Empty the outbox of this mailing, and let none be prepared under the key again. Twice is a success."""
        await asyncio.to_thread(self._shelf.take_back, key)

    async def send(self, folder: str) -> Dispatch:
        """Send what is in `new/`; may be called again after any failure, and raises whatever kept mail from leaving.

        A message that cannot be read holds up no other: when those have left, `UnreadableMailError` names it.
        """
        box = self._shelf.root / PurePosixPath(folder).name
        sent = len(await _names(box / "sent"))
        while True:
            sent_before = sent
            try:
                answers = await self._send_all(box)
                break
            except SMTPServerDisconnected:
                # Many servers take only so many messages on one connection: as long as there is progress, go on.
                sent = len(await _names(box / "sent"))
                if sent == sent_before:
                    raise
        sent, unread = len(await _names(box / "sent")), answers.count(Answer.UNREADABLE)
        if unread:
            raise UnreadableMailError(
                f"{unread} messages in {folder}/new cannot be read and were not sent (the worker's log names each):"
                " repair or remove them, then `soma stuck retry`"
            )
        deferred, refused = answers.count(Answer.DEFERRED), answers.count(Answer.REFUSED)
        if deferred:
            raise MailDeferredError(f"{deferred} recipients are to be tried again later")
        if not sent:
            raise NoMailAcceptedError(f"the mail server refused all {refused} recipients")
        return Dispatch(sent, refused)

    async def _send_all(self, box: Path) -> list[Answer]:
        waiting = await _names(box / "new")
        if not waiting:
            return []
        answers = []
        async with self._post_office.counter() as counter:
            for name in waiting:
                try:
                    mail = await asyncio.to_thread(_read, box / "new" / name)
                    if mail is None:
                        continue
                    answer = await counter.hand_in(mail)
                except MailUnreadable as unreadable:
                    log.warning("outbox.unreadable", extra={"file": f"{box.name}/new/{name}", "cause": str(unreadable)})
                    answer = Answer.UNREADABLE
                if answer is Answer.ACCEPTED:
                    # Not in a thread: nothing may come between the server's yes and the note of it, no cancel either.
                    with suppress(FileNotFoundError):
                        (box / "new" / name).rename(box / "sent" / name)
                answers.append(answer)
        return answers

    def _prepare(self, key: str, mailing: Mailing) -> PreparedMail:
        recipients = list(dict.fromkeys(address_of(recipient) for recipient in mailing.recipients))
        # What already lies there was allowed when it was made: declining now would leave it, never to be undone.
        if self._shelf.find(key) is None:
            broken = self._rules.broken_by("email", mailing.subject, mailing.text)
            if broken is not None:
                raise MailDeclined(f'the house rules of the outbox forbid "{broken}"')

        def fill(folder: Path) -> None:
            banner = (self._home / mailing.banner).read_bytes()
            (folder / "new").mkdir()
            (folder / "sent").mkdir()
            for number, recipient in enumerate(recipients, start=1):
                mail = mail_to(recipient, self._post_office.sender, key, mailing, banner)
                (folder / "new" / message_name(number, recipient)).write_bytes(mail)

        box = self._shelf.place(key, fill)
        return PreparedMail(box.relative_to(self._home).as_posix(), len(recipients))


async def _names(folder: Path) -> list[str]:
    """The messages in the folder, in the order in which they are sent."""
    return await asyncio.to_thread(lambda: sorted(file.name for file in folder.iterdir() if is_message_name(file.name)))


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        # Another call has sent it in between.
        return None
    except OSError as error:
        raise MailUnreadable(str(error)) from error
