"""The part of a flow that a participant stores: what it holds, and what is refused as none."""

from dataclasses import replace

import msgspec
import pytest
from pydantic import AliasChoices, Field

from consumers.runtime.field_types import fields_of
from consumers.runtime.flow_record import (
    FLOW_RECORD_VERSION,
    FlowUnreadable,
    decoded_flow,
    encoded_flow,
    fingerprint_of,
    record_of,
)
from schemas.message import Event
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE


class Priced(Event, type="order.priced"):
    cents: int
    colour: str | None = Field(default=None, validation_alias=AliasChoices("colour", "color"))
    lines: list[dict[str, float]] = Field(default=[])


def test_a_record_has_what_the_participants_steps_are_called_with() -> None:
    record = record_of(ORDER, STORE)
    reserve = record.step_called("book_stock")
    assert reserve is not None and reserve.name == "reserve_stock"
    assert reserve.undo is not None and (reserve.undo.name, reserve.undo.fact) == (
        "release_stock",
        "order.stock.reserved",
    )
    assert set(record.messages) == {"order.opened", "order.stock.reserved", "order.label.printed"}
    assert record.said["order.card.charged"] == ("order.till",)


def test_a_field_is_told_by_its_type_its_names_and_whether_it_is_required() -> None:
    cents, colour, lines, saga_id = fields_of(Priced)
    assert (cents.takes, cents.required) == (("integer",), True)
    assert (colour.takes, colour.required, colour.read_as) == (("null", "string"), False, ("colour", "color"))
    assert (lines.takes, lines.required) == (("[{*:number}]",), False)
    assert (saga_id.name, saga_id.read_as) == ("saga_id", ("saga_id",))


def test_a_record_survives_its_encoding_and_keeps_its_fingerprint() -> None:
    record = record_of(ORDER, DESK)
    assert decoded_flow(encoded_flow(record)) == record
    backwards = replace(ORDER, steps=dict(reversed(ORDER.steps.items())))
    assert fingerprint_of(record_of(backwards, DESK)) == fingerprint_of(record)


def test_what_changes_a_step_changes_the_fingerprint_of_its_participant_alone() -> None:
    steps = ORDER.steps | {"print_label": replace(ORDER.steps["print_label"], undo=None)}
    changed = replace(ORDER, steps=steps)
    assert fingerprint_of(record_of(changed, STORE)) != fingerprint_of(record_of(ORDER, STORE))
    assert fingerprint_of(record_of(changed, DESK)) == fingerprint_of(record_of(ORDER, DESK))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "cannot be decoded"),
        (b"\xc1garbage", "cannot be decoded"),
        (msgspec.msgpack.encode({"version": 1}), "cannot be decoded"),
        (
            encoded_flow(msgspec.structs.replace(record_of(ORDER, DESK), version=FLOW_RECORD_VERSION + 1)),
            f"has version {FLOW_RECORD_VERSION + 1}",
        ),
    ],
    ids=["empty", "garbage", "half", "newer"],
)
def test_a_record_that_this_build_cannot_read_is_refused(value: bytes, words: str) -> None:
    with pytest.raises(FlowUnreadable, match=words):
        decoded_flow(value)
