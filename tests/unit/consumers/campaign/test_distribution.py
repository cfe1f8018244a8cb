"""The steps that publish, prepare, send and count."""

from dataclasses import dataclass, field

import pytest

from consumers.campaign.collect_delivery import collect_delivery
from consumers.campaign.ports import (
    Dispatch,
    MailDeclined,
    MailDeferredError,
    Mailing,
    Post,
    PostDeclined,
    PreparedMail,
    key_of,
)
from consumers.campaign.prepare_email import prepare_email
from consumers.campaign.publish_blog import publish_blog
from consumers.campaign.publish_social import publish_social
from consumers.campaign.send_email import send_email
from consumers.runtime.steps import Call, mark_of
from schemas.campaign import (
    AssetsDesigned,
    BlogNotWanted,
    BlogPublished,
    BlogRefused,
    CampaignApproved,
    CampaignCompleted,
    CampaignOpened,
    ContentDrafted,
    DeliveryCleared,
    EmailNotWanted,
    EmailPrepared,
    EmailRefused,
    EmailSent,
    EmailSkipped,
    SocialNotWanted,
    SocialPublished,
    SocialRefused,
)

pytestmark = pytest.mark.asyncio

APPROVED = CampaignApproved(saga_id="c1", reviewer="Mia")
CLEARED = DeliveryCleared(saga_id="c1")
PREPARED = EmailPrepared(saga_id="c1", recipients=2, folder="outbox/c1")
CHANNELS = [
    (publish_blog, "blog", BlogPublished, BlogRefused, BlogNotWanted),
    (publish_social, "social", SocialPublished, SocialRefused, SocialNotWanted),
]


@dataclass
class FakeWall:
    """A blog or a feed."""

    declines: str = ""
    posts: dict[str, Post] = field(default_factory=dict)

    async def publish(self, key: str, post: Post) -> str:
        if self.declines:
            raise PostDeclined(self.declines)
        self.posts[key] = post
        return f"site/{key}"


@dataclass
class FakeOutbox:
    declines: str = ""
    defers: str = ""
    mailings: dict[str, Mailing] = field(default_factory=dict)

    async def prepare(self, key: str, mailing: Mailing) -> PreparedMail:
        if self.declines:
            raise MailDeclined(self.declines)
        self.mailings[key] = mailing
        return PreparedMail(f"outbox/{key}", len(mailing.recipients))

    async def send(self, folder: str) -> Dispatch:
        if self.defers:
            raise MailDeferredError(self.defers)
        assert folder == PREPARED.folder
        return Dispatch(sent=2, refused=1)

    async def discard(self, key: str) -> None:
        raise AssertionError("no step discards anything")


class FakeDeliveries:
    async def pages(self, url: str) -> int:
        return int(url == "site/posts/c1/index.html")

    async def entries(self, url: str) -> int:
        return int(url == "site/feed.json#c1")

    async def mails(self, folder: str) -> int:
        return 2 if folder == PREPARED.folder else 0


@pytest.mark.parametrize(("step", "channel", "published", "refused", "not_wanted"), CHANNELS)
async def test_what_is_wanted_is_published(  # type: ignore[no-untyped-def]
    step, channel, published, refused, not_wanted, opened: CampaignOpened, draft, assets, call: Call
) -> None:
    wall = FakeWall()
    assert await step(APPROVED, opened, draft, assets, wall, call) == published(
        saga_id="c1", url=f"site/{key_of(call)}"
    )
    post = Post(draft.headline, draft.summary, draft.texts[channel], assets.banners[channel], call.now)
    assert wall.posts == {key_of(call): post}


@pytest.mark.parametrize(("step", "channel", "published", "refused", "not_wanted"), CHANNELS)
async def test_what_is_declined_is_refused_with_the_reason(  # type: ignore[no-untyped-def]
    step, channel, published, refused, not_wanted, opened: CampaignOpened, draft, assets, call: Call
) -> None:
    said = await step(APPROVED, opened, draft, assets, FakeWall(declines="not in this house"), call)
    assert said == refused(saga_id="c1", reason="not in this house")


@pytest.mark.parametrize(("step", "channel", "published", "refused", "not_wanted"), CHANNELS)
async def test_what_is_not_wanted_is_not_published(  # type: ignore[no-untyped-def]
    step, channel, published, refused, not_wanted, opened: CampaignOpened, draft, assets, call: Call
) -> None:
    wall = FakeWall()
    mail_only = opened.model_copy(update={"channels": ("email",)})
    assert await step(APPROVED, mail_only, draft, assets, wall, call) == not_wanted(saga_id="c1")
    assert not wall.posts


async def test_mail_is_prepared_for_every_recipient(
    opened: CampaignOpened, draft: ContentDrafted, assets: AssetsDesigned, call: Call
) -> None:
    outbox = FakeOutbox()
    prepared = await prepare_email(APPROVED, opened, draft, assets, outbox, call)
    assert prepared == EmailPrepared(saga_id="c1", recipients=2, folder=f"outbox/{key_of(call)}")
    assert outbox.mailings[key_of(call)].recipients == opened.audience.recipients


async def test_mail_that_is_declined_is_refused_with_the_reason(
    opened: CampaignOpened, draft: ContentDrafted, assets: AssetsDesigned, call: Call
) -> None:
    said = await prepare_email(APPROVED, opened, draft, assets, FakeOutbox(declines="no"), call)
    assert said == EmailRefused(saga_id="c1", reason="no")


@pytest.mark.parametrize("lack", [{"channels": ("blog",)}, {"audience": {"recipients": ()}}])
async def test_no_mail_is_prepared_without_the_channel_or_recipients(  # type: ignore[no-untyped-def]
    lack, opened: CampaignOpened, draft: ContentDrafted, assets: AssetsDesigned, call: Call
) -> None:
    if "audience" in lack:
        lack = {"audience": opened.audience.model_copy(update=lack["audience"])}
    outbox = FakeOutbox()
    said = await prepare_email(APPROVED, opened.model_copy(update=lack), draft, assets, outbox, call)
    assert said == EmailNotWanted(saga_id="c1")
    assert not outbox.mailings


async def test_what_was_prepared_is_sent(call: Call) -> None:
    assert await send_email(CLEARED, PREPARED, FakeOutbox(), call) == EmailSent(saga_id="c1", sent=2, refused=1)


async def test_nothing_is_sent_where_no_mail_was_wanted(call: Call) -> None:
    assert await send_email(CLEARED, EmailNotWanted(saga_id="c1"), FakeOutbox(), call) == EmailSkipped(saga_id="c1")


async def test_mail_that_must_wait_is_a_failure_to_retry_and_never_ends_the_campaign(call: Call) -> None:
    with pytest.raises(MailDeferredError):
        await send_email(CLEARED, PREPARED, FakeOutbox(defers="come back later"), call)
    mark = mark_of(send_email)
    assert (mark.pivot, mark.policy) == (True, "hold")  # type: ignore[union-attr]


async def test_the_campaign_completes_with_what_is_really_found(call: Call) -> None:
    completed = await collect_delivery(
        EmailSent(saga_id="c1", sent=3),
        BlogPublished(saga_id="c1", url="site/posts/c1/index.html"),
        SocialPublished(saga_id="c1", url="site/feed.json#gone"),
        PREPARED,
        FakeDeliveries(),
        call,
    )
    assert completed == CampaignCompleted(
        saga_id="c1",
        delivered={"blog": 1, "social": 0, "email": 2},
        links={"blog": "site/posts/c1/index.html", "social": "site/feed.json#gone", "email": "outbox/c1"},
    )


async def test_channels_that_were_not_wanted_are_not_counted(call: Call) -> None:
    completed = await collect_delivery(
        EmailSkipped(saga_id="c1"),
        BlogNotWanted(saga_id="c1"),
        SocialPublished(saga_id="c1", url="site/feed.json#c1"),
        EmailNotWanted(saga_id="c1"),
        FakeDeliveries(),
        call,
    )
    assert completed == CampaignCompleted(saga_id="c1", delivered={"social": 1}, links={"social": "site/feed.json#c1"})
