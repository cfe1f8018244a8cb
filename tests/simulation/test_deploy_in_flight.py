"""A saga that meets a deploy, and the way back, ends as it should; what a build cannot carry of it is held visibly."""

from collections import Counter
from collections.abc import Callable

import pytest

from consumers.runtime.graph import Graph
from tests.simulation.deploys import (
    callbacks,
    deployed,
    with_another_field,
    with_another_leg,
    with_former_names,
    with_unknown_name,
)
from tests.simulation.trade_tales import SAGA

Build = Callable[[], Graph]

# A worker that dies at the moment of a deploy may have acted under a name that the next build does not know.
KILLED = (with_another_leg, with_another_field, with_former_names)
STOPPED = (*KILLED, with_unknown_name)
CASES = [(new, False) for new in STOPPED] + [(new, True) for new in KILLED]


def visible_in(new: Graph, at: int, is_killed: bool) -> list[tuple[str, str]]:
    """Deploy the build before that callback, and go back; returns what the status has shown of what stood still."""
    world = deployed(new, None if is_killed else at, at if is_killed else None)
    where = f"{at}: {world.types(SAGA)}"
    assert world.state(SAGA) == "completed", where
    assert (world.said_twice(), world.loop.errors) == ([], []), where
    assert Counter(what for what, _ in world.standing) == {"goods": 1, "price": 1}, where
    for state, cause in world.visible:
        assert state == "held" and cause.startswith("flow changed: "), (where, world.visible)
    return world.visible


@pytest.mark.parametrize(("new", "is_killed"), CASES)
def test_a_deploy_in_the_middle_of_a_saga(new: Build, is_killed: bool) -> None:
    end = callbacks()
    visible = [seen for at in range(1, end, end // 24) for seen in visible_in(new(), at, is_killed)]
    # Some of them had the change before them; a step that tells of its former name is no change.
    assert bool(visible) == (new is not with_former_names)


@pytest.mark.long
@pytest.mark.parametrize(("new", "is_killed"), CASES)
def test_a_deploy_at_every_fourth_callback_of_a_saga(new: Build, is_killed: bool) -> None:
    for at in range(1, callbacks(), 4):
        visible_in(new(), at, is_killed)
