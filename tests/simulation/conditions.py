"""What a world may be like besides its deaths and failing commits; a schedule names the conditions it runs under.

tight    everything that is bounded is bounded by one record, byte or journal, so that every bound is met
hostile  an outsider's records about other sagas stand between those of the tale
clocks   the wall clock of each worker is wrong by an hour, and the brokers' clock steps
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from consumers.runtime import lane, ledger
from producers.records import Outgoing
from tests.fuzz.hostile import records
from tests.simulation.world import World

TIGHT: dict[ModuleType, dict[str, int]] = {
    lane: {
        "HEARD_AT_ONCE": 1,
        "CAUGHT_UP_AT_ONCE": 1,
        "QUEUED_RECORDS_MAX": 1,
        # It is full above this, and no longer full below half of it.
        "BACKLOG_BYTES_MAX": 2,
        "LOADED_AT_ONCE": 1,
    },
    ledger: {"LOOKED_AT_ONCE": 1},
}
HOSTILE_RECORDS = 40
HOSTILE_SECONDS_MAX = 8.0
WALL_SECONDS_MAX = 3_600.0
# A broker's clock is some milliseconds off another's; where the leader moves, the next record is as much off.
BROKER_SECONDS_MAX = 0.005
STEPS = 20
NAMES = ("tight", "hostile", "clocks")


def possible(tale: str) -> tuple[str, ...]:
    """The conditions under which the tale can be told: what a campaign has made is not told apart by its saga."""
    return NAMES if tale.startswith("trade") else ("tight", "clocks")


@contextmanager
def met(names: tuple[str, ...], world: World, seed: int) -> Iterator[None]:
    """Let the world be so while inside."""
    draws = random.Random(f"{names}/{seed}")
    if "hostile" in names:
        _hostile(world, draws)
    if "clocks" in names:
        _clocks(world, draws)
    former = [(module, name, getattr(module, name)) for module, values in TIGHT.items() for name in values]
    try:
        if "tight" in names:
            world.decoded_most = 0
            for module, values in TIGHT.items():
                vars(module).update(values)
        yield
    finally:
        for module, name, value in former:
            setattr(module, name, value)


def _hostile(world: World, draws: random.Random) -> None:
    seconds = sorted(draws.uniform(0.0, HOSTILE_SECONDS_MAX) ** 2 for _ in range(HOSTILE_RECORDS))
    for after, one in zip(seconds, records(world.graph, draws.getrandbits(32), HOSTILE_RECORDS), strict=True):
        headers = tuple((name, value or b"") for name, value in one.headers)
        outgoing = Outgoing(one.topic, draws.randrange(world.partitions), one.key or b"", one.value, headers)
        world.loop.call_later(after, world.broker.append, outgoing)


def _clocks(world: World, draws: random.Random) -> None:
    world.broker_seconds_off = BROKER_SECONDS_MAX
    world.wall_offset = lambda: draws.uniform(-WALL_SECONDS_MAX, WALL_SECONDS_MAX)

    def step() -> None:
        world.broker.skew = draws.uniform(-BROKER_SECONDS_MAX, BROKER_SECONDS_MAX)

    for _ in range(STEPS):
        world.loop.call_later(draws.expovariate(1.0), step)
