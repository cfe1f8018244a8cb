"""The campaign's words: research, draft, design, ask a person, publish on the wanted channels, count what arrived."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from .addresses import mailbox
from .bounds import Count, ItemName, Name, Text
from .message import Command, CompensatingEvent, Completion, Event, FailingEnd, Opening, Question, Refusal

Channel = Literal["email", "social", "blog"]
Url = Annotated[str, Field(max_length=2_000)]
# An event has room for one of these per channel.
Draft = Annotated[str, Field(max_length=150_000)]
EmailAddress = Annotated[str, Field(pattern=r"^[^@\s,;<>\"]+@[^@\s,;<>\"]+$", max_length=254)]


class Audience(BaseModel):
    """Who is meant, in words, and who gets the email."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = Field(min_length=1, max_length=2_000)
    recipients: tuple[EmailAddress, ...] = Field(default=(), max_length=2_000)


def _mailable(address: str) -> str:
    """The address as it was written; raises `ValueError` where no mail could be sent to it."""
    mailbox(address)
    return address


class MailableAudience(Audience):
    """An audience whose every address can be mailed to: see `schemas.addresses` for what is accepted."""

    recipients: tuple[Annotated[EmailAddress, AfterValidator(_mailable)], ...] = Field(default=(), max_length=2_000)


class Brief(BaseModel):
    """What the campaign is about; shared by the command and the fact it leads to."""

    name: str = Field(min_length=1, max_length=200)
    goal: str = Field(min_length=1, max_length=4_000)
    audience: Audience
    channels: tuple[Channel, ...] = Field(min_length=1, max_length=20)
    sources: tuple[Annotated[str, Field(min_length=1, max_length=50_000)], ...] = Field(
        default=(), max_length=50, description="Texts to research in."
    )
    tone: str = Field(default="friendly", min_length=1, max_length=100)
    review: Literal["required", "none"] = "required"
    review_timeout_hours: float = Field(default=24, gt=0, le=24 * 90)


class StartCampaign(Brief, Command, type="campaign.start"):
    """Begin a campaign; its id is the record's key."""

    # Only here: what was opened before this was checked must stay readable.
    audience: MailableAudience


class ApproveCampaign(Command, type="campaign.approve"):
    """Publish what was drafted."""

    reviewer: str = Field(min_length=1, max_length=200)
    note: str = Field(default="", max_length=4_000)


class RejectCampaign(Command, type="campaign.reject"):
    """Publish nothing; discard the drafts."""

    reviewer: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=4_000)


class CancelCampaign(Command, type="campaign.cancel"):
    """Stop the campaign and take back what it has done, as long as no mail is leaving."""

    reason: str = Field(min_length=1, max_length=4_000)


class CampaignOpened(Brief, Opening, type="campaign.opened"):
    """The campaign exists."""


class AudienceResearched(Event, type="campaign.audience.researched"):
    """What the sources say that matters to this audience."""

    findings: tuple[Text, ...] = Field(max_length=100)
    keywords: tuple[Text, ...] = Field(max_length=100)


class ContentDrafted(Event, type="campaign.content.drafted"):
    """The draft is on disk: one text per channel."""

    headline: Text
    summary: Text
    path: ItemName = Field(description="Folder of the draft, below the state folder.")
    texts: dict[Channel, Draft]


class ContentDiscarded(CompensatingEvent, type="campaign.content.discarded", undoes=ContentDrafted):
    """The draft is gone."""


class AssetsDesigned(Event, type="campaign.assets.designed"):
    """One banner per channel is on disk."""

    banners: dict[Channel, ItemName] = Field(description="Path of the picture, below the state folder, by channel.")


class AssetsRemoved(CompensatingEvent, type="campaign.assets.removed", undoes=AssetsDesigned):
    """The pictures are gone."""


class ReviewRequested(Question, type="campaign.review.requested", waiting_for="approve or reject"):
    """A person must decide before the deadline; this is what they decide about."""

    headline: Text = ""
    summary: Text = ""
    draft: ItemName = Field(default="", description="Folder of the draft, below the state folder.")
    banners: dict[Channel, ItemName] = Field(default_factory=dict)


class CampaignApproved(Event, type="campaign.approved", answers=ReviewRequested):
    """The campaign may be published."""

    reviewer: Name
    note: Text = ""


class CampaignRejected(FailingEnd, type="campaign.rejected", ends_as="rejected"):
    """The reviewer said no."""

    reviewer: Name
    reason: Text


class CampaignExpired(FailingEnd, type="campaign.expired", ends_as="expired"):
    """Nobody decided in time."""


class CampaignCancelled(FailingEnd, type="campaign.cancelled", ends_as="cancelled"):
    """Somebody called the campaign off."""

    reason: Text


class BlogPublished(Event, type="campaign.blog.published"):
    """The post is on the site."""

    url: Url


class BlogUnpublished(CompensatingEvent, type="campaign.blog.unpublished", undoes=BlogPublished):
    """The post is gone."""


class BlogNotWanted(Event, type="campaign.blog.not_wanted"):
    """The brief does not name the blog."""


class BlogRefused(Refusal, type="campaign.blog.refused"):
    """The blog will not take the post."""


class SocialPublished(Event, type="campaign.social.published"):
    """The entry is in the feed."""

    url: Url


class SocialUnpublished(CompensatingEvent, type="campaign.social.unpublished", undoes=SocialPublished):
    """The entry is gone."""


class SocialNotWanted(Event, type="campaign.social.not_wanted"):
    """The brief does not name the social feed."""


class SocialRefused(Refusal, type="campaign.social.refused"):
    """The feed will not take the entry."""


class EmailPrepared(Event, type="campaign.email.prepared"):
    """One message per recipient lies in the outbox; none has left."""

    recipients: Count
    folder: ItemName = Field(default="", description="Folder of the messages, below the state folder.")


class EmailDiscarded(CompensatingEvent, type="campaign.email.discarded", undoes=EmailPrepared):
    """The outbox holds nothing of this campaign; nobody got mail."""


class EmailNotWanted(Event, type="campaign.email.not_wanted"):
    """The brief does not name email, or names nobody to send to."""


class EmailRefused(Refusal, type="campaign.email.refused"):
    """The outbox will not take the mail."""


class DeliveryCleared(Event, type="campaign.delivery.cleared"):
    """Every wanted channel has spoken. From here on the campaign cannot be cancelled: mail may be leaving."""


class EmailSent(Event, type="campaign.email.sent"):
    """The mail has left. There is no way back."""

    sent: Count
    refused: Count = Field(default=0, description="Recipients whom the mail server refused for good.")


class EmailSkipped(Event, type="campaign.email.skipped"):
    """No email was wanted, so none has left."""


class CampaignCompleted(Completion, type="campaign.completed"):
    """Published; what was delivered, per channel."""

    delivered: dict[Channel, Count]
    links: dict[Channel, Url]
