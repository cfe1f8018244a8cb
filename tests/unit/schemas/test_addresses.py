"""Which mail addresses are accepted, and that a start with another one is refused."""

import pytest
from pydantic import ValidationError

from schemas.addresses import mailbox
from schemas.campaign import CampaignOpened, StartCampaign

HOST_OF_189 = ".".join(["h" * 61] * 3) + ".org"

ACCEPTED = {
    "ada@example.org": "ada@example.org",
    "Ada.Lovelace@Example.ORG": "Ada.Lovelace@example.org",
    "o'neill+news@example.org": "o'neill+news@example.org",
    "!#$%&'*+/=?^_`{|}~-@example.org": "!#$%&'*+/=?^_`{|}~-@example.org",
    "root@localhost": "root@localhost",
    "a@3com.example": "a@3com.example",
    "a@Bücher.example": "a@xn--bcher-kva.example",
    "a@xn--bcher-kva.example": "a@xn--bcher-kva.example",
    "a@例え.テスト": "a@xn--r8jz45g.xn--zckzah",
    "a@مثال.إختبار": "a@xn--mgbh0fb.xn--kgbechtv",
    "l" * 64 + "@" + HOST_OF_189: "l" * 64 + "@" + HOST_OF_189,
}
REFUSED = {
    "nobody": "name@host",
    "@": "before the @",
    "@example.org": "before the @",
    "a@": "no host name",
    "a@b@example.org": "before the @",
    "a b@example.org": "before the @",
    ".a@example.org": "before the @",
    "a.@example.org": "before the @",
    "a..b@example.org": "before the @",
    '"a b"@example.org': "before the @",
    "a(comment)@example.org": "before the @",
    "Ada <ada@example.org>": "before the @",
    "ada@example.org>": "no host name",
    "a,b@example.org": "before the @",
    "a\\@example.org": "before the @",
    "l" * 65 + "@example.org": "more than 64",
    "l" * 64 + "@h" + HOST_OF_189: "more than 254|no host name",
    "jürgen@example.org": "outside ASCII",
    "a\u200b@example.org": "outside ASCII",
    "a@exa mple.org": "no host name",
    "a@example..org": "no host name",
    "a@example.org.": "no host name",
    "a@-example.org": "no host name",
    "a@example-.org": "no host name",
    "a@exa_mple.org": "no host name",
    "a@" + "h" * 64 + ".org": "no host name",
    "a@" + "ü" * 60 + ".org": "no host name",
    "a@[192.0.2.1]": "no host name",
    "a@192.0.2.1": "an IP address",
    "a@example.org\r\nRCPT TO:<b@example.org>": "before the @",
    "a@example.org\n": "no host name",
    "a@exam\u00adple.org": "no host name",
    "a@example\u3002org": "no host name",
    "a@\ud800.org": "no host name",
    "a@straße.example": "xn--",
    "a@" + "\u200d".join("नम") + ".example": "xn--",
}


@pytest.mark.parametrize(("address", "mailed"), ACCEPTED.items())
def test_an_address_is_mailed_to_in_ascii(address: str, mailed: str) -> None:
    assert mailbox(address) == mailed
    assert mailbox(mailed) == mailed


@pytest.mark.parametrize(("address", "why"), REFUSED.items(), ids=map(ascii, REFUSED))
def test_an_address_that_is_not_accepted_is_refused_with_the_reason(address: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        mailbox(address)


def start(*recipients: str) -> dict[str, object]:
    audience = {"description": "all", "recipients": recipients}
    return {"saga_id": "c-1", "name": "n", "goal": "g", "channels": ["email"], "audience": audience}


@pytest.mark.parametrize("address", REFUSED, ids=map(ascii, REFUSED))
def test_a_start_that_could_not_be_mailed_is_refused_and_names_the_recipient(address: str) -> None:
    with pytest.raises(ValidationError) as refused:
        StartCampaign.model_validate(start("ada@example.org", address))
    (mistake,) = refused.value.errors()
    assert mistake["loc"] == ("audience", "recipients", 1)


def test_a_start_keeps_its_recipients_as_they_were_written() -> None:
    started = StartCampaign.model_validate(start("a@Bücher.example"))
    assert started.audience.recipients == ("a@Bücher.example",)
    assert CampaignOpened(**started.model_dump()).audience.recipients == ("a@Bücher.example",)


def test_a_campaign_that_was_opened_before_addresses_were_checked_stays_readable() -> None:
    opened = CampaignOpened.model_validate(start("a..b@example.org"))
    assert opened.audience.recipients == ("a..b@example.org",)
