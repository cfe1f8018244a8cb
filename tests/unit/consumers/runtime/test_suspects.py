"""Suspects wait until they are admitted: half of those that were running at most of the crashes come first."""

from consumers.runtime.journal import Fact, Item
from consumers.runtime.suspects import Suspects
from consumers.runtime.timers import Mark

MILD, WORST = ("o-1", "mild"), ("o-2", "worst")


def item(deaths: int) -> Item:
    return Item("i", "print_label", Fact("order.opened", "m", "", b"", 0.0), deaths=deaths)


def suspects_of(deaths: dict[Mark, int]) -> Suspects:
    """These suspects, which wait; each with the crashes at which it was on trial."""
    items = {mark: item(count) for mark, count in deaths.items()}
    suspects = Suspects(items.get)
    for mark in deaths:
        assert not suspects.may_start(mark)
    return suspects


def test_a_suspect_waits_until_it_is_admitted_and_then_starts_once() -> None:
    suspects = suspects_of({MILD: 0})
    assert len(suspects) == 1
    assert suspects.admit(all_of_them=True, in_turn=False) == [MILD]
    assert len(suspects) == 0
    assert suspects.may_start(MILD)
    assert not suspects.may_start(MILD)


def test_those_that_were_on_trial_at_most_crashes_come_first_and_the_others_wait() -> None:
    suspects = suspects_of({MILD: 1, WORST: 3})
    assert suspects.admit(all_of_them=False, in_turn=True) == [WORST]
    assert not suspects.may_start(MILD)
    assert suspects.admit(all_of_them=False, in_turn=True) == [MILD]
    assert suspects.admit(all_of_them=False, in_turn=True) == []


def test_of_suspects_that_are_alike_half_are_admitted_at_once() -> None:
    suspects = suspects_of({(f"o-{number}", "i"): 1 for number in range(9)})
    assert [len(suspects.admit(all_of_them=False, in_turn=True)) for _ in range(5)] == [5, 2, 1, 1, 0]


def test_only_a_suspect_that_is_admitted_by_itself_is_alone() -> None:
    suspects = suspects_of({(f"o-{number}", "i"): 1 for number in range(3)})
    assert not any(suspects.is_alone(mark) for mark in suspects.admit(all_of_them=False, in_turn=True))
    (last,) = suspects.admit(all_of_them=False, in_turn=True)
    assert suspects.is_alone(last)
    assert not any(
        one.is_alone(mark) for one in (suspects_of({MILD: 0}),) for mark in one.admit(all_of_them=True, in_turn=False)
    )


def test_when_all_are_admitted_the_worst_one_comes_first() -> None:
    assert suspects_of({MILD: 0, WORST: 2}).admit(all_of_them=True, in_turn=False) == [WORST, MILD]


def test_a_suspect_that_has_ended_meanwhile_does_not_stand_in_the_way() -> None:
    suspects = suspects_of({WORST: 3})
    suspects.may_start(("gone", "gone"))
    assert suspects.admit(all_of_them=False, in_turn=True) == [WORST]


def test_the_last_one_of_those_that_are_left_is_alone_if_no_other_lane_tries_suspects() -> None:
    suspects = suspects_of({MILD: 0, WORST: 2})
    suspects.admit(all_of_them=False, in_turn=True)
    assert [suspects.is_alone(mark) for mark in suspects.admit(all_of_them=True, in_turn=True)] == [True]
