"""The composition root of the proof: errands, in a worker that dies where it is asked to.

`SOMA_APPLICATION=tests.prove.errand.application:sagas`; `SOMA_FAULTS` names the folder of the requests to die (see
`tests.faults.application`) and of the world's file.
"""

import os
from functools import partial
from pathlib import Path

from consumers.kinds import SagaKind, saga_kind
from tests.faults.application import FOLDER, die_at_commits, die_if_asked
from tests.prove.errand.steps import FLOW, UNDOS
from tests.prove.errand.words import SCHEMA
from tests.prove.errand.world import WORLD_FILE, World, WorldOnDisk

MOMENTS = ("inside any", "sent", "committed")


def sagas() -> tuple[SagaKind, ...]:
    """The one kind of saga of the proof."""
    die_at_commits()
    world = Path(os.environ[FOLDER]) / WORLD_FILE
    return (
        saga_kind(
            FLOW, UNDOS, SCHEMA, lambda settings: {World: WorldOnDisk(world, partial(die_if_asked, "inside any"))}
        ),
    )
