"""CloudEvents as they are written and read, and what less is understood as well."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from producers.errors import Unreadable
from producers.headers import (
    ATTRIBUTE_CHARACTERS_MAX,
    COMMAND_BYTES_MAX,
    Heard,
    body_of,
    headers_for,
    is_each_once,
    iso_time,
    key_of,
    read,
    traceparent_of,
    type_of,
)
from producers.records import Headers, Record

AT = datetime(2026, 4, 1, 9, 30, tzinfo=UTC).timestamp()


def record(headers: Headers, value: bytes | None = b"{}", key: bytes | None = b"c-1") -> Record:
    return Record("campaign.commands", 2, 17, AT, key, value, headers)


def heard(value: bytes) -> Heard:
    return read(record((("ce_type", b"campaign.start"),), value), "acme")


def test_what_is_written_is_read_back() -> None:
    headers = headers_for(
        wire_type="campaign.start",
        message_id="m-1",
        source="me",
        saga_id="c-1",
        at=AT,
        correlation="k",
        causation="because",
        tenant="blue",
        traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
    )
    found = read(record(headers), "acme")
    assert found == Heard(
        "campaign.start", "m-1", "c-1", "me", b"{}", "k", "because", "blue", f"00-{'a' * 32}-{'b' * 16}-01"
    )


def test_a_record_of_ours_has_every_attribute_of_the_contract() -> None:
    headers = dict(
        headers_for(
            wire_type="campaign.start",
            message_id="m-1",
            source="me",
            saga_id="c-1",
            at=AT,
            correlation="k",
            causation="because",
            tenant="blue",
            traceparent="t",
            attempt=2,
            started_at=AT - 1,
        )
    )
    assert headers == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_id": b"m-1",
        "ce_source": b"me",
        "ce_type": b"campaign.start",
        "ce_time": b"2026-04-01T09:30:00.000Z",
        "ce_subject": b"c-1",
        "ce_correlationid": b"k",
        "ce_causationid": b"because",
        "ce_tenant": b"blue",
        "traceparent": b"t",
        "ce_round": b"1",
        "ce_attempt": b"2",
        "ce_startedat": b"2026-04-01T09:29:59.000Z",
    }


def test_what_is_not_said_has_no_header() -> None:
    headers = dict(headers_for(wire_type="a.b", message_id="m", source="s", saga_id="c", at=AT))
    assert not {"ce_tenant", "ce_causationid", "traceparent", "ce_attempt"} & set(headers)


def test_a_key_and_a_type_are_enough() -> None:
    found = read(record((("ce_type", b"campaign.start"),)), "acme")
    assert (found.id, found.saga_id) == ("campaign.commands/2/17", "c-1")
    assert (found.tenant, found.correlation, found.source, found.causation) == ("acme", "c-1", "", "")
    assert found.traceparent.count("-") == 3


def test_names_of_headers_may_be_written_in_capitals_and_the_last_of_two_counts() -> None:
    headers = (("CE_Type", b"one"), ("Ce_Id", b"m"), ("ce_type", b"two"))
    assert read(record(headers), "").type == "two" == type_of(headers)
    assert read(record(headers), "").id == "m"


@pytest.mark.parametrize("headers", [(), (("ce_type", b""),), (("type", b"campaign.start"),)])
def test_a_record_without_a_type_is_unreadable(headers: Headers) -> None:
    assert type_of(headers) == ""
    with pytest.raises(Unreadable, match="no header ce_type"):
        read(record(headers), "")


def test_a_header_that_is_no_text_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="a header is not UTF-8"):
        read(record((("ce_type", b"campaign.start"), ("ce_source", b"\xff"))), "")


def test_a_header_of_others_may_be_anything() -> None:
    assert read(record((("ce_type", b"campaign.start"), ("x-blob", b"\xff"))), "").type == "campaign.start"


def test_an_attribute_has_a_longest_length() -> None:
    longest = b"x" * ATTRIBUTE_CHARACTERS_MAX
    assert read(record((("ce_type", b"t"), ("ce_id", longest))), "").id == longest.decode()
    with pytest.raises(Unreadable, match="longer than"):
        read(record((("ce_type", b"t"), ("ce_id", b"x" * (ATTRIBUTE_CHARACTERS_MAX + 1)))), "")


def test_a_record_without_a_value_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="no value"):
        read(record((("ce_type", b"t"),), None), "")


@pytest.mark.parametrize("key", ["c-1", "Ünïcode ✓", "a b", "日本", "x" * 200, "../../etc", "a/b", "'; drop"])
def test_a_key_may_be_any_printable_text(key: str) -> None:
    assert key_of(record((), key=key.encode())) == key


@pytest.mark.parametrize(
    "key", [None, b"", b"\xff", b" c", b"c ", b"a\nb", b"a\0b", b"x" * 201, "a\u200eb".encode(), "\u3000".encode()]
)
def test_any_other_key_is_unreadable(key: bytes | None) -> None:
    with pytest.raises(Unreadable):
        key_of(record((), key=key))


STRUCTURED = (("content-type", b"application/cloudevents+json; charset=utf-8"),)


def structured(**attributes: Any) -> Heard:
    return read(record(STRUCTURED, json.dumps(attributes).encode()), "acme")


def test_structured_mode_is_read_like_binary_mode() -> None:
    found = structured(
        specversion="1.0",
        id="e-1",
        type="campaign.start",
        source="me",
        tenant="blue",
        correlationid="k",
        causationid="why",
        data={"a": 1},
    )
    assert (found.type, found.id, found.source, found.body) == ("campaign.start", "e-1", "me", b'{"a": 1}')
    assert (found.tenant, found.correlation, found.causation) == ("blue", "k", "why")


def test_an_envelope_speaks_for_itself_whatever_the_headers_say() -> None:
    headers = (*STRUCTURED, ("ce_type", b"another"), ("ce_id", b"another"))
    found = read(record(headers, b'{"type":"campaign.start","data":{}}'), "")
    assert (found.type, found.id) == ("campaign.start", "campaign.commands/2/17")
    assert type_of(headers) == ""


@pytest.mark.parametrize(
    "value", [b"", b"[]", b"{", b'{"type":"t"}', b'{"data":{}}', b'{"type":7,"data":{}}', b'{"id":"\xff","data":{}}']
)
def test_an_envelope_that_is_none_is_unreadable(value: bytes) -> None:
    with pytest.raises(Unreadable):
        read(record(STRUCTURED, value), "")


def test_a_body_is_an_object_with_the_saga_id_in_it() -> None:
    assert body_of(heard(b'{"a":1}')) == {"a": 1, "saga_id": "c-1"}
    assert body_of(heard(b'{"a":1,"saga_id":"c-1"}')) == {"a": 1, "saga_id": "c-1"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not JSON"),
        (b"{]", "not JSON"),
        (b'{"a":"\xff"}', "not JSON"),
        (b'{"a":NaN}', "not JSON"),
        (b'{"a":1e999}', "not JSON"),
        (b'{"a":' + b"9" * 5_000 + b"}", "not JSON"),
        (b'{"a":"\\udc00 alone"}', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"null", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"[" * 5_000 + b"]" * 5_000, "nested too deeply"),
        (b'{"saga_id":"c-2"}', "not the record's key"),
        (b'{"saga_id":1}', "not the record's key"),
    ],
)
def test_any_other_body_is_unreadable(value: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        body_of(heard(value))


def test_a_time_is_written_in_utc_with_milliseconds() -> None:
    assert iso_time(0) == "1970-01-01T00:00:00.000Z"
    assert iso_time(AT + 0.9996) == "2026-04-01T09:30:00.999Z"


def test_a_trace_begins_with_the_saga_and_is_kept_by_all_that_follows() -> None:
    first = traceparent_of("c-1", "m-1")
    second = traceparent_of("c-1", "m-2", first)
    assert first == traceparent_of("c-1", "m-1")
    assert first.split("-")[1] == second.split("-")[1]
    assert first.split("-")[2] != second.split("-")[2]
    assert traceparent_of("c-2", "m-1").split("-")[1] != first.split("-")[1]
    assert [len(part) for part in first.split("-")] == [2, 32, 16, 2]


@pytest.mark.parametrize("parent", ["", "nonsense", "00-abc"])
def test_a_parent_that_is_none_begins_a_trace_of_the_sagas_own(parent: str) -> None:
    assert traceparent_of("c-1", "m-1", parent) == traceparent_of("c-1", "m-1")


def test_a_command_has_at_most_256_kilobytes() -> None:
    assert COMMAND_BYTES_MAX == 256 * 1024


def _event_headers(**changed: Any) -> Headers:
    named: dict[str, Any] = {
        "wire_type": "campaign.drafted",
        "message_id": "m-2",
        "source": "campaign.writer",
        "saga_id": "c-1",
        "at": AT,
        "correlation": "k",
        "causation": "m-1",
        "tenant": "blue",
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
        "attempt": 2,
        "started_at": AT,
    }
    return headers_for(**named | changed)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"tenant": "é" * 20},
        {"tenant": ""},
        {"correlation": "", "traceparent": ""},
        {"attempt": None},
        {"message_id": "m" * ATTRIBUTE_CHARACTERS_MAX},
    ],
)
def test_the_order_of_the_headers_changes_nothing(changed: dict[str, Any]) -> None:
    headers = _event_headers(**changed)
    # Those in the order of an event are read by their places, all others by their names.
    assert read(record(headers), "acme") == read(record(headers[1:] + headers[:1]), "acme")
    assert type_of(headers) == type_of(headers[1:] + headers[:1]) == "campaign.drafted"


@pytest.mark.parametrize(
    ("place", "header"),
    [(2, ("ce_id", b"\xff")), (4, ("ce_type", b"")), (0, ("content-type", b"application/cloudevents+json"))],
)
def test_a_bad_header_is_as_bad_in_the_order_of_an_event(place: int, header: tuple[str, bytes]) -> None:
    headers = list(_event_headers())
    headers[place] = header
    for ordered in (headers, headers[1:] + headers[:1]):
        with pytest.raises(Unreadable):
            read(record(tuple(ordered)), "acme")


def test_a_type_that_is_named_twice_is_not_read_by_its_place() -> None:
    headers = list(_event_headers())
    headers[-1] = ("ce_type", b"campaign.cancelled")
    assert read(record(tuple(headers)), "acme").type == type_of(tuple(headers)) == "campaign.cancelled"
    assert not is_each_once(tuple(headers))
