"""What an opening assumes of the items that its former life has left."""

import pytest

from consumers.runtime.former_life import Ending, assume_begun, mark_begun
from consumers.runtime.journal import Fact, Item, ItemState, Journal
from consumers.runtime.view import view_of
from tests.unit.consumers.runtime.small_saga import ORDER, STORE

NOW = 1_800_000_000.0
VIEW = view_of(ORDER, STORE)


def left(state: ItemState, due: float | None = None, suspect: bool = False) -> Item:
    """An item of a step with an undo, in this state."""
    opened = Fact("order.opened", "opening", "order.desk", b"{}", NOW - 60)
    return Item("print_label/opening", "print_label", opened, state=state, due=due, suspect=suspect)


def assumed(item: Item, ending: Ending) -> bool:
    return assume_begun(Journal("o-1", items={item.id: item}), VIEW, ending, NOW)


@pytest.mark.parametrize(
    ("item", "ending", "may_have_begun"),
    [
        (left("ready"), "clean", False),
        (left("ready"), "lost", True),
        (left("ready"), "crashed", True),
        (left("ready", suspect=True), "crashed", False),
        (left("running"), "clean", True),
        (left("delayed", due=NOW - 1), "lost", True),
        (left("delayed", due=NOW - 1), "clean", False),
        (left("waiting", due=NOW + 3_600), "lost", False),
        (left("held"), "crashed", False),
        (left("stuck"), "crashed", False),
        (left("joining"), "crashed", False),
    ],
)
def test_what_the_former_life_may_have_started_is_marked_and_nothing_else_is(
    item: Item, ending: Ending, may_have_begun: bool
) -> None:
    assert assumed(item, ending) is may_have_begun
    assert (item.unknown_until > NOW) is may_have_begun
    assert item.state != "running"


def test_what_was_on_trial_is_so_no_longer_and_only_a_crash_counts() -> None:
    item = left("ready")
    item.on_trial = item.is_alone = True
    mark_begun(item, VIEW, "lost", NOW)
    assert (item.on_trial, item.is_alone, item.deaths, item.suspect, item.attempt) == (False, False, 0, False, 1)
    item.on_trial = item.is_alone = True
    mark_begun(item, VIEW, "crashed", NOW)
    assert (item.on_trial, item.is_alone, item.deaths, item.suspect, item.attempt) == (False, False, 1, True, 2)
