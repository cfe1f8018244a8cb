"""A command's identity is its source and its id; no two have the same one."""

from hypothesis import given
from hypothesis import strategies as st

from producers.answers import Answer, Published, answer_in
from producers.headers import headers_for
from producers.identity import KEY_CHARACTERS_MAX, command_key, fact_id
from producers.records import Record

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


def answer(published: Published, message_id: str, causation: str) -> Answer | None:
    headers = headers_for(
        wire_type="order.cancelled",
        message_id=message_id,
        source="order.desk",
        saga_id="o-1",
        at=0,
        causation=causation,
    )
    return answer_in(Record("order.events", 0, 0, 0.0, b"o-1", b"{}", headers), published)


def test_the_answer_to_another_sources_command_of_the_same_id_is_not_taken_for_ones_own() -> None:
    mine = Published("order", "o-1", "1", "order.commands", 0, 0, {}, "shop")
    said = {
        source: fact_id("o-1", "order.cancelled", "order.desk", command_key("1", source)) for source in ("shop", "b")
    }
    assert answer(mine, said["shop"], "1") is not None
    assert answer(mine, said["b"], "1") is None
    assert answer(mine, said["shop"], "2") is None
    former_build = fact_id("o-1", "order.cancelled", "order.desk", "1")
    assert answer(mine, former_build, "1") is not None
    unknown_source = Published("order", "o-1", "1", "order.commands", 0, 0, {})
    assert answer(unknown_source, said["b"], "1") is not None


def test_an_item_is_that_of_the_command_by_its_key_or_as_a_former_build_named_it() -> None:
    mine = Published("order", "o-1", "1", "order.commands", 0, 0, {}, "shop")
    named = [
        item
        for item in ("cancel_order/1@shop", "cancel_order/1", "cancel_order/1@b", "1@shop")
        if mine.names_item(item)
    ]
    assert named == ["cancel_order/1@shop", "cancel_order/1"]
