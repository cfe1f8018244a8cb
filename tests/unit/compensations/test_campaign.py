"""How a campaign is undone: by the key, with or without the fact."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from compensations.campaign import UNDOS
from consumers.campaign.ports import key_of
from consumers.runtime.steps import Call, UndoMark, mark_of
from schemas.campaign import AssetsDesigned, BlogPublished, ContentDrafted, EmailPrepared, SocialPublished
from schemas.message import Event

pytestmark = pytest.mark.asyncio

CALL = Call(
    key="c1/step/1/m1", saga_id="c1", message_id="m1", tenant="default", attempt=1, now=datetime(2026, 4, 1, tzinfo=UTC)
)
FACTS: dict[type[Event], Event] = {
    EmailPrepared: EmailPrepared(saga_id="c1", recipients=1),
    SocialPublished: SocialPublished(saga_id="c1", url="u"),
    BlogPublished: BlogPublished(saga_id="c1", url="u"),
    AssetsDesigned: AssetsDesigned(saga_id="c1", banners={}),
    ContentDrafted: ContentDrafted(saga_id="c1", headline="h", summary="s", path="p", texts={}),
}


@dataclass
class AnyPort:
    """Remembers under which keys it was asked to take something back."""

    taken_back: list[str] = field(default_factory=list)

    async def discard(self, key: str) -> None:
        self.taken_back.append(key)

    unpublish = remove = discard


@pytest.mark.parametrize("known", [True, False], ids=["fact", "unknown outcome"])
@pytest.mark.parametrize("undo", UNDOS, ids=lambda undo: undo.__name__)
async def test_an_effect_is_taken_back_by_the_key_it_was_made_with(undo, known) -> None:  # type: ignore[no-untyped-def]
    mark = mark_of(undo)
    assert isinstance(mark, UndoMark)
    port = AnyPort()
    said = await undo(FACTS[mark.fact] if known else None, port, CALL)
    assert port.taken_back == [key_of(CALL)]
    assert said.saga_id == "c1"
    assert type(said).undoes is mark.fact


async def test_the_last_step_is_undone_first() -> None:
    assert [mark_of(undo).fact for undo in UNDOS] == list(FACTS)  # type: ignore[union-attr]
