"""Suspects wait until they are acquitted, the one that was running at the most deaths first."""

from consumers.runtime.journal import Fact, Item
from consumers.runtime.suspects import Suspects

MILD, WORST = ("o-1", "mild"), ("o-2", "worst")
ITEMS = {
    mark: Item(mark[1], "print_label", Fact("order.opened", "m", "", b"", 0.0), attempt=attempt)
    for mark, attempt in ((MILD, 1), (WORST, 3))
}


def test_a_suspect_is_held_until_it_is_acquitted_and_then_starts_once() -> None:
    suspects = Suspects(ITEMS.get)
    assert not suspects.may_start(MILD)
    assert len(suspects) == 1
    assert suspects.acquit(all_of_them=True) == [MILD]
    assert len(suspects) == 0
    assert suspects.may_start(MILD)
    assert not suspects.may_start(MILD)


def test_one_at_a_time_is_the_worst_one_and_the_others_stay() -> None:
    suspects = Suspects(ITEMS.get)
    suspects.may_start(MILD)
    suspects.may_start(WORST)
    assert suspects.acquit(all_of_them=False) == [WORST]
    assert not suspects.may_start(MILD)
    assert suspects.acquit(all_of_them=False) == [MILD]
    assert suspects.acquit(all_of_them=False) == []


def test_when_all_are_acquitted_the_worst_one_comes_first() -> None:
    suspects = Suspects(ITEMS.get)
    suspects.may_start(MILD)
    suspects.may_start(WORST)
    assert suspects.acquit(all_of_them=True) == [WORST, MILD]


def test_a_suspect_that_has_ended_meanwhile_does_not_stand_in_the_way() -> None:
    suspects = Suspects(ITEMS.get)
    suspects.may_start(("gone", "gone"))
    suspects.may_start(WORST)
    assert suspects.acquit(all_of_them=False) == [WORST]
