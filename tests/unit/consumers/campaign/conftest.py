"""A campaign's facts, and a call, with the parts that a test does not care about filled in."""

from datetime import UTC, datetime

import pytest

from consumers.runtime.steps import Call
from schemas.campaign import AssetsDesigned, Audience, CampaignOpened, ContentDrafted

NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)


@pytest.fixture
def call() -> Call:
    return Call(key="c1/step/1/m1", saga_id="c1", message_id="m1", tenant="default", attempt=1, now=NOW)


@pytest.fixture
def opened() -> CampaignOpened:
    return CampaignOpened(
        saga_id="c1",
        name="Mend it yourself",
        goal="Come and mend your bike. Bring the old one.",
        audience=Audience(description="Cyclists of the quarter.", recipients=("ada@example.org", "tom@example.com")),
        channels=("blog", "social", "email"),
    )


@pytest.fixture
def draft() -> ContentDrafted:
    return ContentDrafted(
        saga_id="c1",
        headline="Mend it yourself",
        summary="Come and mend your bike.",
        path="drafts/c1",
        texts={"blog": "The blog text.", "social": "The short text.", "email": "The mail."},
    )


@pytest.fixture
def assets() -> AssetsDesigned:
    banners = {channel: f"pictures/c1/{channel}.png" for channel in ("blog", "social", "email")}
    return AssetsDesigned.model_validate({"saga_id": "c1", "banners": banners})
