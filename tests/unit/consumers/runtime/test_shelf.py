"""The shelf keeps what has ended until it is old enough to be forgotten, and what has not ended as long as it is."""

import msgspec

from consumers.runtime.journal import End, Fact, Item, Journal
from consumers.runtime.shelf import Shelf


def closed(saga_id: str, at: float) -> Journal:
    """A saga that has ended then."""
    journal = Journal(saga_id, participants=("order.desk",))
    journal.close(at)
    return journal


def refused(saga_id: str, at: float) -> Journal:
    """A saga that never began; its last command was refused then."""
    return Journal(saga_id, answered=["c-1"], answered_at=at)


def put(shelf: Shelf, journal: Journal) -> bool:
    return shelf.put(journal, msgspec.msgpack.encode(journal))


def test_only_a_saga_with_nothing_left_to_do_has_ended() -> None:
    shelf = Shelf()
    busy = closed("o-1", 1.0)
    busy.items["cancel"] = Item("cancel", "cancel_order", Fact("order.cancel", "c", "", b"", 0.0), command=True)
    assert not put(shelf, busy)
    assert not put(shelf, Journal("o-2", participants=("order.desk",)))
    assert shelf.forget(before=1e12) == []
    assert shelf.journal("o-1") == busy


def test_a_saga_that_has_ended_comes_back_as_it_was_put() -> None:
    shelf = Shelf()
    assert put(shelf, closed("o-1", 7.0))
    found = shelf.journal("o-1")
    assert found is not None and (found.saga_id, found.closed_at) == ("o-1", 7.0)
    shelf.drop("o-1")
    assert shelf.journal("o-1") is None


def test_an_open_saga_comes_back_as_it_was_put_whatever_it_waits_for() -> None:
    shelf = Shelf()
    waiting = Journal("o-1", participants=("order.desk",))
    waiting.items["ship"] = Item("ship", "ship_parcel", Fact("order.cleared", "c", "", b"", 0.0), state="held")
    failing = Journal("o-2", participants=("order.desk",), end=End("order.expired", "e", failing=True))
    for journal in (waiting, failing):
        assert not put(shelf, journal)
        assert shelf.journal(journal.saga_id) == journal
    assert shelf.forget(before=1e12) == []


def test_a_saga_that_begins_after_a_refusal_is_found_as_it_is_now_and_outlives_the_refusal() -> None:
    shelf = Shelf()
    put(shelf, refused("o-1", 1.0))
    begun = Journal("o-1", participants=("order.desk",), answered=["c-1"], answered_at=1.0)
    assert not put(shelf, begun)
    assert shelf.journal("o-1") == begun
    assert shelf.forget(before=1e12) == []


def test_those_that_ended_before_a_time_are_forgotten_and_the_others_stay() -> None:
    shelf = Shelf()
    for number in range(5):
        put(shelf, closed(f"o-{number}", float(number)))
    assert shelf.forget(before=2.0) == ["o-0", "o-1"]
    assert shelf.forget(before=2.0) == []
    assert shelf.journal("o-2") is not None


def test_a_saga_that_is_answered_again_and_again_does_not_keep_all_that_ended_after_it() -> None:
    shelf = Shelf()
    put(shelf, refused("nobody", 0.0))
    for number in range(1, 4):
        put(shelf, closed(f"o-{number}", float(number)))
    put(shelf, refused("nobody", 100.0))
    assert shelf.forget(before=50.0) == ["o-1", "o-2", "o-3"]
    assert shelf.journal("nobody") is not None
