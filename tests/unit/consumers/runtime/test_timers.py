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


def test_an_item_that_moves_its_time_fires_once_at_the_later_one() -> None:
    timers = Timers()
    timers.set(10.0, ONE)
    timers.set(20.0, ONE)
    assert timers.next_due() == 20.0
    assert list(timers.fired(15.0)) == []
    assert list(timers.fired(20.0)) == [ONE]


def test_only_the_timers_that_a_saga_keeps_fire() -> None:
    timers = Timers()
    timers.keep("o-1", {"a": 1.0, "b": 2.0})
    timers.set(3.0, TWO)
    timers.keep("o-1", {"b": 2.0, "c": 4.0})
    assert ("o-1" in timers, len(timers), timers.next_due()) == (True, 3, 2.0)
    assert list(timers.fired(9.0)) == [("o-1", "b"), TWO, ("o-1", "c")]
    timers.keep("o-1", {"a": 1.0})
    timers.keep("o-1", {})
    assert ("o-1" in timers, timers.next_due()) == (False, None)


def test_what_is_due_is_told_without_being_fired() -> None:
    timers = Timers()
    timers.set(10.0, ONE)
    timers.set(5.0, TWO)
    assert timers.due(7.0) == [TWO]
    assert list(timers.fired(7.0)) == [TWO]


def test_timers_of_what_has_ended_do_not_pile_up_and_those_of_what_has_not_are_kept() -> None:
    timers = Timers()
    timers.set(8_000.0, TWO)
    timers.set(9_000.0, ONE)
    timers.set(5_000.0, ONE)
    assert timers.held == 3
    for number in range(10 * THINNED_FROM):
        timers.set(6_000.0, (f"gone-{number}", "a"))
        timers.keep(f"gone-{number}", {})
        assert timers.held <= THINNED_FROM + 6
    assert (len(timers), timers.next_due()) == (2, 5_000.0)
    assert list(timers.fired(5_500.0)) == [ONE]
    assert list(timers.fired(20_000.0)) == [TWO]
    assert list(timers.fired(20_000.0)) == []
