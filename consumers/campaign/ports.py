"""What the campaign needs of the world outside Kafka, and the refusals it may hear from it.

Every method that makes something takes a key. It may be called again, and concurrently, with the same key: the first
call makes the thing, the others find it. After the key was taken back, making under it raises `AlreadyUndone`.
Taking back never fails for what is not there. Paths are relative to the state folder, SOMA_HOME.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from consumers.runtime.steps import Call, Declined, ReadOnly
from schemas.campaign import Brief, Channel


def key_of(call: Call) -> str:
    """The key of the call with the campaign's id in front, so that whoever looks at what was made knows whose it is."""
    return f"{call.saga_id}/{call.key}"


class AlreadyUndone(Declined):
    """The key was taken back: nothing can be made under it any more."""


class PostDeclined(Declined):
    """The blog or the feed will not carry this text; trying again would not help."""


class MailDeclined(Declined):
    """The outbox will not take this mail; trying again would not help."""


class NoMailAcceptedError(Exception):
    """The mail server took nothing at all, so the cause is more likely its configuration than the recipients."""


class MailDeferredError(Exception):
    """The mail server asked to be tried again later for some recipients."""


class UnreadableMailError(Exception):
    """Messages of the mailing cannot be read and were not sent; the others have been."""


@dataclass(frozen=True)
class Copy:
    """The words of a campaign: one plain text per channel, with `## ` headings and `- ` lists in the blog's."""

    headline: str
    summary: str
    texts: Mapping[Channel, str]


@dataclass(frozen=True)
class SavedDraft:
    """What was first saved under the key, and the folder it is in."""

    path: str
    copy: Copy


@dataclass(frozen=True)
class Post:
    """What is shown to the public on one channel; plain text, escaped by whoever shows it."""

    title: str
    summary: str
    text: str
    banner: str
    published_at: datetime


@dataclass(frozen=True)
class Mailing:
    """One mail for many recipients."""

    subject: str
    text: str
    banner: str
    recipients: tuple[str, ...]
    prepared_at: datetime


@dataclass(frozen=True)
class PreparedMail:
    """The outbox folder, and how many distinct recipients lie in it."""

    folder: str
    recipients: int


@dataclass(frozen=True)
class Dispatch:
    """How many recipients the mail server has accepted, and how many it has refused for good."""

    sent: int
    refused: int


class Copywriter(ReadOnly, Protocol):
    """Finds the words. It keeps nothing, so it needs no key; what counts is what `Drafts` saved first."""

    async def write(self, brief: Brief, findings: tuple[str, ...], keywords: tuple[str, ...]) -> Copy:
        """The words for every channel of the brief."""
        ...


class Drafts(Protocol):
    """Where drafts are kept."""

    async def save(self, key: str, copy: Copy) -> SavedDraft:
        """Keep the copy; a repeated call returns what the first one saved."""
        ...

    async def discard(self, key: str) -> None:
        """Remove the draft, and let none be saved under the key again."""
        ...


class Pictures(Protocol):
    """Who draws the banners."""

    async def draw(self, key: str, headline: str, summary: str, channels: tuple[Channel, ...]) -> dict[Channel, str]:
        """Draw one banner per channel; returns their paths."""
        ...

    async def remove(self, key: str) -> None:
        """Remove the banners, and let none be drawn under the key again."""
        ...


class Blog(Protocol):
    """A site with one page per post and an index of them."""

    async def publish(self, key: str, post: Post) -> str:
        """Put the post on the site and into its index; returns the page's path. May raise PostDeclined."""
        ...

    async def unpublish(self, key: str) -> None:
        """Take the post off the site and its index, and let none be published under the key again."""
        ...


class SocialFeed(Protocol):
    """A feed of short entries."""

    async def publish(self, key: str, post: Post) -> str:
        """Put the entry into the feed; returns where it is. May raise PostDeclined."""
        ...

    async def unpublish(self, key: str) -> None:
        """Take the entry out of the feed, and let none be published under the key again."""
        ...


class Outbox(Protocol):
    """Where mail lies until it is sent."""

    async def prepare(self, key: str, mailing: Mailing) -> PreparedMail:
        """Put one message per recipient into the outbox; none leaves. May raise MailDeclined."""
        ...

    async def send(self, folder: str) -> Dispatch:
        """Send what is not known to be sent. There is no way back.

        May be called again after any failure: each message keeps its Message-ID, and what was accepted is remembered.
        Raises MailDeferredError, NoMailAcceptedError or UnreadableMailError when trying again may help.
        """
        ...

    async def discard(self, key: str) -> None:
        """Empty the outbox of this mailing, and let none be prepared under the key again."""
        ...


class Deliveries(ReadOnly, Protocol):
    """Looks at what can really be found out there."""

    async def pages(self, url: str) -> int:
        """How many pages are found at the address: one or none."""
        ...

    async def entries(self, url: str) -> int:
        """How many entries of the feed are found under the address: one or none."""
        ...

    async def mails(self, folder: str) -> int:
        """How many messages of this outbox folder the mail server has accepted."""
        ...
