"""Mail on a real disk, and over real SMTP."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTPUTF8
from pathlib import Path

import pytest
from aiosmtpd.smtp import Envelope
from aiosmtplib import SMTPConnectError, SMTPServerDisconnected

from consumers.campaign.adapters.deliveries import DeliveriesOnDisk
from consumers.campaign.adapters.outbox import OutboxOnDisk
from consumers.campaign.adapters.post_office import PostOffice
from consumers.campaign.ports import (
    AlreadyUndone,
    Dispatch,
    MailDeclined,
    MailDeferredError,
    Mailing,
    NoMailAcceptedError,
    UnreadableMailError,
)

from .conftest import RECIPIENTS, MailServer, files_of

pytestmark = pytest.mark.asyncio

KEY = "c1/0123"


@pytest.fixture
def outbox(home: Path, mail_server: MailServer) -> OutboxOnDisk:
    return OutboxOnDisk(home, mail_server.post_office)


def parsed(content: bytes) -> EmailMessage:
    return message_from_bytes(content, EmailMessage, policy=SMTPUTF8)


def taken(mail_server: MailServer) -> Counter[tuple[str, str]]:
    """How often the server took each message, by recipient and Message-ID."""
    return Counter((envelope.rcpt_tos[0], message_id(envelope)) for envelope in mail_server.accepted)


def message_id(envelope: Envelope) -> str:
    assert isinstance(envelope.content, bytes)
    return str(parsed(envelope.content)["Message-ID"])


def waiting(home: Path, folder: str) -> list[EmailMessage]:
    return [parsed(file.read_bytes()) for file in sorted((home / folder / "new").iterdir())]


async def test_every_recipient_gets_a_message_of_their_own(home: Path, outbox: OutboxOnDisk, mailing: Mailing) -> None:
    prepared = await outbox.prepare(KEY, mailing)
    mails = waiting(home, prepared.folder)
    assert prepared.recipients == 3
    assert [mail["To"].addresses[0].addr_spec for mail in mails] == list(RECIPIENTS)
    assert len({mail["Message-ID"] for mail in mails}) == 3
    assert {mail["Subject"] for mail in mails} == {"A subject"}
    assert {mail["From"] for mail in mails} == {"news@example.net"}
    for mail in mails:
        assert not mail.defects
        plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
        assert plain is not None and plain.get_content().strip() == "Some text."
        assert html is not None and "<p>Some text.</p>" in html.get_content()
        (picture,) = (part for part in mail.walk() if part.get_content_type() == "image/png")
        assert str(picture["Content-ID"]).strip("<>") in html.get_content()


async def test_a_recipient_named_twice_gets_one_mail(outbox: OutboxOnDisk, mailing: Mailing) -> None:
    prepared = await outbox.prepare(
        KEY, replace(mailing, recipients=("a@Example.org", "a@example.org", "b@example.org"))
    )
    assert prepared.recipients == 2


async def test_twenty_calls_at_once_prepare_one_mailing(home: Path, outbox: OutboxOnDisk, mailing: Mailing) -> None:
    prepared = await asyncio.gather(*(outbox.prepare(KEY, mailing) for _ in range(20)))
    assert len(set(prepared)) == 1
    assert len(files_of(home)) == 3


async def test_after_the_undo_nothing_remains_and_nothing_can_be_prepared(
    home: Path, outbox: OutboxOnDisk, mailing: Mailing
) -> None:
    await outbox.prepare(KEY, mailing)
    await outbox.discard(KEY)
    await outbox.discard(KEY)
    with pytest.raises(AlreadyUndone):
        await outbox.prepare(KEY, mailing)
    assert files_of(home) == set()


async def test_preparing_sends_nothing(outbox: OutboxOnDisk, mailing: Mailing, mail_server: MailServer) -> None:
    await outbox.prepare(KEY, mailing)
    assert mail_server.connections == 0


async def test_what_is_prepared_is_sent_once(
    home: Path, outbox: OutboxOnDisk, mailing: Mailing, mail_server: MailServer
) -> None:
    prepared = await outbox.prepare(KEY, mailing)
    dispatches = [await outbox.send(prepared.folder) for _ in range(3)]
    assert {(dispatch.sent, dispatch.refused) for dispatch in dispatches} == {(3, 0)}
    assert sorted(recipient for recipient, _ in taken(mail_server).elements()) == sorted(RECIPIENTS)
    assert await DeliveriesOnDisk(home).mails(prepared.folder) == 3


async def test_the_message_that_arrives_is_the_one_that_was_prepared(
    home: Path, outbox: OutboxOnDisk, mailing: Mailing, mail_server: MailServer
) -> None:
    text = "Grüße 🚲\n\n.a line that begins with a dot\n\nFrom here on: " + "long " * 400
    prepared = await outbox.prepare(KEY, replace(mailing, text=text, subject="Grüße aus Łódź 🚲"))
    await outbox.send(prepared.folder)
    content = mail_server.accepted[0].content
    assert isinstance(content, bytes)
    mail = parsed(content)
    plain = mail.get_body(("plain",))
    assert plain is not None and plain.get_content().splitlines() == text.splitlines()
    assert mail["Subject"] == "Grüße aus Łódź 🚲"


async def test_a_lost_answer_repeats_one_mail_under_the_same_message_id(
    outbox: OutboxOnDisk, mailing: Mailing, mail_server: MailServer
) -> None:
    # Given a server that takes Ben's mail, but whose answer is lost,
    mail_server.loses_answer_to = {"ben@example.org"}
    prepared = await outbox.prepare(KEY, mailing)
    # when all is sent, however many calls that takes,
    assert (await outbox.send(prepared.folder)).sent == 3
    # then only Ben's has left twice, and he can tell.
    assert sorted(taken(mail_server).values()) == [1, 1, 2]
    assert {recipient for recipient, _ in taken(mail_server)} == set(RECIPIENTS)
    assert len(taken(mail_server)) == 3


async def test_a_call_that_is_cut_off_is_taken_up_where_it_stopped(
    outbox: OutboxOnDisk, mailing: Mailing, mail_server: MailServer
) -> None:
    # Given a server that lets the second recipient wait until the call is cut off,
    mail_server.answers = {"ben@example.org": ["451 later"]}
    prepared = await outbox.prepare(KEY, mailing)
    with pytest.raises(MailDeferredError, match="1 recipients"):
        await outbox.send(prepared.folder)
    assert {recipient for recipient, _ in taken(mail_server)} == {"ada@example.org", "cleo@example.com"}
    # when it is sent again, then only what is missing leaves.
    assert (await outbox.send(prepared.folder)).sent == 3
    assert set(taken(mail_server).values()) == {1}
    assert len(taken(mail_server)) == 3


async def test_two_calls_at_once_use_one_message_id_per_recipient(
    outbox: OutboxOnDisk, mailing: Mailing, mail_server: MailServer
) -> None:
    prepared = await outbox.prepare(KEY, mailing)
    results = await asyncio.gather(*(outbox.send(prepared.folder) for _ in range(4)), return_exceptions=True)
    assert not [result for result in results if isinstance(result, BaseException)]
    assert (await outbox.send(prepared.folder)).sent == 3
    assert len(taken(mail_server)) == 3


async def test_a_server_that_takes_few_messages_a_connection_is_called_again(
    outbox: OutboxOnDisk, mailing: Mailing, mail_server: MailServer
) -> None:
    mail_server.closes_after = 1
    prepared = await outbox.prepare(KEY, mailing)
    assert (await outbox.send(prepared.folder)).sent == 3
    assert set(taken(mail_server).values()) == {1}


async def test_a_server_that_closes_without_taking_anything_is_a_failure(
    outbox: OutboxOnDisk, mailing: Mailing, mail_server: MailServer
) -> None:
    mail_server.closes_after = 0
    prepared = await outbox.prepare(KEY, mailing)
    with pytest.raises(SMTPServerDisconnected):
        await outbox.send(prepared.folder)
    assert not mail_server.accepted


async def test_a_server_that_asks_to_be_called_again_is_called_again(
    outbox: OutboxOnDisk, mailing: Mailing, mail_server: MailServer
) -> None:
    mail_server.answers = {"ben@example.org": ["421 enough for now"]}
    prepared = await outbox.prepare(KEY, mailing)
    assert (await outbox.send(prepared.folder)).sent == 3
    assert mail_server.connections == 2
    assert set(taken(mail_server).values()) == {1}


async def test_one_recipient_who_is_refused_for_good_does_not_keep_the_others_waiting(
    outbox: OutboxOnDisk, mailing: Mailing, mail_server: MailServer
) -> None:
    mail_server.answers = {"ben@example.org": ["550 no such person"] * 5}
    prepared = await outbox.prepare(KEY, mailing)
    for _ in range(2):
        dispatch = await outbox.send(prepared.folder)
        assert (dispatch.sent, dispatch.refused) == (2, 1)


async def test_a_server_that_refuses_everybody_is_a_failure(
    outbox: OutboxOnDisk, mailing: Mailing, mail_server: MailServer
) -> None:
    mail_server.answers = {recipient: ["550 relaying denied"] for recipient in RECIPIENTS}
    prepared = await outbox.prepare(KEY, mailing)
    with pytest.raises(NoMailAcceptedError, match="all 3 recipients"):
        await outbox.send(prepared.folder)
    # Once the server is put right, trying again is enough.
    assert (await outbox.send(prepared.folder)).sent == 3


async def test_a_server_that_is_not_there_is_a_failure(home: Path, mailing: Mailing, unused_tcp_port: int) -> None:
    outbox = OutboxOnDisk(home, PostOffice(f"smtp://127.0.0.1:{unused_tcp_port}"))
    prepared = await outbox.prepare(KEY, mailing)
    with pytest.raises(SMTPConnectError):
        await outbox.send(prepared.folder)


async def test_what_was_discarded_cannot_be_sent(
    outbox: OutboxOnDisk, mailing: Mailing, mail_server: MailServer
) -> None:
    prepared = await outbox.prepare(KEY, mailing)
    await outbox.discard(KEY)
    with pytest.raises(FileNotFoundError):
        await outbox.send(prepared.folder)
    assert not mail_server.accepted


@pytest.mark.parametrize("folder", ["../../elsewhere", "/etc", "outbox/../../elsewhere"])
async def test_nothing_outside_the_outbox_can_be_sent(outbox: OutboxOnDisk, folder: str) -> None:
    with pytest.raises(FileNotFoundError):
        await outbox.send(folder)


async def test_a_subject_cannot_bring_headers_of_its_own(home: Path, outbox: OutboxOnDisk, mailing: Mailing) -> None:
    subject = "Hello\r\nBcc: everybody@example.org\r\n\r\nA body\u2028and\0more"
    prepared = await outbox.prepare(KEY, replace(mailing, subject=subject))
    for mail in waiting(home, prepared.folder):
        assert mail["Bcc"] is None
        assert mail["Subject"] == "Hello Bcc: everybody@example.org A body and more"


@pytest.mark.parametrize(
    "recipient",
    ["a\0b@example.org", "a(b@example.org", "a[b@example.org", "a:b@example.org", ".a@example.org", "a\\@example.org",
     "a@exa mple.org", "a@example.org\r\nRCPT TO:<b@example.org>", "a@[", "@", "a\u200bb@example.org",
     "jürgen@example.org", "a@" + "x" * 64 + ".org"],
)  # fmt: skip
async def test_an_impossible_address_is_declined_and_leaves_nothing(
    home: Path, outbox: OutboxOnDisk, mailing: Mailing, recipient: str
) -> None:
    with pytest.raises(MailDeclined, match="cannot be mailed to"):
        await outbox.prepare(KEY, replace(mailing, recipients=("ada@example.org", recipient)))
    assert files_of(home) == set()


@pytest.mark.parametrize(
    ("recipient", "address"),
    [
        ("o'neill+news@example.org", "o'neill+news@example.org"),
        ("a@Bücher.example", "a@xn--bcher-kva.example"),
        ("-rf@x", "-rf@x"),
    ],
)
async def test_an_unusual_address_is_served(
    outbox: OutboxOnDisk, mailing: Mailing, mail_server: MailServer, recipient: str, address: str
) -> None:
    prepared = await outbox.prepare(KEY, replace(mailing, recipients=(recipient,)))
    assert (await outbox.send(prepared.folder)).sent == 1
    assert mail_server.accepted[0].rcpt_tos == [address]


async def test_what_the_house_rules_forbid_is_declined(home: Path, outbox: OutboxOnDisk, mailing: Mailing) -> None:
    (home / "rules").mkdir()
    (home / "rules" / "email.txt").write_text("Some Text")
    with pytest.raises(MailDeclined, match='forbid "Some Text"'):
        await outbox.prepare(KEY, mailing)
    assert files_of(home) == {"rules/email.txt"}


async def test_what_others_put_into_the_outbox_is_not_sent_and_stops_nothing(
    home: Path, outbox: OutboxOnDisk, mailing: Mailing, mail_server: MailServer
) -> None:
    prepared = await outbox.prepare(KEY, mailing)
    new, sent = home / prepared.folder / "new", home / prepared.folder / "sent"
    (new / ".DS_Store").write_bytes(b"\0")
    (new / "notes").mkdir()
    Path(os.fsdecode(os.fsencode(new) + b"/\xff.eml")).write_bytes(b"To: x@example.org\r\n\r\nno")
    (sent / "copy of 0001.eml").write_bytes(b"")
    assert await outbox.send(prepared.folder) == Dispatch(3, 0)
    assert len(mail_server.accepted) == 3
    assert await DeliveriesOnDisk(home).mails(prepared.folder) == 3


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def without_recipient(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"\r\nTo: ", b"\r\nTo: not "))


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [cut_off, emptied, without_recipient, a_folder])
async def test_a_message_that_cannot_be_read_holds_up_no_other_and_is_told(
    home: Path,
    outbox: OutboxOnDisk,
    mailing: Mailing,
    mail_server: MailServer,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    # Given a mailing whose first message is damaged,
    prepared = await outbox.prepare(KEY, mailing)
    first = min((home / prepared.folder / "new").iterdir())
    damage(first)
    # when it is sent, then the others leave, once, and the step fails with what is left to do,
    for _ in range(2):
        with pytest.raises(UnreadableMailError, match=r"1 messages in .*/new cannot be read.*soma stuck retry"):
            await outbox.send(prepared.folder)
    assert sorted(envelope.rcpt_tos[0] for envelope in mail_server.accepted) == sorted(RECIPIENTS[1:])
    assert any(record.__dict__.get("file", "").endswith(f"new/{first.name}") for record in caplog.records)
    # and when the message is taken away, the mailing is sent.
    first.rmdir() if first.is_dir() else first.unlink()
    assert (await outbox.send(prepared.folder)).sent == 2
