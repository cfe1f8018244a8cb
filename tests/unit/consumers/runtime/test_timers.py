"""Timers fire once, when they are due, the earliest first."""

from consumers.runtime.timers import Timers

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
