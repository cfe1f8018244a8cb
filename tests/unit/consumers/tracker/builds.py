"""The small saga's flow in other builds: without a step, with a renamed one, without a participant."""

from dataclasses import replace
from typing import Any

from consumers.runtime.former_life import Ending
from consumers.runtime.graph import Graph
from consumers.tracker.records import VERSION
from tests.unit.consumers.runtime.small_saga import ORDER
from tests.unit.consumers.tracker.test_stalling import Watched

# By then a lane that has opened has looked after each of its sagas.
LOOKED_SECONDS = 30.0


def without_step(*names: str) -> Graph:
    return replace(ORDER, steps={name: step for name, step in ORDER.steps.items() if name not in names})


def without_participant(participant: str) -> Graph:
    steps = {name: step for name, step in ORDER.steps.items() if step.participant != participant}
    return replace(ORDER, steps=steps, participants=tuple(one for one in ORDER.participants if one != participant))


def renamed_step(former: str, name: str, undo: str = "") -> Graph:
    """The step is called `name` now, and its compensation `undo`; both tell what they were called."""
    step = ORDER.steps[former]
    if step.undo is not None and undo:
        step = replace(step, undo=replace(step.undo, name=undo, formerly=(step.undo.name,)))
    step = replace(step, name=name, formerly=(former,))
    return replace(
        ORDER, steps={one.name: one for one in (step if one.name == former else one for one in ORDER.steps.values())}
    )


def later_build(log: Watched, graph: Graph = ORDER, ending: Ending = "clean") -> Watched:
    """The tracker's next life, in which a build with this flow is deployed."""
    later = Watched(graph)
    later.now, later.offset, later.state = log.now, log.offset, dict(log.state)
    for key, value in log.state.items():
        if value is not None:
            later.tracker.load(key, value)
    later.tracker.reopen(ending, later.now)
    return later


def looked_after(log: Watched) -> dict[str, Any]:
    """Some time later; returns the newest status."""
    return log.wakes(log.now - 1_800_000_000.0 + LOOKED_SECONDS)


NEWER = bytes((VERSION + 1,))
