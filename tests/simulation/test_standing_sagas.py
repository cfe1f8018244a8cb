"""What cannot go on stands still visibly, and its verb frees it; what kills or blocks a worker harms itself only."""

import asyncio
from collections.abc import Callable

import pytest

from producers.headers import read
from tests.simulation.campaign_world import BRIEF, CampaignWorld
from tests.simulation.loop import Deadlock
from tests.simulation.stories import SAGA

WITHOUT_REVIEW = BRIEF | {"review": "none"}


NewWorld = Callable[..., CampaignWorld]
WorldWith = Callable[..., CampaignWorld]


@pytest.fixture
def world_with(new_world: NewWorld) -> WorldWith:
    """A running world in which calls of these things fail so often."""

    def make(**fail: int) -> CampaignWorld:
        world = new_world()
        world.outside.fail = {name.replace("undo_", "-"): count for name, count in fail.items()}
        world.start_worker()
        return world

    return make


def standing_item(world: CampaignWorld, state: str) -> tuple[str, str, str]:
    """Participant, step and item of the step that stands still."""
    status = world.status(SAGA)
    assert status is not None
    (step,) = (step for step in status["steps"] if step["state"] == state)
    return step["participant"], step["item"].partition("/")[0], step["item"]


def retry(world: CampaignWorld, state: str, message_id: str) -> None:
    """Ask the door to try the standing item again."""
    free(world, state, "retry", message_id)


def free(world: CampaignWorld, state: str, verb: str, message_id: str, **words: str) -> None:
    """Ask the door to free the standing item."""
    participant, step, item = standing_item(world, state)
    body = {"participant": participant, "step": step, "item": item} | words
    world.publish(f"campaign.item.{verb}", SAGA, body, message_id)


def answer(world: CampaignWorld, message_id: str) -> list[str]:
    """The types of the events that a command led to."""
    return [kind for kind, record in world.events() if read(record, "").causation == message_id]


def test_a_compensation_that_spends_its_budget_stands_stuck_until_it_is_retried(world_with: WorldWith) -> None:
    world = world_with(undo_picture=11)
    world.outside.refuse = {"page"}
    world.publish("campaign.start", SAGA, WITHOUT_REVIEW)
    world.run_until(lambda: world.state(SAGA) == "stuck")
    status = world.status(SAGA)
    assert status is not None and "picture does not answer" in status["cause"]
    retry(world, "stuck", "retry-1")
    world.run_until(lambda: world.state(SAGA) == "compensated")
    assert world.outside.standing == set()
    assert world.said_twice() == []


@pytest.mark.parametrize(
    ("verb", "words", "left"),
    [("resolve", {"evidence": "deleted by hand"}, "undone"), ("skip", {"reason": "may stay"}, "skipped")],
)
def test_a_stuck_compensation_that_is_freed_leaves_the_saga_to_settle(
    world_with: WorldWith, verb: str, words: dict[str, str], left: str
) -> None:
    world = world_with(undo_picture=99)
    world.outside.refuse = {"page"}
    world.publish("campaign.start", SAGA, WITHOUT_REVIEW)
    world.run_until(lambda: world.state(SAGA) == "stuck")
    for message_id in ("free", "free", "again"):
        free(world, "stuck", verb, message_id, **words)
    world.run_until(lambda: world.state(SAGA) == "compensated")
    world.run_until(lambda: bool(answer(world, "again")))
    assert answer(world, "free") == [f"campaign.item.{'resolved' if verb == 'resolve' else 'skipped'}"]
    assert answer(world, "again") == ["campaign.command.refused"]
    status = world.status(SAGA)
    assert status is not None
    states = {step["name"]: step["state"] for step in status["steps"]}
    assert (states["design_assets"], states["draft_content"]) == (left, "undone")
    assert {what for what, _ in world.outside.standing} == {"picture"}
    assert world.said_twice() == []


def test_a_held_step_can_neither_be_resolved_nor_skipped(world_with: WorldWith) -> None:
    world = world_with(mail=8)
    world.publish("campaign.start", SAGA, WITHOUT_REVIEW)
    world.run_until(lambda: world.state(SAGA) == "held")
    free(world, "held", "resolve", "resolve", evidence="sent by hand")
    free(world, "held", "skip", "skip", reason="not wanted")
    world.run_until(lambda: bool(answer(world, "skip")))
    assert answer(world, "resolve") == answer(world, "skip") == ["campaign.command.refused"]
    retry(world, "held", "retry")
    world.run_until(lambda: world.state(SAGA) == "completed")


@pytest.mark.parametrize("seed", range(10))
def test_a_retry_sent_the_moment_the_status_says_stuck_is_never_refused(seed: int, new_world: NewWorld) -> None:
    world = new_world(seed)
    world.outside.fail, world.outside.refuse = {"-picture": 11}, {"page"}
    # The door hears its events late, and its commands at once.
    world.slow["campaign.review", "campaign.events"] = 2.0
    world.start_worker()
    world.publish("campaign.start", SAGA, WITHOUT_REVIEW)
    world.run_until(lambda: world.state(SAGA) == "stuck")
    retry(world, "stuck", "retry-1")
    world.run_until(lambda: bool(answer(world, "retry-1")))
    assert answer(world, "retry-1") == ["campaign.item.resumed"]


def test_a_pivot_that_fails_is_held_and_goes_on_when_it_is_retried(world_with: WorldWith) -> None:
    world = world_with(mail=8)
    world.publish("campaign.start", SAGA, WITHOUT_REVIEW)
    world.run_until(lambda: world.state(SAGA) == "held")
    world.publish("campaign.cancel", SAGA, {"reason": "too late"}, "cancel")
    world.run_until(lambda: bool(answer(world, "cancel")))
    assert answer(world, "cancel") == ["campaign.command.refused"]
    retry(world, "held", "retry-1")
    world.run_until(lambda: world.state(SAGA) == "completed")
    assert len(world.outside.mails) == 1


def test_a_retry_of_nothing_is_refused(world_with: WorldWith) -> None:
    world = world_with()
    world.publish("campaign.start", SAGA, BRIEF)
    world.run_until(lambda: world.state(SAGA) == "waiting")
    body = {"participant": "campaign.studio", "step": "draft_content", "item": "draft_content/x"}
    world.publish("campaign.item.retry", SAGA, body, "retry-1")
    world.run_until(lambda: bool(answer(world, "retry-1")))
    assert answer(world, "retry-1") == ["campaign.command.refused"]


def test_a_command_before_the_deadline_beats_it_even_when_the_worker_was_away(world_with: WorldWith) -> None:
    world = world_with()
    world.publish("campaign.start", SAGA, BRIEF)
    world.run_until(lambda: world.state(SAGA) == "waiting")
    world.loop.kill("worker-1")
    world.loop.call_later(30.0, world.publish, "campaign.approve", SAGA, {"reviewer": "ada"}, "approve")
    world.run_until(lambda: world.state(SAGA) in ("completed", "expired"))
    assert world.state(SAGA) == "completed"


def test_a_command_after_the_deadline_is_refused_even_if_it_is_heard_first(world_with: WorldWith) -> None:
    world = world_with()
    world.publish("campaign.start", SAGA, BRIEF)
    world.run_until(lambda: world.state(SAGA) == "waiting")
    world.restart_after_seconds = 60.0
    world.loop.kill("worker-1")
    world.loop.call_later(50.0, world.publish, "campaign.approve", SAGA, {"reviewer": "ada"}, "approve")
    world.run_until(lambda: world.state(SAGA) in ("completed", "expired"))
    world.run_until(lambda: bool(answer(world, "approve")))
    assert world.state(SAGA) == "expired"
    assert answer(world, "approve") == ["campaign.command.refused"]


def test_a_step_that_kills_its_worker_each_time_spends_its_budget_and_the_others_go_on(new_world: NewWorld) -> None:
    world = new_world()
    others = [f"c-other-{number}" for number in range(10)]

    def poison(what: str) -> None:
        if what == "page" and world.current_saga() == SAGA:
            world.loop.kill(f"worker-{world.lives}")
            raise asyncio.CancelledError

    world.outside.before = poison
    world.start_worker()
    world.publish("campaign.start", SAGA, WITHOUT_REVIEW)
    for other in others:
        world.publish("campaign.start", other, WITHOUT_REVIEW)
    world.run_until(lambda: all(world.state(saga) == "completed" for saga in others))
    world.run_until(lambda: world.state(SAGA) == "compensated")
    failed = [json for kind, json in world.bodies() if kind == "campaign.step.failed"]
    assert [(one["saga_id"], one["step"]) for one in failed] == [(SAGA, "publish_blog")]
    # One crash makes suspects of up to 33 items, six halve them, five spend the budget.
    assert 5 <= world.lives <= 2 + 6 + 5
    assert {key.split("/")[0] for what, key in world.outside.standing if what == "page"} == set(others)


def test_a_step_that_kills_its_worker_on_a_later_attempt_spends_its_budget_as_well(world_with: WorldWith) -> None:
    world = world_with(page=1)

    def poison(what: str) -> None:
        if what == "page" and not world.outside.fail["page"]:
            world.loop.kill(f"worker-{world.lives}")
            raise asyncio.CancelledError

    world.outside.before = poison
    world.publish("campaign.start", SAGA, WITHOUT_REVIEW)
    world.run_until(lambda: world.state(SAGA) == "compensated", seconds_most=300.0)
    assert world.lives <= 8


def test_a_slow_saga_holds_back_no_other_one_of_its_partition(world_with: WorldWith) -> None:
    world = world_with()
    world.outside.slow = {SAGA: 60.0}
    world.publish("campaign.start", SAGA, WITHOUT_REVIEW)
    others = [f"c-other-{number}" for number in range(50)]
    for other in others:
        world.publish("campaign.start", other, WITHOUT_REVIEW)
    began = world.loop.time()
    world.run_until(lambda: all(world.state(saga) == "completed" for saga in others))
    assert world.loop.time() - began < 10
    assert world.state(SAGA) == "running"


def test_sagas_whose_dependency_is_down_wait_at_its_breaker_and_hold_back_nobody(world_with: WorldWith) -> None:
    world = world_with(page=200)
    waiting = [f"c-waiting-{number}" for number in range(100)]
    for saga in waiting:
        world.publish("campaign.start", saga, WITHOUT_REVIEW)
    others = [f"c-other-{number}" for number in range(10)]
    for other in others:
        world.publish("campaign.start", other, WITHOUT_REVIEW | {"channels": ["social"]})
    began = world.loop.time()
    # Not all of them complete: to say that no blog is wanted takes the blog's port, and so passes its breaker.
    world.run_until(lambda: "campaign.social.published" in set.intersection(*(set(world.types(one)) for one in others)))
    assert world.loop.time() - began < 10
    failed_calls = 200 - world.outside.fail["page"]
    # All were under way before the fifth had failed; after that only probes go out.
    assert failed_calls <= len(waiting) + 10


def test_a_saga_that_stands_still_without_a_verb_is_never_seen(world_with: WorldWith) -> None:
    world = world_with(page=99)
    world.publish("campaign.start", SAGA, WITHOUT_REVIEW)
    with pytest.raises(Deadlock):
        world.run_until(lambda: world.state(SAGA) in ("stuck", "held"), seconds_most=3_000.0)
    assert world.state(SAGA) == "compensated"


@pytest.mark.parametrize("seed", range(4))
def test_a_long_step_does_not_spend_its_budget_by_its_neighbours_deaths(new_world: NewWorld, seed: int) -> None:
    world = new_world(seed)
    sleeper = "c-sleeper"

    def poison(what: str) -> None:
        if what == "page" and world.current_saga() == SAGA:
            world.loop.kill(f"worker-{world.lives}")
            raise asyncio.CancelledError

    world.outside.before, world.outside.slow = poison, {sleeper: 25.0}
    world.start_worker()
    for saga in (sleeper, SAGA):
        world.publish("campaign.start", saga, WITHOUT_REVIEW)
    world.run_until(lambda: world.state(SAGA) == "compensated", seconds_most=2_000.0)
    world.run_until(lambda: world.state(sleeper) == "completed", seconds_most=2_000.0)
