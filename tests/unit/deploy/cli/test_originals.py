"""The record that a dead letter tells of, and by which id it is published again."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from consumers.runtime.dead_letters import EXCERPT_BYTES
from deploy.cli.originals import identity_of, original_of, told_by
from deploy.cli.outcomes import Outcome
from producers.errors import Unreadable
from producers.records import Headers, Record
from schemas.dead_letter import VALUE_BYTES_MAX, DeadLetter, Origin
from tests.unit.consumers.runtime.bench import SAGA, Bench
from tests.unit.consumers.runtime.small_saga import DESK, TILL, OrderCleared

NAMED: Headers = (("ce_type", b"order.place"), ("ce_id", b"mine"))


def letter_of(value: bytes | None, headers: Headers = NAMED, key: bytes | None = SAGA.encode()) -> DeadLetter:
    """The letter that the desk writes of this record."""
    desk = Bench(DESK)
    desk.offsets["order.commands"] = 41
    desk.hears_record("order.commands", key, value, headers)
    desk.commit()
    (letter,) = desk.dead_letters()
    return DeadLetter.model_validate(letter)


class Kept:
    """Stands in for Kafka: keeps one record, or none."""

    def __init__(self, record: Record | None) -> None:
        self._record = record
        self.asked: list[tuple[str, int, int]] = []

    async def record_at(self, topic: str, partition: int, offset: int) -> Record | None:
        self.asked.append((topic, partition, offset))
        return self._record


@pytest.mark.parametrize("value", [b"nonsense", b"", b"\xff\x00", b'{"item": "tulip"', None])
def test_a_letter_has_the_whole_of_a_small_record(value: bytes | None) -> None:
    found = told_by(letter_of(value))
    assert found is not None
    assert (found.topic, found.partition, found.offset, found.key) == ("order.commands", 0, 41, SAGA.encode())
    assert (found.value, found.headers) == (value, NAMED)


def test_a_letter_has_only_a_part_of_a_huge_record() -> None:
    letter = letter_of(b"x" * (VALUE_BYTES_MAX + 1))
    assert letter.value == "x" * EXCERPT_BYTES
    assert told_by(letter) is None


def test_a_letter_of_a_step_tells_of_no_record() -> None:
    till = Bench(TILL)
    till.opens()
    till.hears(OrderCleared(saga_id=SAGA), "cleared")
    till.starts()
    till.breaks("ship_parcel", permanent=True)
    till.commit()
    assert told_by(DeadLetter.model_validate(till.dead_letters()[0])) is None


async def test_the_record_is_taken_from_where_it_stood_as_long_as_kafka_keeps_it() -> None:
    letter = letter_of(b"nonsense")
    stood = Record("order.commands", 0, 41, 1.0, SAGA.encode(), b"nonsense", (("ce_type", b"order.place"),))
    kafka: Any = Kept(stood)
    assert await original_of(kafka, letter) is stood
    assert kafka.asked == [("order.commands", 0, 41)]
    gone: Any = Kept(None)
    assert await original_of(gone, letter) == told_by(letter)
    huge: Any = Kept(None)
    assert await original_of(huge, letter_of(b"x" * (VALUE_BYTES_MAX + 1))) is None


async def test_a_letter_without_an_origin_has_no_record() -> None:
    kafka: Any = Kept(None)
    assert await original_of(kafka, letter_of(b"nonsense").model_copy(update={"origin": None})) is None
    assert kafka.asked == []


@pytest.mark.parametrize("encoded", ["x", "äöü", "=", "YWJj?"])
def test_a_letter_that_another_has_written_with_no_base64_in_it_has_no_record(encoded: str) -> None:
    letter = DeadLetter(
        id="a",
        kind="unreadable",
        saga="order",
        saga_id=SAGA,
        participant=DESK,
        error="E",
        reason="no",
        fingerprint="f",
        origin=Origin(topic="order.commands", partition=0, offset=1),
        value_base64=encoded,
        value_bytes=3,
        at=datetime(2026, 4, 1, tzinfo=UTC),
    )
    assert told_by(letter) is None
    assert told_by(letter.model_copy(update={"value_base64": base64.b64encode(b"abc").decode()})) is not None


def record(headers: Headers, value: bytes | None = b"{}") -> Record:
    return Record("order.commands", 2, 41, 0.0, SAGA.encode(), value, headers)


ENVELOPE = {"type": "order.place", "data": {"item": 7}}
STRUCTURED: Headers = (("Content-Type", b"application/cloudevents+json; charset=utf-8"),)


@pytest.mark.parametrize(
    ("headers", "value", "identity"),
    [
        ((("ce_id", b"mine"),), b"{}", "mine"),
        ((("CE_Id", b"mine"),), b"{}", "mine"),
        ((), b"{}", "order.commands/2/41"),
        ((("ce_id", b""),), b"{}", "order.commands/2/41"),
        ((*STRUCTURED, ("ce_id", b"mine")), json.dumps(ENVELOPE | {"id": "inside"}).encode(), "inside"),
    ],
    ids=["named", "named in capitals", "by its place", "by its place, for its id is empty", "inside its envelope"],
)
def test_a_record_keeps_the_identity_it_had(headers: Headers, value: bytes, identity: str) -> None:
    assert identity_of(record(headers, value)) == identity


@pytest.mark.parametrize("name", ["ce_id", "content-type", "ce_type"])
def test_a_header_without_a_value_is_as_one_that_is_not_there(name: str) -> None:
    headers: Any = ((name, None),)
    assert identity_of(record(headers)) == "order.commands/2/41"


@pytest.mark.parametrize(
    ("headers", "value", "words"),
    [
        ((("ce_id", b"\xff"),), b"{}", "its id is not UTF-8"),
        (STRUCTURED, json.dumps(ENVELOPE).encode(), "its envelope has no id"),
    ],
    ids=["no text", "an envelope without id"],
)
def test_what_could_count_twice_is_not_published_again(headers: Headers, value: bytes, words: str) -> None:
    found = identity_of(record(headers, value))
    assert isinstance(found, Outcome)
    assert (found.kind, found.words.startswith(words), found.stops) == ("refused", True, False)


@pytest.mark.parametrize("value", [None, b"", b'{"id": "mine"', b'{"id": "mine"}'])
def test_an_envelope_that_nobody_can_read_now_either_has_no_identity(value: bytes | None) -> None:
    with pytest.raises(Unreadable):
        identity_of(record(STRUCTURED, value))
