"""Read barriers: an item passes once all is heard that stood in the inputs when it asked."""

from consumers.runtime.barriers import Barriers

ONE, TWO = ("o-1", "cancel/1"), ("o-2", "cancel/2")
BOTH = ("events", "commands")


def test_an_item_passes_when_every_input_is_heard_up_to_its_mark() -> None:
    barriers = Barriers()
    barriers.ask(ONE, BOTH)
    barriers.mark(barriers.unmarked(), {"events": 5, "commands": 3})
    assert list(barriers.reached({"events": 4, "commands": 9})) == []
    assert list(barriers.reached({"events": 9, "commands": 2})) == []
    assert list(barriers.reached({"events": 5, "commands": 3})) == ["o-1"]
    assert barriers.passed("o-1") == {"cancel/1"}


def test_an_item_that_asks_twice_is_marked_once() -> None:
    barriers = Barriers()
    barriers.ask(ONE, BOTH)
    barriers.ask(ONE, BOTH)
    assert barriers.unmarked() == [ONE]
    barriers.ask(ONE, BOTH)
    assert barriers.unmarked() == []


def test_an_input_that_was_not_heard_at_all_lets_nobody_pass() -> None:
    barriers = Barriers()
    barriers.mark([ONE], {"events": 1})
    assert list(barriers.reached({})) == []
    assert barriers.is_waiting()


def test_whoever_asked_later_passes_later() -> None:
    barriers = Barriers()
    barriers.mark([ONE], {"events": 5})
    barriers.mark([TWO], {"events": 8})
    assert list(barriers.reached({"events": 5})) == ["o-1"]
    assert barriers.passed("o-2") == set()
    assert list(barriers.reached({"events": 8})) == ["o-2"]
    assert not barriers.is_waiting()


def test_an_item_that_has_started_needs_another_barrier_for_the_next_time() -> None:
    barriers = Barriers()
    barriers.ask(ONE, BOTH)
    barriers.mark(barriers.unmarked(), {"events": 1, "commands": 0})
    list(barriers.reached({"events": 1, "commands": 0}))
    barriers.used(ONE)
    assert barriers.passed("o-1") == set()
    barriers.ask(ONE, BOTH)
    assert barriers.unmarked() == [ONE]


def test_an_item_waits_for_no_input_but_those_it_named() -> None:
    barriers = Barriers()
    barriers.ask(ONE, ("events",))
    barriers.ask(TWO, BOTH)
    barriers.mark(barriers.unmarked(), {"events": 5, "commands": 1_000_000})
    assert list(barriers.reached({"events": 5, "commands": 0})) == ["o-1"]
    assert barriers.is_waiting()
    assert list(barriers.reached({"events": 5, "commands": 1_000_000})) == ["o-2"]
    assert not barriers.is_waiting()


def test_nothing_is_kept_of_a_saga_whose_items_have_all_started() -> None:
    barriers = Barriers()
    barriers.waive(ONE)
    barriers.used(ONE)
    assert (barriers._passed, barriers._asked) == ({}, {})
