"""What is run against a story: a seed, and the callbacks before which the successive workers die."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.simulation import trade_tales as trades
from tests.simulation.campaign_stories import STORIES
from tests.simulation.campaign_world import CampaignWorld
from tests.simulation.conditions import met, possible
from tests.simulation.loop import Deadlock, Endless, cpu_bounded
from tests.simulation.stories import tell, violations
from tests.simulation.world import World

DEATHS_MOST = 3
OVERLAP_MOST = 400
OVERLAP_SHARE = 0.4
FAULTS = ("undecided", "decided")
FAULTS_MOST = 4
FAULTY_SHARE = 0.5
COMMITS_MOST = 60
STOPPED_SHARE = 0.25
# So early that the life is still reading its backlog.
EARLY_SHARE = 0.5
EARLY_MOST = 80
CALLBACKS_MOST = 300_000
CONDITION_SHARE = 0.25
# The longest runs take two seconds.
CPU_SECONDS_MAX = 12.0


@dataclass(frozen=True)
class Tale:
    """A story that can be told to any world of its own kind.

    `tell` runs it to its end; `broken` says what is broken then. A `race` takes another course with every seed.
    """

    name: str
    new_world: Callable[[int], World]
    tell: Callable[[World], None]
    broken: Callable[[World], Iterator[str]]
    is_race: bool = False


@dataclass(frozen=True)
class Schedule:
    """One run of a tale; the n-th worker dies before its callback number `deaths[n]`, and the one after the last lives.

    With an `overlap` each worker's successor starts so many callbacks before it dies: for a while both take themselves
    for the owner. The lives in `stopped`, counted from 1, are asked to stop there instead. `faults` are the commits
    that fail, see `SimulatedBroker`, and `conditions` is what the world is like, see `conditions`. A schedule and the
    code together determine every callback of the run.
    """

    tale: str
    seed: int = 0
    deaths: tuple[int, ...] = ()
    overlap: int = 0
    faults: tuple[tuple[int, str], ...] = ()
    stopped: tuple[int, ...] = ()
    conditions: tuple[str, ...] = ()

    def command(self) -> str:
        """How to run it again."""
        deaths = "".join(f" --kill-at {death}" for death in self.deaths)
        overlap = f" --overlap {self.overlap}" if self.overlap else ""
        faults = "".join(f" --fail {number}:{fault}" for number, fault in self.faults)
        stopped = "".join(f" --stop {life}" for life in self.stopped)
        conditions = "".join(f" --with {name}" for name in self.conditions)
        named = f"--story {self.tale!r} --seed {self.seed}"
        return f"python -m tests.simulation.prove {named}{deaths}{overlap}{faults}{stopped}{conditions}"


def campaign_tales() -> dict[str, Tale]:
    """The stories of the campaign, by name."""
    tales = {}
    for story in STORIES:
        tales[story.name] = Tale(
            story.name,
            CampaignWorld,
            lambda world, story=story: tell(story, world),  # type: ignore[misc]  # bound once per turn of the loop
            lambda world, story=story: violations(story, world),  # type: ignore[misc]
        )
    return tales


def trade_tales() -> dict[str, Tale]:
    """The tales of the saga that is made for the simulator."""
    tales = {}
    for told in trades.TALES:
        tales[told.name] = Tale(
            told.name,
            lambda seed, told=told: trades.TradeWorld(told, seed),  # type: ignore[misc]  # bound once per turn of the loop
            trades.tell,  # type: ignore[arg-type]  # a tale's world is of its own kind
            trades.broken,  # type: ignore[arg-type]
            is_race="while it closes" in told.name,
        )
    return tales


@dataclass(frozen=True)
class Run:
    """What became of a schedule: what it breaks of the promises, and at which of its callbacks a worker really died."""

    schedule: Schedule
    broken: list[str]
    died_at: tuple[int, ...]


def broken_by(tale: Tale, schedule: Schedule) -> list[str]:
    """Run the schedule; what it breaks of the promises. A world that comes to no end breaks one as well."""
    return run_of(tale, schedule).broken


def run_of(tale: Tale, schedule: Schedule) -> Run:
    """Run the schedule."""
    world = tale.new_world(schedule.seed)
    world.loop.steps_most = CALLBACKS_MOST
    world.broker.faults = dict(schedule.faults)
    for life, death in enumerate(schedule.deaths, start=1):
        if life in schedule.stopped:
            world.loop.stop_at[f"worker-{life}"] = death
            continue
        world.loop.kill_at[f"worker-{life}"] = death
        if schedule.overlap:
            world.loop.warn_at[f"worker-{life}"] = max(1, death - schedule.overlap)
    try:
        with cpu_bounded(CPU_SECONDS_MAX), met(schedule.conditions, world, schedule.seed):
            tale.tell(world)
            broken = list(tale.broken(world))
    except (Deadlock, Endless) as endless:
        broken = [f"came to no end: {endless}"]
    finally:
        died_at = tuple(
            world.loop.steps_of[f"worker-{life}"]
            for life in range(1, len(schedule.deaths) + 1)
            if f"worker-{life}" in world.loop.killed
        )
        world.loop.close()
    return Run(schedule, broken, died_at)


def calm_run(tale: Tale, seed: int = 0) -> tuple[list[int], int]:
    """The crash points of the tale's first worker, and how many callbacks it lives for when nobody kills it.

    Between two awaits that change nothing outside, dying leaves the same broker and the same outside world; so of each
    such row the first one stands for all.
    """
    points: list[int] = []
    seen: set[tuple[int, int]] = set()
    world = tale.new_world(seed)
    world.loop.steps_most = CALLBACKS_MOST

    def note(worker: str, count: int) -> None:
        state = (world.broker.mutations, world.outside_mutations())
        if worker == "worker-1" and state not in seen:
            seen.add(state)
            points.append(count)

    world.loop.on_step = note
    try:
        tale.tell(world)
    finally:
        world.loop.close()
    return points, world.loop.steps_of.get("worker-1", 0)


def drawn(tale: str, callbacks: int, seed: int) -> Schedule:
    """A schedule with several deaths at random moments; the seed determines all of it."""
    draws = random.Random(f"{tale}/{seed}")
    deaths = [draws.randint(1, max(1, callbacks)) for _ in range(draws.randint(1, DEATHS_MOST))]
    stopped = tuple(life for life in range(1, len(deaths) + 1) if draws.random() < STOPPED_SHARE)
    for life in stopped:
        if life > 1 and draws.random() < EARLY_SHARE:
            deaths[life - 1] = draws.randint(1, EARLY_MOST)
    overlap = draws.randint(1, OVERLAP_MOST) if draws.random() < OVERLAP_SHARE else 0
    faults = tuple(
        (draws.randint(1, COMMITS_MOST), draws.choice(FAULTS))
        for _ in range(draws.randint(0, FAULTS_MOST) if draws.random() < FAULTY_SHARE else 0)
    )
    conditions = tuple(name for name in possible(tale) if draws.random() < CONDITION_SHARE)
    return Schedule(tale, seed, tuple(deaths), overlap, faults, stopped, conditions)
