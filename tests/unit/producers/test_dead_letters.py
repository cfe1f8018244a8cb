"""The dead letters as they stand in Kafka, and what was decided of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from producers.dead_letters import Kept, discard, kept_in, note_replayed
from producers.headers import headers_for
from producers.records import Headers, Record
from schemas.dead_letter import DeadLetter, LetterDiscarded, LetterReplayed

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)


def letter(letter_id: str = "a", minutes: int = 0, **fields: Any) -> DeadLetter:
    named = {"kind": "failed", "saga": "order", "saga_id": "o-1", "participant": "order.till", "error": "E"}
    at = NOON + timedelta(minutes=minutes)
    return DeadLetter.model_validate(named | {"reason": "no", "fingerprint": "f", "id": letter_id, "at": at} | fields)


def written(wire_type: str, value: bytes | None, partition: int = 0) -> Record:
    headers = headers_for(wire_type=wire_type, message_id="m", source="s", saga_id="o-1", at=0)
    return Record("order.dead", partition, 0, 0.0, b"o-1", value, headers)


def of(one: DeadLetter, partition: int = 0) -> Record:
    return written("order.dead.letter", one.model_dump_json().encode(), partition)


def discarded(letter_id: str = "a", reason: str = "by hand") -> Record:
    decision = LetterDiscarded(letter_id=letter_id, reason=reason, by="ada", at=NOON)
    return written("order.dead.discarded", decision.model_dump_json().encode())


def replayed(letter_id: str = "a", message_id: str = "replay/1") -> Record:
    decision = LetterReplayed(letter_id=letter_id, message_id=message_id, by="ada", at=NOON)
    return written("order.dead.replayed", decision.model_dump_json().encode())


def states(*records: Record) -> list[tuple[str, str]]:
    return [(kept.letter.id, kept.state) for kept in kept_in("order", records)]


def test_the_letters_are_told_oldest_first_each_once_wherever_they_stand() -> None:
    found = kept_in("order", [of(letter("b", 2), 3), of(letter("a", 1), 1), of(letter("b", 2), 3)])
    assert [(kept.letter.id, kept.partition, kept.state) for kept in found] == [("a", 1, "open"), ("b", 3, "open")]


def test_a_decision_belongs_to_the_letter_it_names_whichever_of_them_is_read_first() -> None:
    letters = [of(letter("a")), of(letter("b", 1)), of(letter("c", 2))]
    decided = [("a", "discarded"), ("b", "replayed"), ("c", "open")]
    assert states(*letters, discarded("a"), replayed("b"), replayed("nobody")) == decided
    assert states(discarded("a"), replayed("b"), *letters) == decided


def test_the_first_decision_counts() -> None:
    (kept,) = kept_in("order", [of(letter()), discarded(reason="first"), discarded(reason="second"), replayed()])
    assert (kept.state, kept.decision) == (
        "discarded",
        LetterDiscarded(letter_id="a", reason="first", by="ada", at=NOON),
    )
    (kept,) = kept_in("order", [of(letter()), replayed(message_id="first"), replayed(message_id="second")])
    assert isinstance(kept.decision, LetterReplayed) and kept.decision.message_id == "first"


def test_a_replayed_letter_can_still_be_discarded() -> None:
    assert states(of(letter()), replayed(), discarded()) == [("a", "discarded")]


@pytest.mark.parametrize("value", [None, b"", b"nonsense", b"{}", b"[]", b'{"letter_id":"a"}', b'{"id":"a"}', b"\xff"])
@pytest.mark.parametrize("what", ["letter", "discarded", "replayed"])
def test_what_is_no_letter_and_no_decision_changes_nothing(what: str, value: bytes | None) -> None:
    assert states(of(letter()), written(f"order.dead.{what}", value)) == [("a", "open")]


def test_a_decision_of_another_saga_kind_decides_nothing() -> None:
    decision = LetterDiscarded(letter_id="a", reason="by hand", by="ada", at=NOON).model_dump_json().encode()
    assert states(of(letter()), written("ticket.dead.discarded", decision)) == [("a", "open")]


def test_a_letter_that_names_another_saga_kind_is_none_of_this_one() -> None:
    assert states(of(letter()), of(letter("b", saga="ticket"))) == [("a", "open")]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z"])
def test_a_letter_of_a_time_that_not_every_clock_can_show_is_none_and_hides_no_other(at: str) -> None:
    odd = letter("b").model_dump_json().replace("2026-04-01T12:00:00Z", at).encode()
    assert states(written("order.dead.letter", odd), of(letter())) == [("a", "open")]


class Shelf:
    """Stands in for Kafka: keeps what is appended."""

    source = "soma.cli"

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def append(self, topic: str, partition: int, key: bytes | None, value: bytes, headers: Headers) -> int:
        self.records.append(Record(topic, partition, len(self.records), 0.0, key, value, headers))
        return len(self.records) - 1


async def test_what_was_decided_is_read_back_beside_its_letter() -> None:
    shelf: Any = Shelf()
    one, other = letter("a"), letter("b", 1, saga_id=None)
    await discard(shelf, Kept(one, 3), "printed by hand", "ada")
    await note_replayed(shelf, Kept(other, 2), "replay/7", "bob")
    assert [(record.topic, record.partition, record.key) for record in shelf.records] == [
        ("order.dead", 3, b"o-1"),
        ("order.dead", 2, None),
    ]
    found = kept_in("order", [of(one), of(other), *shelf.records])
    told = [kept.decision.model_dump(exclude={"at"}) for kept in found if kept.decision]
    assert told == [
        {"letter_id": "a", "reason": "printed by hand", "by": "ada"},
        {"letter_id": "b", "message_id": "replay/7", "by": "bob"},
    ]
