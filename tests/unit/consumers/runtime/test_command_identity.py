"""Commands are told apart by source and id together: no command vanishes because another source uses the same id."""

import json
from typing import Any

import msgspec

from consumers.runtime.finishing import Waits
from consumers.runtime.journal import decoded, idempotency_key
from consumers.runtime.memory import Work
from consumers.runtime.steps import Call
from producers.headers import read
from producers.identity import fact_id
from producers.records import Headers, Record, partition_of
from schemas.engine import CommandRefused
from tests.unit.consumers.runtime.bench import BEGIN, SAGA, Bench, causation_in, type_in
from tests.unit.consumers.runtime.small_saga import DESK, STORE, OrderOpened
from tests.unit.consumers.runtime.test_calling import called


def said_by(source: str, wire_type: str, message_id: str = "1") -> Headers:
    named = {"ce_type": wire_type, "ce_id": message_id, "ce_source": source}
    return tuple((name, text.encode()) for name, text in named.items() if text)


def hears(desk: Bench, source: str, wire_type: str, message_id: str = "1", **body: str) -> None:
    value = json.dumps({"saga_id": SAGA} | body).encode()
    desk.hears_record("order.commands", SAGA.encode(), value, said_by(source, wire_type, message_id))


def opened_by(source: str) -> Bench:
    """A saga that is open, started by command 1 of this source."""
    desk = Bench(DESK)
    hears(desk, source, "order.place", item="tulip")
    assert desk.starts() == ["place_order"]
    desk.says("place_order", OrderOpened(saga_id=SAGA))
    desk.hears_itself()
    assert desk.starts() == ["expire_order"]
    desk.ends("expire_order", Waits(BEGIN + 60))
    desk.hears_itself()
    return desk


def test_another_sources_command_of_the_same_id_is_heard_and_answered() -> None:
    desk = opened_by("shop")
    hears(desk, "callcentre", "order.cancel")
    assert desk.starts() == ["cancel_order"]


def test_commands_of_one_id_that_wait_at_once_are_each_carried_out_as_they_say_and_answered() -> None:
    desk = opened_by("shop")
    reasons = {"shop": "too dear", "callcentre": "too late", "": "without a source"}
    for source, reason in reasons.items():
        # The shop's own cancel has another id: its 1 is answered.
        hears(desk, source, "order.cancel", "2" if source == "shop" else "1", reason=reason)
    heard: list[object] = []
    for source in reasons:
        assert desk.starts() == ["cancel_order"]
        heard.append(desk.running["cancel_order"].message.__dict__["reason"])
        # The engine refuses what leads to nothing; the others are refused by the step itself.
        refusal = CommandRefused(saga_id=SAGA, command_id="1", reason="too late")
        desk.says("cancel_order", None if source == "shop" else refusal)
    assert heard == list(reasons.values())
    desk.commit()
    refused = [one for one in desk.said if type_in(one) == "order.command.refused"]
    assert [causation_in(one) for one in refused] == ["2", "1", "1"]
    assert [json.loads(one.value or b"")["command_id"] for one in refused] == ["2", "1", "1"]
    read_back = [read(Record("", 0, 0, 0.0, one.key, one.value, one.headers), "") for one in refused]
    assert [one.cause for one in read_back] == ["2@shop", "1@callcentre", ""], "what has no source is its id alone"
    for one in read_back:
        # A reader of an event can tell that its participant has said it.
        assert one.id == fact_id(SAGA, one.type, DESK, one.cause or one.causation)


def test_the_same_source_and_id_is_heard_once_while_it_waits_when_it_is_answered_and_in_the_next_life() -> None:
    desk = opened_by("shop")
    hears(desk, "callcentre", "order.cancel")
    hears(desk, "callcentre", "order.cancel")
    assert desk.starts() == ["cancel_order"]
    desk.says("cancel_order", None)
    desk.commit()
    for life in (desk, desk.reopened(), desk.reopened("crashed")):
        hears(life, "callcentre", "order.cancel")
        hears(life, "shop", "order.place", item="tulip")
        assert "cancel_order" not in life.starts() and "place_order" not in life.open_items
        hears(life, "another", "order.cancel")
        assert "cancel_order" in life.open_items


def test_records_without_an_id_are_told_apart_by_their_places_whatever_their_source() -> None:
    desk = opened_by("shop")
    for _ in range(2):
        hears(desk, "callcentre", "order.cancel", message_id="")
    assert desk.open_items.count("cancel_order") == 2


def test_a_forwarded_command_keeps_its_source_and_its_id() -> None:
    partitions = 8
    home = partition_of(SAGA.encode(), partitions)
    assert home != 0
    desk = Bench(DESK, partitions=partitions)
    hears(desk, "shop", "order.cancel")
    desk.commit()
    (copy,) = desk.said
    heard = read(Record("order.commands", home, 9, 0.0, copy.key, copy.value, copy.headers), "")
    assert (heard.source, heard.id, copy.partition) == ("shop", "1", home)


def former(desk: Bench, change: dict[str, object]) -> Bench:
    """The next life, of this build, after one of a build that knew commands by their ids alone."""
    journal = msgspec.to_builtins(decoded(desk.state[SAGA]), builtin_types=(bytes,)) | change
    desk.state[SAGA] = msgspec.msgpack.encode(journal)
    return desk.reopened()


def test_what_a_former_build_has_answered_is_not_carried_out_again() -> None:
    desk = opened_by("shop")
    later = former(desk, {"answered": ["1"], "answered_commands": []})
    hears(later, "shop", "order.place", item="tulip")
    hears(later, "callcentre", "order.cancel")
    assert not {"place_order", "cancel_order"} & set(later.open_items), "it does not tell whose 1 it was"
    hears(later, "callcentre", "order.cancel", "2")
    assert "cancel_order" in later.open_items


def key_handed_over(work: Work) -> str:
    """The idempotency key that the step is given."""
    seen: list[str] = []

    async def notes_the_key(call: Call, **_: Any) -> None:
        seen.append(call.key)

    called(work, notes_the_key)
    return seen[0]


def test_what_a_former_build_has_begun_keeps_its_name_and_its_key_and_is_not_begun_again() -> None:
    desk = opened_by("shop")
    hears(desk, "callcentre", "order.cancel")
    desk.commit()
    item = msgspec.to_builtins(decoded(desk.state[SAGA]).items["cancel_order/1@callcentre"], builtin_types=(bytes,))
    del item["message"]["identity"]
    expiring = msgspec.to_builtins(desk.item("expire_order"), builtin_types=(bytes,))
    later = former(desk, {"items": {"cancel_order/1": item | {"id": "cancel_order/1"}, expiring["id"]: expiring}})
    hears(later, "callcentre", "order.cancel")
    assert later.open_items.count("cancel_order") == 1
    hears(later, "shop", "order.cancel", "7")
    for key in ("1", "7@shop"):
        assert "cancel_order" in later.starts()
        assert key_handed_over(later.running["cancel_order"]) == idempotency_key(SAGA, "cancel_order", key)
        later.says("cancel_order", None)


def test_an_opening_that_a_build_cannot_read_holds_its_saga_whoever_started_it() -> None:
    desk = opened_by("shop")
    (opening,) = [one for one in desk.said if type_in(one) == "order.opened"]
    unreadable = json.dumps(json.loads(opening.value or b"") | {"item": 5}).encode()
    store = Bench(STORE)
    store.hears_record("order.events", opening.key, unreadable, opening.headers)
    assert store.journal.hold is not None
