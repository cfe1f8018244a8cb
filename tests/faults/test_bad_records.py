"""Nothing that anyone can publish stops a worker: each record ends as a dead letter or as a documented answer."""

import json
import time
from typing import Any

import pytest
from confluent_kafka import Producer

from producers.records import partition_of
from tests.faults.hub import BRIEF, TOPICS, Hub, eventually, names

DEEP = b'{"a":' * 5_000 + b"1" + b"}" * 5_000

BAD: list[tuple[str, str, Any, str]] = [
    ("not JSON", "campaign.start", b"hello", "not JSON"),
    ("not UTF-8", "campaign.start", b'{"name": "\xff\xfe"}', "not JSON"),
    ("too large", "campaign.start", b'{"name": "' + b"x" * 300_000 + b'"}', "too large"),
    ("unknown type", "campaign.begin", BRIEF, "no such command"),
    ("no type", "", BRIEF, "no header ce_type"),
    ("a missing field", "campaign.start", {"name": "x"}, "goal"),
    ("a wrong field", "campaign.start", BRIEF | {"channels": ["telegram"]}, "channels"),
    ("a field too many", "campaign.start", BRIEF | {"colour": "red"}, "colour"),
    ("a null value", "campaign.start", None, "no value"),
    ("nested deeply", "campaign.start", DEEP, "nested"),
    ("no object", "campaign.start", b"[1, 2]", "not a JSON object"),
]


@pytest.mark.parametrize(("what", "wire_type", "body", "reason"), BAD, ids=[case[0] for case in BAD])
def test_a_bad_record_becomes_a_dead_letter_and_the_next_command_runs(
    hub: Hub, what: str, wire_type: str, body: Any, reason: str
) -> None:
    saga, good = names(2, seed=time.time_ns())
    partition = partition_of(good.encode(), 4)
    if wire_type:
        hub.publish(wire_type, saga, body, f"bad-{saga}")
    else:
        producer = Producer({"bootstrap.servers": hub.addresses["kafka"], "partitioner": "murmur2_random"})
        producer.produce(TOPICS.commands, b"{}", saga.encode())
        producer.flush(10)
    hub.publish("campaign.approve", good, {"reviewer": "ada"}, f"good-{good}")
    eventually(lambda: hub.answers(f"good-{good}") == ["campaign.command.refused"], seconds=20)
    eventually(lambda: [one for one in hub.records(TOPICS.dead) if one.key == saga], seconds=20)
    (letter,) = [one for one in hub.records(TOPICS.dead) if one.key == saga]
    assert reason in letter.body["reason"]
    assert letter.body["origin"]["topic"] == TOPICS.commands
    assert 0 <= partition < 4


def test_a_record_without_key_or_with_a_key_that_is_no_text_becomes_a_dead_letter(hub: Hub) -> None:
    mark = names(1, seed=time.time_ns())[0]
    producer = Producer({"bootstrap.servers": hub.addresses["kafka"]})
    producer.produce(TOPICS.commands, f'{{"name": "{mark}"}}'.encode(), headers=[("ce_type", "campaign.start")])
    producer.produce(
        TOPICS.commands, f'{{"name": "{mark}"}}'.encode(), b"\xff\xfe", headers=[("ce_type", "campaign.start")]
    )
    producer.flush(10)

    def letters() -> list[dict[str, Any]]:
        return [one.body for one in hub.records(TOPICS.dead) if mark in (one.body["value"] or "")]

    eventually(lambda: len(letters()) == 2, seconds=20)
    assert sorted(letter["reason"] for letter in letters()) == [
        "the key is not UTF-8",
        "the record has no key; the key is the saga id",
    ]


def test_a_command_on_the_wrong_partition_is_forwarded_and_answered_once(hub: Hub) -> None:
    (saga,) = names(1, seed=time.time_ns())
    wrong = (partition_of(saga.encode(), 4) + 1) % 4
    hub.publish("campaign.approve", saga, {"reviewer": "ada"}, f"lost-{saga}", partition=wrong)
    eventually(lambda: hub.answers(f"lost-{saga}") == ["campaign.command.refused"], seconds=20)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_command_is_understood_however_its_publisher_compresses(hub: Hub, codec: str) -> None:
    (saga,) = names(1, seed=time.time_ns())
    producer = Producer(
        {"bootstrap.servers": hub.addresses["kafka"], "partitioner": "murmur2_random", "compression.type": codec}
    )
    body = json.dumps({"reviewer": "ada" * 60}).encode()
    headers: list[tuple[str, str | bytes | None]] = [("ce_type", "campaign.approve"), ("ce_id", f"packed-{saga}")]
    producer.produce(TOPICS.commands, body, saga.encode(), headers=headers)
    producer.flush(10)
    eventually(lambda: hub.answers(f"packed-{saga}") == ["campaign.command.refused"], seconds=20)


def test_every_bad_record_reaches_clickhouse_as_well(hub: Hub) -> None:
    eventually(lambda: hub.clickhouse_difference() == set(), seconds=60, every=0.5)


def test_the_smallest_record_that_starts_a_campaign_starts_one_however_often_it_is_sent(hub: Hub) -> None:
    (saga,) = names(1, seed=time.time_ns())
    producer = Producer({"bootstrap.servers": hub.addresses["kafka"]})
    for _ in range(2):
        producer.produce(TOPICS.commands, json.dumps(BRIEF).encode(), saga, headers=[("ce_type", "campaign.start")])
    producer.flush(10)
    eventually(lambda: hub.states().get(saga) == "completed", seconds=60)
    opened = [
        one for one in hub.records(TOPICS.events) if one.key == saga and one.headers["ce_type"] == "campaign.opened"
    ]
    assert len(opened) == 1
