"""The door's steps: what a person may decide, and when."""

from dataclasses import replace
from datetime import timedelta

import pytest

from consumers.campaign.approve_campaign import approve_campaign
from consumers.campaign.ask_for_review import ask_for_review
from consumers.campaign.cancel_campaign import cancel_campaign
from consumers.campaign.clear_delivery import clear_delivery
from consumers.campaign.expire_review import expire_review
from consumers.campaign.open_campaign import open_campaign
from consumers.campaign.reject_campaign import reject_campaign
from consumers.runtime.steps import Call, Later
from schemas.campaign import (
    ApproveCampaign,
    AssetsDesigned,
    BlogNotWanted,
    CampaignApproved,
    CampaignCancelled,
    CampaignExpired,
    CampaignOpened,
    CampaignRejected,
    CancelCampaign,
    ContentDrafted,
    DeliveryCleared,
    EmailPrepared,
    RejectCampaign,
    ReviewRequested,
    SocialPublished,
    StartCampaign,
)
from schemas.engine import CommandRefused

pytestmark = pytest.mark.asyncio

APPROVE = ApproveCampaign(saga_id="c1", reviewer="Mia", note="lovely")
REJECT = RejectCampaign(saga_id="c1", reviewer="Mia", reason="too loud")
CANCEL = CancelCampaign(saga_id="c1", reason="rain")
APPROVED = CampaignApproved(saga_id="c1", reviewer="Mia")


@pytest.fixture
def asked(call: Call) -> ReviewRequested:
    return ReviewRequested(saga_id="c1", deadline=call.now + timedelta(hours=24))


async def test_a_campaign_opens_with_the_brief_it_was_given(opened: CampaignOpened) -> None:
    brief = opened.model_dump(exclude={"participants", "graph"})
    assert (await open_campaign(StartCampaign(**brief))).model_dump(exclude={"participants", "graph"}) == brief


async def test_a_reviewer_is_asked_and_sees_what_it_is_about(
    assets: AssetsDesigned, opened: CampaignOpened, draft: ContentDrafted, call: Call
) -> None:
    asked = await ask_for_review(assets, opened, draft, call)
    assert asked == ReviewRequested(
        saga_id="c1",
        deadline=call.now + timedelta(hours=24),
        headline=draft.headline,
        summary=draft.summary,
        draft=draft.path,
        banners=assets.banners,
    )


async def test_a_campaign_that_wants_no_review_is_approved_at_once(
    assets: AssetsDesigned, opened: CampaignOpened, draft: ContentDrafted, call: Call
) -> None:
    unreviewed = opened.model_copy(update={"review": "none"})
    approved = await ask_for_review(assets, unreviewed, draft, call)
    assert approved == CampaignApproved(saga_id="c1", reviewer="nobody", note="no review was asked for")


async def test_what_was_asked_about_can_be_approved(asked: ReviewRequested, call: Call) -> None:
    assert await approve_campaign(APPROVE, asked, None, call) == CampaignApproved(
        saga_id="c1", reviewer="Mia", note="lovely"
    )


async def test_what_was_asked_about_can_be_rejected(asked: ReviewRequested, call: Call) -> None:
    assert await reject_campaign(REJECT, asked, None, call) == CampaignRejected(
        saga_id="c1", reviewer="Mia", reason="too loud"
    )


@pytest.mark.parametrize(("step", "command"), [(approve_campaign, APPROVE), (reject_campaign, REJECT)])
async def test_nothing_can_be_decided_before_it_is_asked(step, command, call: Call) -> None:  # type: ignore[no-untyped-def]
    refused = await step(command, None, None, call)
    assert isinstance(refused, CommandRefused)
    assert refused.command_id == call.message_id
    assert "no review has been asked for yet" in refused.reason


@pytest.mark.parametrize(("step", "command"), [(approve_campaign, APPROVE), (reject_campaign, REJECT)])
async def test_what_is_approved_is_not_decided_again(step, command, asked: ReviewRequested, call: Call) -> None:  # type: ignore[no-untyped-def]
    refused = await step(command, asked, APPROVED, call)
    assert isinstance(refused, CommandRefused)
    assert "already approved by Mia" in refused.reason


async def test_a_campaign_can_be_cancelled_until_its_delivery_is_cleared(opened: CampaignOpened, call: Call) -> None:
    assert await cancel_campaign(CANCEL, opened, None, call) == CampaignCancelled(saga_id="c1", reason="rain")
    refused = await cancel_campaign(CANCEL, opened, DeliveryCleared(saga_id="c1"), call)
    assert isinstance(refused, CommandRefused)
    assert "mail may be leaving" in refused.reason


async def test_what_was_never_started_cannot_be_cancelled(call: Call) -> None:
    refused = await cancel_campaign(CANCEL, None, None, call)
    assert isinstance(refused, CommandRefused)
    assert "no such campaign" in refused.reason


async def test_a_review_waits_until_its_deadline_and_expires_at_it(asked: ReviewRequested, call: Call) -> None:
    assert await expire_review(asked, None, call) == Later(asked.deadline)
    assert await expire_review(asked, None, replace(call, now=asked.deadline)) == CampaignExpired(saga_id="c1")


async def test_an_approved_review_does_not_expire(asked: ReviewRequested, call: Call) -> None:
    assert await expire_review(asked, APPROVED, replace(call, now=asked.deadline)) is None


async def test_delivery_is_cleared_once_all_channels_have_spoken(call: Call) -> None:
    cleared = await clear_delivery(
        BlogNotWanted(saga_id="c1"),
        SocialPublished(saga_id="c1", url="site/feed.json#c1"),
        EmailPrepared(saga_id="c1", recipients=2, folder="outbox/c1"),
        call,
    )
    assert cleared == DeliveryCleared(saga_id="c1")
