"""Stories of one campaign, and what must be true of each however often its worker dies."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from producers.headers import read
from schemas.message import FailingEnd
from schemas.status import FINAL_STATES
from tests.simulation.campaign_world import BRIEF, CampaignWorld

SAGA = "c-1"
MADE_BY_COMPLETION = {"draft", "picture", "page", "entry", "outbox"}


@dataclass(frozen=True)
class Turn:
    """Publish `command` as soon as `when` holds."""

    when: Callable[[CampaignWorld], bool]
    command: str
    body: dict[str, Any]
    id: str = ""


@dataclass(frozen=True)
class Story:
    """A brief, what people do, what the world does to it, and the states it may end in."""

    name: str
    ends: frozenset[str]
    turns: tuple[Turn, ...] = ()
    brief: dict[str, Any] = field(default_factory=lambda: BRIEF)
    refuse: frozenset[str] = frozenset()
    fail: dict[str, int] = field(default_factory=dict)


def in_state(state: str) -> Callable[[CampaignWorld], bool]:
    """When the status says so."""
    return lambda world: world.state(SAGA) == state


def after(wire_type: str) -> Callable[[CampaignWorld], bool]:
    """When an event of this type stands in the log."""
    return lambda world: wire_type in world.types(SAGA)


APPROVE = Turn(in_state("waiting"), "campaign.approve", {"reviewer": "ada"})
REJECT = Turn(in_state("waiting"), "campaign.reject", {"reviewer": "ada", "reason": "dull"})


def told(story: Story, seed: int = 0, kill_at: int | None = None) -> CampaignWorld:
    """Run the story to its end, with the first worker dying before its callback `kill_at`."""
    world = CampaignWorld(seed)
    tell(story, world, kill_at)
    return world


def tell(story: Story, world: CampaignWorld, kill_at: int | None = None) -> None:
    """Run the story in this world until it has ended and every command is answered."""
    world.outside.refuse, world.outside.fail = set(story.refuse), dict(story.fail)
    world.publish("campaign.start", SAGA, story.brief, "start")
    world.start_worker(kill_at)
    waiting = list(story.turns)

    def ended() -> bool:
        while waiting and waiting[0].when(world):
            turn = waiting.pop(0)
            world.publish(turn.command, SAGA, turn.body, turn.id)
        return not waiting and world.state(SAGA) in FINAL_STATES and not unanswered(world)

    world.run_until(ended)
    world.loop.close()


def crash_points(story: Story, seed: int = 0) -> list[int]:
    """The callbacks before which the first worker's death leaves a world that no other death leaves.

    Between two awaits that change nothing outside, dying leaves the same broker and the same outside world; so of each
    such row the first one stands for all.
    """
    points: list[int] = []
    seen: set[tuple[int, int]] = set()
    world = CampaignWorld(seed)

    def note(worker: str, count: int) -> None:
        state = (world.broker.mutations, world.outside.mutations)
        if worker == "worker-1" and state not in seen:
            seen.add(state)
            points.append(count)

    world.loop.on_step = note
    tell(story, world)
    return points


def unanswered(world: CampaignWorld) -> set[str]:
    """The ids of commands that nothing in the log answers yet."""
    commands = {
        read(record, "").id for record in world.broker.committed(world.topics.commands, world.partitions) if record.key
    }
    return commands - {read(record, "").causation for _, record in world.events()}


def violations(story: Story, world: CampaignWorld) -> Iterator[str]:
    """What the story breaks of the promises."""
    state, outside = world.state(SAGA), world.outside
    if state not in story.ends:
        yield f"ended as {state}, not {' or '.join(sorted(story.ends))}: {world.types(SAGA)}"
    if world.said_twice():
        yield f"said twice: {world.said_twice()}"
    if world.loop.errors:
        yield f"an error nobody caught: {world.loop.errors[0]}"
    answers = Counter(read(record, "").causation for _, record in world.events())
    for command in ("start",):
        if answers[command] != 1:
            yield f"the command {command} has {answers[command]} answers"
    kinds = Counter(what for what, _ in outside.standing)
    if any(count > 1 for count in kinds.values()):
        yield f"made twice: {kinds}"
    if state == "completed":
        yield from _completed(world)
    else:
        yield from _undone(world)


def _completed(world: CampaignWorld) -> Iterator[str]:
    outside = world.outside
    if {what for what, _ in outside.standing} != MADE_BY_COMPLETION:
        yield f"completed, and there stands {outside.standing}"
    if any(word.startswith("-") for word in outside.log):
        yield f"completed, and undone: {outside.log}"
    if len(set(outside.mails)) != 1:
        yield f"completed, and mails {outside.mails}"


def _undone(world: CampaignWorld) -> Iterator[str]:
    outside, graph = world.outside, world.graph
    if outside.standing:
        yield f"not undone: {outside.standing}"
    if outside.mails:
        yield "mail has left, and the campaign failed"
    removed = [word[1:] for word in outside.log if word.startswith("-")]
    for later in ("page", "entry", "outbox"):
        for earlier in ("draft", "picture"):
            if later in removed and earlier in removed and removed.index(earlier) < removed.index(later):
                yield f"{earlier} was removed while {later} stood on it"
    types = world.types(SAGA)
    ends = [kind for kind in types if graph.is_a(kind, FailingEnd) or kind == f"{graph.saga}.step.failed"]
    settled = types.count(f"{graph.saga}.participant.settled")
    if not ends or settled != len(graph.participants):
        yield f"{settled} of {len(graph.participants)} have settled after {ends}"
