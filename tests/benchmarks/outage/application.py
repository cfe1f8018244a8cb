"""The outage saga. `SOMA_APPLICATION=tests.benchmarks.outage.application:sagas`."""

import sys
from pathlib import Path
from typing import Protocol

from consumers.kinds import SagaKind, saga_kind
from consumers.runtime.steps import Call, Flow, Participant, ReadOnly, on
from schemas.message import Command, Completion, Event, Opening
from schemas.topics import schema_of

# The dependency is down while a file of this name is in the worker's home.
DOWN = "dependency.down"


class StartOutage(Command, type="outage.start"):
    """Begin; `frail` takes the way over the dependency."""

    frail: bool = False


class OutageOpened(Opening, type="outage.opened"):
    """The saga runs."""

    frail: bool = False


class FrailWayTaken(Event, type="outage.frail_way.taken"):
    """The dependency is needed."""


class SteadyWayTaken(Event, type="outage.steady_way.taken"):
    """The dependency is not needed."""


class FrailMade(Event, type="outage.frail.made"):
    """The dependency has made it."""


class SteadyMade(Event, type="outage.steady.made"):
    """It is made."""


class OutageCompleted(Completion, type="outage.completed"):
    """The saga is through."""


class Dependency(ReadOnly, Protocol):
    """What may be down; it only looks, so that nothing is to be undone."""

    async def look(self) -> None: ...


class SwitchedDependency:
    """Refuses every call while the file is there."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def look(self) -> None:
        """There is nothing to see."""
        if self._file.exists():
            raise ConnectionError("the dependency is down")


@on(StartOutage)
async def open_outage(start: StartOutage) -> OutageOpened:
    return OutageOpened(saga_id=start.saga_id, frail=start.frail)


@on(OutageOpened)
async def choose_way(opened: OutageOpened, call: Call) -> FrailWayTaken | SteadyWayTaken:
    return FrailWayTaken(saga_id=call.saga_id) if opened.frail else SteadyWayTaken(saga_id=call.saga_id)


@on(FrailWayTaken)
async def make_frail(taken: FrailWayTaken, dependency: Dependency, call: Call) -> FrailMade:
    await dependency.look()
    return FrailMade(saga_id=call.saga_id)


@on(SteadyWayTaken)
async def make_steady(taken: SteadyWayTaken, call: Call) -> SteadyMade:
    return SteadyMade(saga_id=call.saga_id)


@on(FrailMade | SteadyMade)
async def complete_outage(made: FrailMade | SteadyMade, call: Call) -> OutageCompleted:
    return OutageCompleted(saga_id=call.saga_id)


FLOW = Flow(
    "outage",
    participants=(
        Participant("outage.door", (open_outage, complete_outage), door=True),
        Participant("outage.workshop", (choose_way, make_frail, make_steady)),
    ),
)


def sagas() -> tuple[SagaKind, ...]:
    """The outage, alone."""
    schema = schema_of("outage", sys.modules[__name__])
    return (saga_kind(FLOW, (), schema, lambda settings: {Dependency: SwitchedDependency(settings.home / DOWN)}),)
