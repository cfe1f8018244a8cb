"""A command's identity is its source and its id; no two have the same one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.answers import Answer, Published, answer_in
from producers.headers import headers_for, read
from producers.identity import KEY_CHARACTERS_MAX, command_key
from producers.records import Headers, Record

NAMES = st.one_of(st.text("a@%25~40", max_size=8), st.text(max_size=700))


@given(NAMES, NAMES, NAMES, NAMES)
def test_two_commands_have_one_key_only_where_id_and_source_are_equal(
    first: str, source: str, second: str, other: str
) -> None:
    is_same = (first, source) == (second, other)
    assert (command_key(first, source) == command_key(second, other)) == is_same
    assert len(command_key(first, source)) <= KEY_CHARACTERS_MAX


def test_the_key_can_be_read() -> None:
    assert command_key("1", "shop") == "1@shop" and command_key("1", "") == "1"
    assert command_key("a@b%", "") == "a%40b%25" and command_key("order.commands/0/7", "") == "order.commands/0/7"


def answer(published: Published, causation: str, cause: str = "") -> Answer | None:
    headers = headers_for(
        wire_type="order.cancelled",
        message_id="m",
        source="order.desk",
        saga_id="o-1",
        at=0,
        causation=causation,
        cause=cause,
    )
    return answer_in(Record("order.events", 0, 0, 0.0, b"o-1", b"{}", headers), published)


@pytest.mark.parametrize("more", [(), (("x-proxy", b"1"),)], ids=["as we write it", "with a header of a stranger"])
def test_the_key_of_the_cause_is_read_however_a_record_is_read(more: Headers) -> None:
    headers = headers_for(
        wire_type="order.opened", message_id="m", source="d", saga_id="o-1", at=0, causation="1", cause="1@shop"
    )
    heard = read(Record("order.events", 0, 0, 0.0, b"o-1", b"{}", headers + more), "")
    assert (heard.causation, heard.cause) == ("1", "1@shop")


def test_the_answer_to_another_sources_command_of_the_same_id_is_not_taken_for_ones_own() -> None:
    mine = Published("order", "o-1", "1", "order.commands", 0, 0, {}, "shop")
    assert answer(mine, "1", "1@shop") is not None
    assert answer(mine, "1", "1@callcentre") is None
    assert answer(mine, "2", "2@shop") is None
    assert answer(mine, "1") is not None, "a former build names the id only"
    unknown_source = Published("order", "o-1", "1", "order.commands", 0, 0, {})
    assert answer(unknown_source, "1", "1@callcentre") is not None


def test_an_item_is_that_of_the_command_by_its_key_or_as_a_former_build_named_it() -> None:
    mine = Published("order", "o-1", "1", "order.commands", 0, 0, {}, "shop")
    named = [
        item
        for item in ("cancel_order/1@shop", "cancel_order/1", "cancel_order/1@b", "1@shop")
        if mine.names_item(item)
    ]
    assert named == ["cancel_order/1@shop", "cancel_order/1"]
