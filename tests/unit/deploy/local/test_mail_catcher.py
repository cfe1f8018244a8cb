"""The mail catcher: what it says 250 to lies in the Maildir, whole."""

import asyncio
import errno
import mailbox
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest
import pytest_asyncio

from deploy.local.mail import mail_answers, serve_mail
from deploy.local.ports import choose_port


@dataclass(frozen=True)
class Catcher:
    port: int
    folder: Path

    async def send(self, *recipients: str) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "us@example.org", recipients[0], "Grüße"
        message.set_content("Hallo\n.\nWelt\n")
        await aiosmtplib.send(message, hostname="127.0.0.1", port=self.port, recipients=list(recipients))

    def kept(self) -> list[mailbox.MaildirMessage]:
        return list(mailbox.Maildir(self.folder, create=False))


@pytest_asyncio.fixture
async def catcher(tmp_path: Path) -> AsyncIterator[Catcher]:
    found = Catcher(choose_port([]), tmp_path / "mail")
    # The folder may be there already: the stack makes it.
    found.folder.mkdir()
    stopping = asyncio.Event()
    serving = asyncio.create_task(serve_mail(found.port, found.folder, stopping))
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(mail_answers, found.port):
            await asyncio.sleep(0.01)
    yield found
    stopping.set()
    await serving


@pytest.mark.asyncio
async def test_what_was_accepted_is_kept_with_all_its_recipients(catcher: Catcher) -> None:
    await catcher.send("you@example.org", "blind@example.org")
    (message,) = catcher.kept()
    assert message.get_all("Delivered-To") == ["you@example.org", "blind@example.org"]
    assert message["Return-Path"] == "<us@example.org>"
    assert str(message.get_payload()).split() == ["Hallo", ".", "Welt"]
    assert list((catcher.folder / "tmp").iterdir()) == []


@pytest.mark.asyncio
async def test_what_cannot_be_kept_is_not_accepted(catcher: Catcher, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: mailbox.Maildir, message: bytes) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mailbox.Maildir, "add", full)
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await catcher.send("you@example.org")
    assert refused.value.code == 452
    assert catcher.kept() == []


def test_a_port_where_nobody_greets_is_no_mail_server() -> None:
    assert not mail_answers(choose_port([]))
