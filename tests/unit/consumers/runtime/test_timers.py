"""Timers fire once, when they are due, the earliest first."""

from consumers.runtime.timers import THINNED_FROM, Timers

ONE, TWO = ("o-1", "a"), ("o-2", "a")


def test_a_timer_fires_when_it_is_due_and_not_before() -> None:
    timers = Timers()
    timers.set(10.0, ONE)
    assert list(timers.fired(9.9)) == []
    assert list(timers.fired(10.0)) == [ONE]
    assert list(timers.fired(11.0)) == []


def test_the_earliest_timer_fires_first_and_is_the_next_due() -> None:
    timers = Timers()
    timers.set(10.0, ONE)
    timers.set(5.0, TWO)
    assert timers.next_due() == 5.0
    assert list(timers.fired(20.0)) == [TWO, ONE]
    assert timers.next_due() is None


def test_the_same_timer_set_again_fires_once_and_can_be_set_anew_afterwards() -> None:
    timers = Timers()
    for _ in range(3):
        timers.set(10.0, ONE)
    assert len(timers) == 1
    assert list(timers.fired(10.0)) == [ONE]
    timers.set(10.0, ONE)
    assert list(timers.fired(10.0)) == [ONE]


def test_timers_of_what_has_ended_do_not_pile_up_and_those_of_what_has_not_are_kept() -> None:
    timers = Timers()
    wanted = {("o-1", "a"): 5_000.0}
    timers.set(5_000.0, ONE)
    timers.set(9_000.0, ONE)
    for number in range(10 * THINNED_FROM):
        timers.set(6_000.0, (f"gone-{number}", "a"))
        timers.thin(wanted.get)
    assert len(timers) <= THINNED_FROM + 3
    assert list(timers.fired(5_500.0)) == [ONE]
    assert ONE not in list(timers.fired(20_000.0))


def test_many_timers_that_are_all_wanted_are_looked_through_seldom() -> None:
    timers, asked = Timers(), 0
    wanted = {(f"o-{number}", "a"): 10.0 for number in range(10 * THINNED_FROM)}

    def due_of(mark: tuple[str, str]) -> float | None:
        nonlocal asked
        asked += 1
        return wanted.get(mark)

    for mark in wanted:
        timers.set(10.0, mark)
        timers.thin(due_of)
    assert len(timers) == len(wanted)
    assert asked < 3 * len(wanted)
