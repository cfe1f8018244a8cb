"""Parcels: a saga whose worker can be frozen while it is about to make an effect.

`SOMA_APPLICATION=tests.faults.parcels:sagas`

dock    open_parcel -> ParcelOpened     stop_parcel -> ParcelStopped (a failing end)     send_parcel -> ParcelSent
truck   load_parcel -> ParcelLoaded

load_parcel waits until the file `go` lies in `SOMA_FAULTS`, and then makes its effect at once. It waits in its own
task, or in another one where the parcel is `heavy`. The far side remembers nothing: each effect and each undo is a line
of `effects.log`, with the process that made it.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Protocol

from consumers.kinds import SagaKind, saga_kind
from consumers.runtime.steps import Call, Flow, Participant, on, undo
from schemas.message import Command, CompensatingEvent, Completion, Event, FailingEnd, Opening
from schemas.topics import SagaSchema, schema_of
from tests.faults.application import FOLDER

TIMEOUT_SECONDS = 3


class StartParcel(Command, type="parcel.start"):
    """Begin."""

    heavy: bool = False


class StopParcel(Command, type="parcel.stop"):
    """End it."""


class ParcelOpened(Opening, type="parcel.opened"):
    """The parcel exists."""

    heavy: bool = False


class ParcelLoaded(Event, type="parcel.loaded"):
    """The effect."""


class ParcelUnloaded(CompensatingEvent, type="parcel.unloaded", undoes=ParcelLoaded):
    """Takes the effect back."""


class ParcelSent(Completion, type="parcel.sent"):
    """The good end."""


class ParcelStopped(FailingEnd, type="parcel.stopped", ends_as="cancelled"):
    """The other end."""


class Truck(Protocol):
    """The far side."""

    async def ready(self, saga_id: str) -> None: ...

    async def load(self, saga_id: str) -> None: ...

    async def unload(self, saga_id: str) -> None: ...


class TruckOnDisk(Truck):
    """The far side as lines in a file."""

    def __init__(self) -> None:
        self._folder = Path(os.environ[FOLDER])

    async def ready(self, saga_id: str) -> None:
        (self._folder / f"{saga_id} waits in {os.getpid()}").touch()
        while not (self._folder / "go").exists():
            await asyncio.sleep(0)

    async def load(self, saga_id: str) -> None:
        self._note("+", saga_id)

    async def unload(self, saga_id: str) -> None:
        self._note("-", saga_id)

    def _note(self, sign: str, saga_id: str) -> None:
        with (self._folder / "effects.log").open("a") as log:
            log.write(f"{sign} {saga_id} {os.getpid()}\n")


@on(StartParcel)
async def open_parcel(start: StartParcel) -> ParcelOpened:
    return ParcelOpened(saga_id=start.saga_id, heavy=start.heavy)


@on(StopParcel)
async def stop_parcel(stop: StopParcel) -> ParcelStopped:
    return ParcelStopped(saga_id=stop.saga_id)


@on(ParcelOpened, timeout=f"{TIMEOUT_SECONDS}s")
async def load_parcel(opened: ParcelOpened, truck: Truck, call: Call) -> ParcelLoaded:
    async def load() -> None:
        await truck.ready(call.saga_id)
        await truck.load(call.saga_id)

    await (asyncio.create_task(load()) if opened.heavy else load())
    return ParcelLoaded(saga_id=call.saga_id)


@on(ParcelLoaded)
async def send_parcel(loaded: ParcelLoaded) -> ParcelSent:
    return ParcelSent(saga_id=loaded.saga_id)


@undo(ParcelLoaded)
async def unload_parcel(loaded: ParcelLoaded | None, truck: Truck, call: Call) -> ParcelUnloaded:
    await truck.unload(call.saga_id)
    return ParcelUnloaded(saga_id=call.saga_id)


SCHEMA: SagaSchema = schema_of("parcel", sys.modules[__name__])
FLOW = Flow(
    "parcel",
    participants=(
        Participant("parcel.dock", steps=(open_parcel, stop_parcel, send_parcel), door=True),
        Participant("parcel.truck", steps=(load_parcel,)),
    ),
)


def sagas() -> tuple[SagaKind, ...]:
    """The one kind of saga of this test."""
    return (saga_kind(FLOW, (unload_parcel,), SCHEMA, lambda settings: {Truck: TruckOnDisk()}),)
