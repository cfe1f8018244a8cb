"""The proof's witness: each thing that may go wrong is seen, and nothing else."""

from tests.prove.errand.steps import EFFECTS
from tests.prove.errand.words import SCHEMA
from tests.prove.witness import ALLOWED, STAGES, UNDOING, Evidence, digest_of, effects_wrong, lost, undo_order, unequal

SAGA, OTHER = "e-1", "e-2"
UNDONE = sorted(UNDOING)[0]


def heard(*words: tuple[str, str, str, str]) -> Evidence:
    evidence = Evidence()
    for one in words:
        evidence.hear(*one)
    return evidence


def test_the_words_of_a_saga_said_once_each_are_well() -> None:
    said = [(saga, wire_type, "errand.shop", "cause") for saga in (SAGA, OTHER) for wire_type in SCHEMA.messages]
    evidence = heard(*said)
    assert (evidence.said_twice, evidence.undone_twice) == ([], [])


def test_an_event_said_twice_for_one_cause_is_seen() -> None:
    word = (SAGA, "errand.goods.bought", "errand.shop", "cause")
    assert heard(word, (OTHER, *word[1:]), (*word[:3], "another cause")).said_twice == []
    assert heard(word, word).said_twice == ["e-1 errand.goods.bought errand.shop cause"]


def test_a_fact_undone_twice_is_seen_though_the_causes_differ() -> None:
    evidence = heard((SAGA, UNDONE, "errand.shop", "one"), (SAGA, UNDONE, "errand.shop", "two"))
    assert evidence.said_twice == []
    assert evidence.undone_twice == [f"{SAGA} {UNDONE}"]
    assert evidence.undone == {SAGA}


def test_a_saga_that_ended_otherwise_than_its_wish_allows_is_lost_and_so_is_one_that_has_not_ended() -> None:
    wishes = {wish: wish for wish in ALLOWED}
    ended = {wish: min(states) for wish, states in ALLOWED.items()}
    assert lost(wishes, ended) == []
    assert lost({SAGA: "plain"}, {SAGA: "compensated"}) == ["e-1 (plain): compensated"]
    assert lost({SAGA: "refused"}, {SAGA: "completed"}) == ["e-1 (refused): completed"]
    assert lost({SAGA: "plain"}, {SAGA: "running"}) == ["e-1 (plain): running"]
    assert lost({SAGA: "plain"}, {}) == ["e-1 (plain): nothing"]


def test_an_effect_that_stands_for_an_undone_saga_is_seen_and_one_undone_for_a_completed_one() -> None:
    done, undone = f"do {SAGA} buy\n", f"undo {SAGA} buy\n"
    assert effects_wrong([done], {SAGA: "completed"}) == []
    assert effects_wrong([done, undone, done.replace("buy", "wrap")], {SAGA: "compensated"}) == ["left: e-1 wrap"]
    assert effects_wrong([done, undone], {SAGA: "completed"}) == ["undone: e-1 buy"]
    assert effects_wrong([done, undone], {SAGA: "cancelled"}) == []


def test_a_record_without_a_value_has_no_digest_and_an_empty_one_has() -> None:
    assert digest_of(None) is None
    assert digest_of(b"") == bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e")


def test_rows_equal_to_the_records_are_well_a_tombstone_among_them() -> None:
    assert unequal({1: b"one", 2: None}, [(2, None), (1, b"one")]) == []


def test_a_row_too_many_another_value_and_a_missing_row_are_seen() -> None:
    otherwise = "another value, too many, or not in Kafka"
    assert unequal({1: b"one"}, [(1, b"one"), (1, b"one")]) == [f"1: {otherwise}"]
    assert unequal({1: b"one"}, [(1, b"two")]) == [f"1: {otherwise}"]
    assert unequal({1: b"one"}, [(1, None)]) == [f"1: {otherwise}"]
    assert unequal({}, [(1, None)]) == [f"1: {otherwise}"]
    assert unequal({1: b"one", 2: None}, [(1, b"one")]) == ["2: not in ClickHouse"]


def test_an_effect_undone_after_what_it_stands_on_is_seen_and_one_made_after_its_undo() -> None:
    def lines(*words: str) -> list[str]:
        return [f"{verb} {SAGA} {step} key\n" for verb, step in (word.split(" ") for word in words)]

    assert undo_order(lines("do buy_goods", "do wrap_goods", "undo wrap_goods", "undo buy_goods")) == []
    assert undo_order(lines("undo book_slot", "undo hire_rider", "undo wrap_goods")) == []
    again = lines("undo wrap_goods", "undo buy_goods", "undo wrap_goods", "undo buy_goods")
    assert undo_order(again) == []
    assert undo_order(lines("undo buy_goods", "undo wrap_goods")) == [
        "undone after what it stands on: e-1 wrap_goods key"
    ]
    assert undo_order(lines("undo hire_rider", "do hire_rider")) == ["made after it was undone: e-1 hire_rider key"]


def test_every_effect_of_an_errand_has_its_stage() -> None:
    assert set(STAGES) == set(EFFECTS)
