"""Which dead letters are of one kind: the same error of the same step on messages of the same type and shape."""

import json
from typing import Any

import pytest

from consumers.runtime.dead_letters import failed, unreadable
from consumers.runtime.journal import Fact, Item
from consumers.runtime.shapes import DEPTH_MAX, PATHS_MAX, shape_of
from consumers.runtime.utterances import Failure
from consumers.runtime.view import view_of
from producers.records import Outgoing, Record
from tests.unit.consumers.runtime.bench import BEGIN, SAGA, Bench
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, TILL

TULIPS = b'{"saga_id":"o-1","lines":[{"item":"tulip","count":3}],"note":null}'


def print_of(said: Outgoing) -> str:
    found: str = json.loads(said.value or b"")["fingerprint"]
    return found


def failure(
    error: str = "ConnectionError",
    cause: str = "no answer",
    step: str = "ship_parcel",
    wire_type: str = "order.cleared",
    body: bytes = TULIPS,
    saga_id: str = SAGA,
    attempt: int = 2,
    now: float = BEGIN,
) -> str:
    """The fingerprint of an item that was given up."""
    fact = Fact(wire_type, f"cleared {saga_id}", DESK, body, now)
    item = Item(f"{step}/{fact.id}", step, fact, attempt=attempt)
    return print_of(failed(Failure(item, error, cause), view_of(ORDER, TILL), saga_id, 0, now))


def nonsense(
    reason: str = "the value is not JSON: oh",
    value: bytes | None = b"{",
    key: bytes | None = b"o-1",
    wire_type: str = "order.place",
    offset: int = 0,
) -> str:
    """The fingerprint of a record nobody could read."""
    record = Record("order.commands", 0, offset, BEGIN, key, value, (("ce_type", wire_type.encode()),))
    return print_of(unreadable(record, view_of(ORDER, DESK), reason, wire_type, BEGIN))


@pytest.mark.parametrize(
    "other",
    [
        {"saga_id": "o-2"},
        {"cause": "no answer from 10.0.0.7:443"},
        {"attempt": 7},
        {"now": BEGIN + 86_400},
        {"body": b'{"note":null,"lines":[{"count":1.5,"item":"rose"},{"count":9,"item":""}],"saga_id":"o-9"}'},
    ],
    ids=["saga", "words of the error", "attempt", "time", "values, order and length of the body"],
)
def test_failures_of_one_kind_have_one_fingerprint(other: dict[str, Any]) -> None:
    assert failure(**other) == failure()


@pytest.mark.parametrize(
    "other",
    [
        {"error": "TimeoutError"},
        {"step": "close_books"},
        {"wire_type": "order.parcel.shipped"},
        {"body": TULIPS.replace(b"3", b'"3"')},
        {"body": TULIPS.replace(b"null", b'"in a hurry"')},
        {"body": TULIPS.replace(b"}]", b',"gift":true}]')},
        {"body": TULIPS.replace(b',"note":null', b"")},
    ],
    ids=["error", "step", "type", "a number as text", "text for null", "a field more", "a field less"],
)
def test_failures_of_different_kinds_have_different_fingerprints(other: dict[str, Any]) -> None:
    assert failure(**other) != failure()


@pytest.mark.parametrize(
    "other",
    [{"offset": 41}, {"reason": "the value is not JSON: at byte 7"}, {"value": b"{{{"}, {"key": b"o-2"}],
    ids=["place", "details of the reason", "value", "key"],
)
def test_unreadable_records_of_one_kind_have_one_fingerprint(other: dict[str, Any]) -> None:
    assert nonsense(**other) == nonsense()


@pytest.mark.parametrize(
    "other",
    [{"reason": "the value is not a JSON object"}, {"value": b"[]"}, {"wire_type": "order.cancel"}],
    ids=["reason", "shape", "type"],
)
def test_unreadable_records_of_different_kinds_have_different_fingerprints(other: dict[str, Any]) -> None:
    assert nonsense(**other) != nonsense()


@pytest.mark.parametrize("saga_id", ["e", "value", "order", "order.place", "1", "is", "the"])
def test_what_a_saga_is_called_makes_no_other_kind(saga_id: str) -> None:
    def letter(of_saga: str) -> object:
        desk = Bench(DESK)
        desk.hears_raw("order.place", b"{}", of_saga.encode())
        desk.commit()
        return desk.dead_letters()[0]["fingerprint"]

    assert letter(saga_id) == letter("o-1")


def test_the_shape_of_a_body_is_its_paths_with_their_types() -> None:
    body = b'{"a":{"b":[1,2.5,"x",[true]]},"c":null,"d":{},"e":[]}'
    assert shape_of(body) == (
        ":object",
        "a.b:array",
        "a.b[]:array",
        "a.b[]:number",
        "a.b[]:string",
        "a.b[][]:boolean",
        "a:object",
        "c:null",
        "d:object",
        "e:array",
    )


@pytest.mark.parametrize("body", [b"", b"nonsense", b"\xff", b'{"a":', b"[" * 100_000])
def test_what_is_no_json_has_no_shape(body: bytes) -> None:
    assert shape_of(body) == ()


def test_the_shape_of_a_huge_body_is_bounded_and_the_same_in_any_order() -> None:
    names = [f"n{number:05}" for number in range(5 * PATHS_MAX)]
    there = json.dumps(dict.fromkeys(names, 1)).encode()
    back = json.dumps(dict.fromkeys(reversed(names), 1)).encode()
    assert len(shape_of(there)) == PATHS_MAX
    assert shape_of(there) == shape_of(back)
    deep = b'{"a":' * (2 * DEPTH_MAX) + b"1" + b"}" * (2 * DEPTH_MAX)
    assert len(shape_of(deep)) == DEPTH_MAX + 1
