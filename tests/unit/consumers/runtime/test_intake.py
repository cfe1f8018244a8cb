"""What is checked before a record may enter a journal, and what becomes of one that may not."""

import base64
import json

import pytest

from producers.headers import headers_for, read
from producers.records import Record, partition_of
from tests.unit.consumers.runtime.bench import SAGA, Bench
from tests.unit.consumers.runtime.small_saga import DESK, STORE, CancelOrder

KEY = SAGA.encode()
GOOD = b'{"item":"tulip"}'
DEEP = b'{"item":' + b"[" * 5_000 + b"]" * 5_000 + b"}"


def letter_for(value: bytes | None, key: bytes | None = KEY, wire_type: str = "order.place") -> dict[str, object]:
    """The dead letter that the desk writes of this command."""
    desk = Bench(DESK)
    desk.hears_raw(wire_type, value, key)
    assert desk.ledger.journals == {}
    desk.commit()
    (letter,) = desk.dead_letters()
    return letter


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "has no value"),
        (b"", "not JSON"),
        (b"nonsense", "not JSON"),
        (b'{"item":"tulip"', "not JSON"),
        (b'{"item":"\xff"}', "not JSON"),
        (b'{"item":"\\ud800 alone"}', "not JSON"),
        (b'{"item":' + b"9" * 5_000 + b"}", "not JSON"),
        (b'{"item":1e999}', "not JSON"),
        (b'["tulip"]', "not a JSON object"),
        (b"7", "not a JSON object"),
        (DEEP, "nested too deeply"),
        (b"{}", "item: Field required"),
        (b'{"item":7}', "item: Input should be a valid string"),
        (b'{"item":"tulip","colour":"red"}', "colour: Extra inputs are not permitted"),
        (b'{"item":"tulip","saga_id":"another"}', "saga_id in the value is not the record's key"),
        (b'{"item":"tulip","saga_id":null}', "saga_id in the value is not the record's key"),
        (b'{"item":"' + b"x" * 262_144 + b'"}', "too large: a command has at most 262144 bytes"),
    ],
    ids=lambda one: None if isinstance(one, bytes) else one,
)
def test_a_command_that_cannot_be_used_becomes_a_dead_letter_that_says_why(value: bytes | None, reason: str) -> None:
    assert reason in str(letter_for(value)["reason"])


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, "has no key"),
        (b"", "has no key"),
        (b"\xff\xfe", "the key is not UTF-8"),
        (b"o\x001", "printable"),
        (b" o-1", "without space around"),
        (b"x" * 201, "1 to 200"),
        ("o\u2028-1".encode(), "printable"),
    ],
)
def test_a_command_whose_key_is_no_saga_id_becomes_a_dead_letter_that_says_why(key: bytes | None, reason: str) -> None:
    assert reason in str(letter_for(GOOD, key)["reason"])


def test_a_command_without_a_type_becomes_a_dead_letter() -> None:
    desk = Bench(DESK)
    desk.hears_record("order.commands", KEY, GOOD, ())
    desk.commit()
    assert desk.dead_letters()[0]["reason"] == "the record has no header ce_type"


def test_a_command_of_an_unknown_type_is_told_which_there_are() -> None:
    letter = letter_for(GOOD, wire_type="order.plaice")
    assert letter["reason"] == (
        "no such command: 'order.plaice'; there are"
        " order.cancel, order.item.resolve, order.item.retry, order.item.skip, order.place, order.step.resume"
    )


def test_an_event_among_the_commands_is_no_command() -> None:
    assert "no such command: 'order.opened'" in str(letter_for(GOOD, wire_type="order.opened")["reason"])


def test_a_dead_letter_names_the_origin_and_loses_nothing_of_a_record_that_is_no_text() -> None:
    desk = Bench(DESK)
    desk.offsets["order.commands"] = 41
    value, headers = b"\xff\x00", (("ce_type", b"order.place"), ("x-from", b"\xfe"))
    desk.hears_record("order.commands", b"\xfd", value, headers)
    desk.commit()
    (letter,) = desk.dead_letters()
    assert letter["origin"] == {"topic": "order.commands", "partition": 0, "offset": 41, "first_offset": None}
    assert base64.b64decode(letter["value_base64"]) == value
    assert letter["headers"] == {"ce_type": "order.place", "x-from": "\\xfe"}
    assert [one.key for one in desk.said] == [b"\xfd"]


def test_dead_letters_of_one_kind_have_one_fingerprint() -> None:
    prints = [letter_for(value)["fingerprint"] for value in (b"nonsense", b"other nonsense", b"[]")]
    assert prints[0] == prints[1] != prints[2]


def test_a_dead_letter_is_itself_a_record_anyone_can_read() -> None:
    desk = Bench(DESK)
    desk.hears_raw("order.place", b"nonsense")
    (said,) = desk.ledger.take().said
    heard = read(Record(said.topic, 0, 0, 0, said.key, said.value, said.headers), "")
    assert (heard.type, heard.source, said.topic) == ("order.dead.letter", DESK, "order.dead")


def test_an_event_that_nobody_says_is_dead_lettered_by_the_door_only() -> None:
    for participant, letters in ((DESK, 1), (STORE, 0)):
        bench = Bench(participant)
        bench.hears_raw("order.imagined", b"{}", topic="order.events")
        bench.commit()
        assert len(bench.dead_letters()) == letters


def test_an_event_of_a_newer_speaker_may_have_fields_we_do_not_know() -> None:
    store = Bench(STORE)
    body = {"participants": [STORE], "graph": "g", "colour": "red"}
    store.hears_raw("order.opened", json.dumps(body).encode(), topic="order.events")
    assert store.starts() == ["reserve_stock", "print_label"]


@pytest.mark.parametrize("topic", ["order.events", "order.commands"])
@pytest.mark.parametrize("participant", [DESK, STORE])
def test_a_no_op_is_ignored(participant: str, topic: str) -> None:
    bench = Bench(participant)
    bench.hears_record(topic, None, None, (("ce_type", b"soma.noop"),))
    snapshot = bench.ledger.take()
    assert (snapshot.said, snapshot.state) == ([], {})
    assert bench.ledger.journals == {}


def test_a_publisher_needs_only_a_key_a_type_and_the_json() -> None:
    desk = Bench(DESK)
    desk.offsets["order.commands"] = 5
    desk.hears_raw("order.place", GOOD)
    assert desk.starts() == ["place_order"]
    item = desk.running["place_order"].item
    assert item.message.id == "order.commands/0/5", "a record without an id is identified by its position"
    assert (desk.journal.tenant, desk.journal.correlation) == ("acme", SAGA)


def test_the_structured_mode_of_cloudevents_is_understood() -> None:
    desk = Bench(DESK)
    envelope = {"specversion": "1.0", "id": "e-1", "type": "order.place", "tenant": "blue", "data": {"item": "tulip"}}
    headers = (("content-type", b"application/cloudevents+json; charset=utf-8"),)
    desk.hears_record("order.commands", KEY, json.dumps(envelope).encode(), headers)
    assert desk.starts() == ["place_order"]
    assert desk.running["place_order"].item.message.id == "e-1"
    assert desk.journal.tenant == "blue"


@pytest.mark.parametrize("value", [b"[]", b"nonsense", b"{}", b'{"type":"order.place"}', b'{"type":"x","data":' + DEEP])
def test_an_envelope_that_is_no_cloudevent_becomes_a_dead_letter(value: bytes) -> None:
    desk = Bench(DESK)
    desk.hears_record("order.commands", KEY, value, (("content-type", b"application/cloudevents+json"),))
    desk.commit()
    assert len(desk.dead_letters()) == 1


def key_away_from(partition: int, partitions: int) -> str:
    return next(f"o-{n}" for n in range(99) if partition_of(f"o-{n}".encode(), partitions) != partition)


def test_a_command_on_the_wrong_partition_is_forwarded_to_that_of_its_key_with_its_identity() -> None:
    desk, key = Bench(DESK, partitions=4), key_away_from(0, 4)
    desk.offsets["order.commands"] = 9
    desk.hears_raw("order.place", GOOD, key.encode())
    (copy,) = desk.ledger.take().said
    assert desk.ledger.journals == {}
    assert (copy.topic, copy.partition) == ("order.commands", partition_of(key.encode(), 4))
    assert (copy.key, copy.value) == (key.encode(), GOOD)
    heard = read(Record(copy.topic, copy.partition, 77, 0, copy.key, copy.value, copy.headers), "")
    assert (heard.id, heard.type) == ("order.commands/0/9", "order.place")
    assert dict(copy.headers)["ce_forwardedfrom"] == b"order.commands/0"


def test_a_forwarded_command_keeps_the_id_its_publisher_gave_it() -> None:
    desk, key = Bench(DESK, partitions=4), key_away_from(0, 4)
    headers = headers_for(wire_type="order.cancel", message_id="mine", source="me", saga_id=key, at=0)
    desk.hears_record("order.commands", key.encode(), CancelOrder(saga_id=key).model_dump_json().encode(), headers)
    (copy,) = desk.ledger.take().said
    assert [value for name, value in copy.headers if name == "ce_id"] == [b"mine"]


def test_a_command_on_the_partition_of_its_key_is_not_forwarded() -> None:
    desk = Bench(DESK, partitions=4)
    key = next(f"o-{n}" for n in range(99) if partition_of(f"o-{n}".encode(), 4) == 0)
    desk.hears_raw("order.place", GOOD, key.encode())
    assert desk.starts() == ["place_order"]
    assert desk.ledger.take().said == []
