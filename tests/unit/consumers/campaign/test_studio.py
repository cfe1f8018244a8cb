"""The studio's steps: research, draft, design."""

import pytest

from consumers.campaign.design_assets import design_assets
from consumers.campaign.draft_content import draft_content
from consumers.campaign.ports import Copy, SavedDraft, key_of
from consumers.campaign.research_audience import research_audience
from consumers.runtime.steps import Call
from schemas.campaign import AssetsDesigned, AudienceResearched, Brief, CampaignOpened, Channel, ContentDrafted

pytestmark = pytest.mark.asyncio

SOURCES = (
    "The workshop has four repair stands. The weather was fine. Cyclists mend a bike at the workshop on Saturdays.",
    "A repair of a bike takes an hour. It is what it is. Lunch was soup.",
)


def with_sources(opened: CampaignOpened, *sources: str) -> CampaignOpened:
    return opened.model_copy(update={"sources": sources})


async def test_research_finds_what_matters_to_the_audience(opened: CampaignOpened) -> None:
    found = await research_audience(with_sources(opened, *SOURCES))
    assert set(found.keywords[:3]) == {"bike", "repair", "workshop"}
    assert "Cyclists mend a bike at the workshop on Saturdays." in found.findings
    assert "It is what it is." not in found.findings


async def test_research_gives_the_same_result_every_time(opened: CampaignOpened) -> None:
    brief = with_sources(opened, *SOURCES)
    assert await research_audience(brief) == await research_audience(brief)


async def test_research_without_sources_reads_the_goal(opened: CampaignOpened) -> None:
    found = await research_audience(opened)
    assert found.findings == ("Come and mend your bike.", "Bring the old one.")
    assert "mend" in found.keywords


@pytest.mark.parametrize("source", ["!!! 12 34 ...", "春季开放日。欢迎所有人。", "Das ist, was es ist", "x" * 50_000])
async def test_research_takes_any_text(opened: CampaignOpened, source: str) -> None:
    found = await research_audience(with_sources(opened, source))
    assert all(len(finding) <= 320 for finding in found.findings)


async def test_research_leaves_out_what_every_text_says(opened: CampaignOpened) -> None:
    found = await research_audience(with_sources(opened, "Der Hund und die Katze und der Vogel. The cat and the dog."))
    assert not {"der", "und", "die", "the", "and"} & set(found.keywords)


class FakeCopywriter:
    async def write(self, brief: Brief, findings: tuple[str, ...], keywords: tuple[str, ...]) -> Copy:
        return Copy("Fresh headline", "Fresh summary", {"blog": " ".join(findings)})


class DraftsWithAnEarlierOne:
    async def save(self, key: str, copy: Copy) -> SavedDraft:
        return SavedDraft(f"drafts/{key}", Copy("First headline", "First summary", {"blog": "first"}))

    async def discard(self, key: str) -> None:
        raise AssertionError("no step discards anything")


async def test_the_draft_that_was_saved_first_is_the_one_that_counts(opened: CampaignOpened, call: Call) -> None:
    research = AudienceResearched(saga_id="c1", findings=("One.",), keywords=("one",))
    drafted = await draft_content(research, opened, FakeCopywriter(), DraftsWithAnEarlierOne(), call)
    assert drafted == ContentDrafted(
        saga_id="c1",
        headline="First headline",
        summary="First summary",
        path=f"drafts/{key_of(call)}",
        texts={"blog": "first"},
    )


class FakePictures:
    async def draw(self, key: str, headline: str, summary: str, channels: tuple[Channel, ...]) -> dict[Channel, str]:
        return {channel: f"pictures/{key}/{channel}.png" for channel in channels}

    async def remove(self, key: str) -> None:
        raise AssertionError("no step removes anything")


async def test_a_banner_is_drawn_for_every_wanted_channel(
    draft: ContentDrafted, opened: CampaignOpened, call: Call
) -> None:
    wanted = opened.model_copy(update={"channels": ("email", "blog")})
    designed = await design_assets(draft, wanted, FakePictures(), call)
    assert designed == AssetsDesigned(
        saga_id="c1",
        banners={"email": f"pictures/{key_of(call)}/email.png", "blog": f"pictures/{key_of(call)}/blog.png"},
    )
