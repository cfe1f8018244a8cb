"""Whose turn it is: tenant by tenant, step by step, and nobody stands in another's way."""

from consumers.runtime.memory import Work
from consumers.runtime.timers import Mark
from consumers.runtime.turns import Turns
from tests.unit.consumers.runtime.bench import EVERYBODY, Bench
from tests.unit.consumers.runtime.small_saga import DESK, STORE, OrderOpened


def anything(step: str) -> bool:
    return True


def waits(mark: Mark) -> bool:
    return True


def taken(turns: Turns, count: int) -> list[str]:
    """The sagas of the next so many turns."""
    return [mark[0] for mark in (turns.take(anything) for _ in range(count)) if mark is not None]


def test_a_tenants_thousand_items_delay_anothers_one_by_a_single_turn() -> None:
    turns = Turns()
    for number in range(1_000):
        turns.put("print_label", "large", (f"large-{number}", "i"))
    turns.put("print_label", "small", ("small", "i"))
    assert taken(turns, 2) == ["large-0", "small"]


def test_three_tenants_have_their_turns_one_after_the_other() -> None:
    turns = Turns()
    for tenant in ("a", "b", "c"):
        for number in range(3):
            turns.put("print_label", tenant, (f"{tenant}{number}", "i"))
    assert taken(turns, 9) == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


def test_a_step_with_many_items_lets_another_step_have_every_second_turn() -> None:
    turns = Turns()
    for number in range(10):
        turns.put("print_label", "acme", (f"label-{number}", "i"))
    for number in range(2):
        turns.put("charge_card", "acme", (f"card-{number}", "i"))
    assert taken(turns, 4) == ["label-0", "card-0", "label-1", "card-1"]


def test_a_step_without_room_does_not_stand_in_anothers_way_and_keeps_its_place() -> None:
    turns = Turns()
    turns.put("print_label", "acme", ("first", "i"))
    turns.put("charge_card", "acme", ("second", "i"))
    assert turns.take(lambda step: step != "print_label") == ("second", "i")
    assert turns.take(lambda step: step != "print_label") is None
    assert len(turns) == 1
    assert turns.take(anything) == ("first", "i")
    assert turns.take(anything) is None


def test_an_item_that_is_put_there_twice_has_one_turn() -> None:
    turns = Turns()
    for _ in range(2):
        turns.put("print_label", "acme", ("one", "i"))
    assert taken(turns, 2) == ["one"]
    turns.put("print_label", "acme", ("one", "i"))
    assert taken(turns, 1) == ["one"]


def test_the_room_of_a_step_is_asked_once_for_a_turn_however_many_items_wait() -> None:
    turns, asked = Turns(), []
    for number in range(100):
        turns.put("print_label", f"tenant-{number}", (f"{number}", "i"))

    def has_room(step: str) -> bool:
        asked.append(step)
        return False

    assert turns.take(has_room) is None
    assert asked == ["print_label"]


def test_each_item_is_untold_once_whatever_has_its_turn_meanwhile() -> None:
    turns = Turns()
    for tenant in ("a", "b"):
        for number in range(4):
            turns.put("print_label", tenant, (f"{tenant}{number}", "i"))
    told = turns.untold("print_label", 3, waits)
    assert taken(turns, 2) == ["a0", "b0"]
    told += turns.untold("print_label", 2, waits)
    assert turns.has_untold("print_label")
    turns.put("print_label", "b", ("b4", "i"))
    told += turns.untold("print_label", 100, waits)
    # The one that has had its turn was not told.
    assert sorted(mark[0] for mark in told) == ["a0", "a1", "a2", "a3", "b1", "b2", "b3", "b4"]
    assert not turns.has_untold("print_label")
    assert turns.untold("print_label", 1, waits) == turns.untold("charge_card", 1, waits) == []


def test_what_is_given_and_not_kept_waits_no_more() -> None:
    turns = Turns()
    for tenant in ("a", "b", "c"):
        for number in range(2):
            turns.put("print_label", tenant, (f"{tenant}{number}", "i"), 10)
    given = turns.untold("print_label", 5, lambda mark: mark[0] in ("a1", "c0"))
    assert [mark[0] for mark in given] == ["a0", "a1", "b0", "b1", "c0"]
    assert (len(turns), turns.size_bytes("print_label")) == (3, 30)
    # It may be put there again, behind all others of its tenant.
    turns.put("print_label", "a", ("a0", "i"), 10)
    assert taken(turns, 4) == ["a1", "c0", "a0", "c1"]
    turns.put("print_label", "a", ("a0", "i"))
    assert turns.untold("print_label", 5, lambda mark: False) == [("a0", "i")]
    assert (len(turns), list(turns.steps()), turns.has_untold("print_label")) == (0, [], False)


def test_what_waits_of_a_step_counts_until_its_turn() -> None:
    turns = Turns()
    turns.put("print_label", "acme", ("one", "i"), 100)
    turns.put("print_label", "acme", ("two", "i"), 20)
    assert (turns.size_bytes("print_label"), turns.size_bytes("charge_card")) == (120, 0)
    taken(turns, 1)
    assert turns.size_bytes("print_label") == 20
    taken(turns, 1)
    assert turns.size_bytes("print_label") == 0


def test_in_a_lane_with_few_places_a_tenants_thousand_sagas_delay_anothers_one_by_no_more_than_its_share() -> None:
    store = Bench(STORE)
    for number in range(1_000):
        store.hears(OrderOpened(saga_id=f"large-{number}", participants=EVERYBODY), "opening", DESK, tenant="large")
    store.hears(OrderOpened(saga_id="small", participants=EVERYBODY), "opening", DESK, tenant="small")
    works: list[Work] = store.ledger.startable(store.now, 4)
    rounds = 0
    while "small" not in {work.journal.saga_id for work in works}:
        works, rounds = store.ledger.startable(store.now, 4), rounds + 1
    assert rounds <= 1


def test_a_newcomer_passes_no_item_that_has_waited_and_could_start() -> None:
    store = Bench(STORE)
    store.hears(OrderOpened(saga_id="first", participants=EVERYBODY), "opening first", DESK)
    assert store.ledger.startable(store.now, 0) == []
    store.hears(OrderOpened(saga_id="second", participants=EVERYBODY), "opening second", DESK)
    (work,) = store.ledger.startable(store.now, 1)
    assert work.journal.saga_id == "first"


def test_of_a_saga_that_has_ended_while_it_waited_for_its_turn_nothing_starts() -> None:
    store = Bench(STORE)
    for saga in ("one", "two"):
        store.hears(OrderOpened(saga_id=saga, participants=EVERYBODY), f"opening {saga}", DESK)
    assert store.ledger.startable(store.now, 0) == []
    store.ledger.journals["one"].items.clear()
    assert {work.journal.saga_id for work in store.ledger.startable(store.now, 100)} == {"two"}
