"""The headers of a mail, as they arrive over SMTP and as a mail client decodes them."""

import base64
import quopri
import random
import re
from collections.abc import Iterator
from email.header import decode_header, make_header
from email.parser import BytesParser
from email.policy import compat32
from urllib.parse import quote

import pytest

from consumers.campaign.adapters.copywriter import one_line
from consumers.campaign.adapters.mail import mail_to, subject_line
from consumers.campaign.adapters.post_office import PostOffice, recipient_of
from consumers.campaign.ports import Mailing

from .conftest import NOW, MailServer

SUBJECTS = 10_000
SENT_FOR_REAL = 200
SCRIPTS = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~=?=?__",
    "äöüßéèñçåøłŁžđþ",
    "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "αβγδεζηθικλμνξοπρστυφχψω",
    "مرحبابالعالمکتابخانه",
    "שלוםעולםספריה",
    "नमस्तेदुनियाक्षत्रज्ञ",
    "สวัสดีชาวโลก",
    "春季自行车工作坊東京漢字",
    "한국어프로그램",
    "👩🔬🚲🎉😀🇩🇪\u200d\ufe0f",
    "\u200c\u200dیکख",
    "e\u0301a\u0308o\u0302",
)


def subjects(number: int, seed: int) -> Iterator[str]:
    """Random subjects of one to two hundred characters in one to three scripts, with spaces where they hurt."""
    draw = random.Random(seed)
    while number:
        letters = "".join(draw.sample(SCRIPTS, draw.randint(1, 3)))
        words = ["".join(draw.choices(letters, k=draw.randint(1, 40))) for _ in range(draw.randint(1, 30))]
        subject = one_line(" ".join(words)[: draw.randint(1, 200)])
        if subject:
            number -= 1
            yield subject


def unfolded(line: bytes) -> str:
    """The header's value as RFC 5322 unfolds it: without its line ends."""
    name, _, value = line.decode("ascii").partition(":")
    assert name == "Subject"
    return value.replace("\r\n", "").strip(" ")


def as_rfc_2047_decodes(value: str) -> str:
    """What a client shows, by the words of RFC 2047 alone: spaces between two encoded words do not count."""
    word = re.compile(r"=\?utf-8\?([bqBQ])\?([^? ]*)\?=")
    value = re.sub(r"(=\?utf-8\?[bq]\?[^? ]*\?=)\s+(?==\?utf-8\?[bq]\?)", r"\1", value)

    def decoded(found: re.Match[str]) -> str:
        text = found[2].encode()
        is_base64 = found[1] in "bB"
        # Each word must be whole: a client decodes it before it joins it to the next one.
        return (base64.b64decode(text, validate=True) if is_base64 else quopri.decodestring(text, header=True)).decode()

    return word.sub(decoded, value)


def test_ten_thousand_subjects_are_decoded_to_what_they_were() -> None:
    for subject in subjects(SUBJECTS, seed=11):
        line = subject_line(subject)
        assert all(len(one) <= 76 for one in line.split(b"\r\n")) or subject.isascii()
        assert as_rfc_2047_decodes(unfolded(line)) == subject
        assert str(make_header(decode_header(unfolded(line)))) == subject


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "plain",
        "a=?utf-8?q?b?=c",
        "=?utf-8?q?looks_encoded?=",
        "ascii " * 33,
        "a" * 200,
        "ü" * 200,
        "🚲" * 200,
        "Größe Größe " * 16,
        "sehr lange Überschrift mit Leerzeichen zwischen Wörtern, die gebrochen wird, ohne dass eines verloren geht",
    ],
)
def test_a_subject_that_is_hard_to_fold_is_decoded_to_what_it_was(subject: str) -> None:
    shown = one_line(subject)
    assert as_rfc_2047_decodes(unfolded(subject_line(subject))) == shown


@pytest.mark.parametrize("evil", ["a\r\nBcc: b@example.org", "a\nBcc: b@example.org", "a\x00b", "a\u2028Bcc: x"])
def test_a_subject_is_one_header_whatever_it_contains(evil: str) -> None:
    line = subject_line(evil)
    assert b"\nBcc" not in line
    assert line.endswith(b"\r\n")
    assert line.count(b"\n") == line.count(b"\r\n ") + 1


async def test_what_is_sent_arrives_with_the_subject_it_had(mail_server: MailServer) -> None:
    sent = list(subjects(SENT_FOR_REAL, seed=12))
    async with mail_server.post_office.counter() as counter:
        for number, subject in enumerate(sent):
            mailing = Mailing(subject, "Text.", "", (), NOW)
            await counter.hand_in(mail_to(f"r{number}@example.org", "news@example.net", "k", mailing, b"png"))
    arrived = []
    for envelope in mail_server.accepted:
        assert isinstance(envelope.content, bytes)
        headers = BytesParser(policy=compat32).parsebytes(envelope.content, headersonly=True)
        arrived.append(str(make_header(decode_header(re.sub(r"\r?\n", "", headers["Subject"])))))
    assert arrived == sent


async def test_no_other_header_is_encoded_or_broken_however_long_its_addresses(mail_server: MailServer) -> None:
    # Given the longest addresses there are, with characters that a URL reads in its own way,
    host = ".".join(["h" * 55] * 3) + ".org"
    recipient, sender = f"{'r' * 64}@{host}", f"a?b&c%20+{'s' * 50}@{host}"
    office = PostOffice(f"smtp://127.0.0.1:{mail_server.port}?from={quote(sender)}")
    assert office.sender == sender
    # when a mail is sent to one from the other,
    async with office.counter() as counter:
        await counter.hand_in(mail_to(recipient, sender, "k", Mailing("ü" * 200, "Text.", "", (), NOW), b"png" * 999))
    (envelope,) = mail_server.accepted
    assert (envelope.mail_from, envelope.rcpt_tos) == (sender, [recipient])
    # then every header but the subject stands as it was meant, on a line of its own,
    content = envelope.content
    assert isinstance(content, bytes)
    mail = BytesParser(policy=compat32).parsebytes(content)
    assert (mail["From"], mail["To"]) == (sender, recipient)
    assert re.fullmatch(rf"<[0-9a-f]{{20}}@{host}>", mail["Message-ID"])
    assert mail["List-Unsubscribe"] == f"<mailto:a%3Fb%26c%2520%2B{'s' * 50}@{host}?subject=unsubscribe>"
    for part in mail.walk():
        for name, value in part.items():
            assert name == "Subject" or "=?" not in value, (name, value)
    # and every line is as short as the standards ask: bodies 76 characters, headers 998.
    head, _, body = content.partition(b"\r\n\r\n")
    assert max(map(len, head.split(b"\r\n"))) <= 998
    encoded = [line for line in body.split(b"\r\n") if b":" not in line and not line.startswith(b"--")]
    assert max(map(len, encoded)) <= 76


def test_every_address_that_is_accepted_can_be_read_back_from_its_mail() -> None:
    draw = random.Random(13)
    letters = "abcXYZ019!#$%&'*+/=?^_`{|}~-"
    for _ in range(500):
        local = ".".join("".join(draw.choices(letters, k=draw.randint(1, 12))) for _ in range(draw.randint(1, 5)))
        address = f"{local}@example.org"
        mail = mail_to(address, "news@example.net", "k", Mailing("A subject", "Text.", "", (), NOW), b"png")
        assert recipient_of(mail) == address


@pytest.mark.parametrize("sender", ["us", "us@", "Us <us@example.org>", "us@exa_mple.org"])
def test_a_sender_that_no_mail_can_come_from_is_refused_at_the_start(sender: str) -> None:
    with pytest.raises(ValueError, match=r"SOMA_SMTP_URL: from="):
        PostOffice(f"smtp://127.0.0.1:25?from={quote(sender)}")
