"""Following a saga to its end, with a status topic that is a list."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any

import pytest

from deploy.cli import following
from deploy.cli.following import Following, Silence
from deploy.cli.review import Decision
from schemas.status import SagaStatus

from .conftest import NOON

MakeStatus = Callable[..., SagaStatus]
APPROVED = Decision("approve", {"reviewer": "Ada"})


class Seen:
    """A view that remembers."""

    def __init__(self) -> None:
        self.states: list[str] = []

    def show(self, status: SagaStatus) -> None:
        self.states.append(status.state)

    def pause(self) -> None:
        self.states.append("paused")


class Story:
    """Tells statuses; one that `waits` is followed by the next only once somebody has decided, or at once."""

    def __init__(self, *told: SagaStatus, by_itself: bool = False) -> None:
        self._told, self._by_itself = told, by_itself
        self._decided = asyncio.Event()
        self.decisions: list[Decision] = []
        self.asked: list[SagaStatus] = []
        self.given_up = 0

    async def watch_status(self, saga: str, saga_id: str) -> AsyncGenerator[SagaStatus, None]:
        for status in self._told:
            yield status
            if status.state == "waiting" and not self._by_itself:
                await self._decided.wait()
                self._decided.clear()
            elif status.state == "waiting":
                while len(self.asked) < 1:
                    await asyncio.sleep(0)
        await asyncio.Event().wait()

    async def asks(self, status: SagaStatus) -> Decision | None:
        self.asked.append(status)
        if self._by_itself:
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up += 1
        return APPROVED

    async def decide(self, decision: Decision) -> None:
        self.decisions.append(decision)
        self._decided.set()


async def followed(story: Story, view: Seen) -> SagaStatus:
    client: Any = story
    return await asyncio.wait_for(Following(view, story.asks, story.decide).to_the_end(client, "campaign", "one"), 10)


async def test_a_question_is_asked_once_and_its_answer_published(status: MakeStatus) -> None:
    asking = status("waiting", deadline=NOON)
    story, view = Story(status("running"), asking, asking.model_copy(), status("completed")), Seen()
    story._decided.set()
    assert (await followed(story, view)).state == "completed"
    assert (len(story.asked), story.decisions) == (1, [APPROVED])
    assert view.states[:3] == ["running", "waiting", "paused"] and view.states[-2:] == ["completed", "paused"]


async def test_another_question_is_asked_again(status: MakeStatus) -> None:
    first, second = status("waiting", deadline=NOON), status("waiting", deadline=NOON + timedelta(hours=1))
    story = Story(first, second, status("completed"))
    await followed(story, Seen())
    assert story.decisions == [APPROVED, APPROVED]


async def test_asking_is_given_up_when_somebody_else_decides(status: MakeStatus) -> None:
    story = Story(status("waiting", deadline=NOON), status("rejected"), by_itself=True)
    assert (await followed(story, Seen())).state == "rejected"
    assert (story.given_up, story.decisions) == (1, [])


@pytest.mark.parametrize("state", ["stuck", "held"])
async def test_a_saga_that_stands_still_is_followed_no_further(status: MakeStatus, state: str) -> None:
    assert (await followed(Story(status(state)), Seen())).state == state


async def test_silence_ends_it_with_what_was_known(status: MakeStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "SILENCE_SECONDS_MAX", 0.05)
    with pytest.raises(Silence) as silence:
        await followed(Story(status("running")), Seen())
    assert silence.value.last is not None and silence.value.last.state == "running"
