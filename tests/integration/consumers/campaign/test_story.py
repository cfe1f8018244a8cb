"""The example campaign, step by step over its real adapters, and all of it taken back again."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from compensations.campaign import UNDOS
from consumers.campaign import FLOW
from consumers.campaign.adapters import adapters
from consumers.runtime.graph import Step, graph_of
from consumers.runtime.steps import Call
from schemas.campaign import (
    AssetsDesigned,
    CampaignApproved,
    CampaignCompleted,
    EmailPrepared,
    EmailSent,
    StartCampaign,
)
from schemas.message import Message
from schemas.topics import catalogue

from .conftest import MailServer, files_of

pytestmark = pytest.mark.asyncio

EXAMPLE = Path(__file__).parents[4] / "deploy" / "examples" / "campaign.yaml"
STORY = (
    "open_campaign",
    "research_audience",
    "draft_content",
    "design_assets",
    "ask_for_review",
    "publish_blog",
    "publish_social",
    "prepare_email",
    "clear_delivery",
    "send_email",
    "collect_delivery",
)


class Story:
    """Calls each step with what was said before, every one of them twice, as after a crash."""

    def __init__(self, home: Path, mail_server: MailServer, start: StartCampaign) -> None:
        url = f"smtp://127.0.0.1:{mail_server.port}"
        self.ports = adapters(home, url)
        self.graph = graph_of(FLOW, UNDOS, catalogue()["campaign"])
        self.said: list[Message] = [start]

    async def tell(self, until: str = "collect_delivery") -> None:
        for name in STORY[: STORY.index(until) + 1]:
            step = self.graph.steps[name]
            first, again = [await self._run(step.function, step) for _ in range(2)]
            assert first == again
            self.said.append(first)

    async def undo(self, *, known: bool) -> None:
        for function in UNDOS:
            undo = self.graph.undos[function.__name__]
            (step,) = (step for step in self.graph.steps.values() if step.undo is undo)
            for _ in range(2):
                await self._run(function, step, known=known)

    async def _run(self, function: Callable[..., Awaitable[Any]], step: Step, *, known: bool = True) -> Message:
        hints = get_type_hints(function)
        hints.pop("return")
        arguments = {name: self._argument(kind, step, known) for name, kind in hints.items()}
        said: Message = await function(**arguments)
        return said

    def _argument(self, kind: Any, step: Step, known: bool) -> object:
        if kind is Call:
            now = datetime(2026, 4, 1, tzinfo=UTC)
            return Call(f"key-of-{step.name}", "../we ird/\0saga", "m1", "default", 1, now)
        if kind in self.ports:
            return self.ports[kind]
        return next((fact for fact in reversed(self.said) if known and isinstance(fact, kind)), None)


@pytest.fixture
def start() -> StartCampaign:
    brief = yaml.safe_load(EXAMPLE.read_text("utf-8")) | {"review": "none"}
    return StartCampaign(saga_id="../we ird/\0saga", **brief)


async def test_the_example_is_delivered_on_three_channels(
    tmp_path: Path, mail_server: MailServer, start: StartCampaign
) -> None:
    home = tmp_path / "home"
    story = Story(home, mail_server, start)
    await story.tell()
    completed = story.said[-1]
    assert isinstance(completed, CampaignCompleted)
    assert completed.delivered == {"blog": 1, "social": 1, "email": 3}
    assert sorted(envelope.rcpt_tos[0] for envelope in mail_server.accepted) == sorted(start.audience.recipients)
    assert all((home / link.partition("#")[0]).exists() for link in completed.links.values())
    assert all(name.startswith(("drafts/", "pictures/", "site/", "outbox/")) for name in files_of(home))
    assert list(tmp_path.glob("*")) == [home]


@pytest.mark.parametrize("known", [True, False], ids=["by its facts", "of unknown outcome"])
@pytest.mark.parametrize("until", ["draft_content", "design_assets", "publish_blog", "prepare_email"])
async def test_a_campaign_that_is_undone_leaves_nothing(
    tmp_path: Path, mail_server: MailServer, start: StartCampaign, until: str, known: bool
) -> None:
    home = tmp_path / "home"
    story = Story(home, mail_server, start)
    await story.tell(until)
    assert files_of(home)
    await story.undo(known=known)
    assert files_of(home) <= {"site/index.html", "site/feed.json"}
    assert start.name not in "".join((home / name).read_text() for name in files_of(home))
    assert not mail_server.accepted


async def test_the_facts_say_where_everything_is(tmp_path: Path, mail_server: MailServer, start: StartCampaign) -> None:
    home = tmp_path / "home"
    story = Story(home, mail_server, start)
    await story.tell()
    by_type = {type(fact): fact for fact in story.said}
    designed, prepared, sent = by_type[AssetsDesigned], by_type[EmailPrepared], by_type[EmailSent]
    assert isinstance(designed, AssetsDesigned) and isinstance(prepared, EmailPrepared) and isinstance(sent, EmailSent)
    assert all((home / path).is_file() for path in designed.banners.values())
    assert len(list((home / prepared.folder / "sent").iterdir())) == sent.sent == 3
    assert isinstance(by_type[CampaignApproved], CampaignApproved)
