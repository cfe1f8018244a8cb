"""Nothing that anyone can publish stops a worker: each record ends as a dead letter or as a documented answer."""

import asyncio
import json
import time
from functools import partial
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.producer import message_accumulator
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
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


class OddName(str):
    """The name of a header as no other client but raw librdkafka writes it: two bytes of it are no UTF-8."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode() + b"\xff\xfe"


@pytest.fixture
def odd_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have aiokafka's producer use its Python builder, which asks the name for its bytes."""
    monkeypatch.setattr(message_accumulator, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)


async def write_batches(hub: Hub, topic: str, codec: str | None, saga: str, count: int) -> None:
    """Batches of three in every partition; the name of a header of the second record is odd."""
    producer = AIOKafkaProducer(bootstrap_servers=hub.addresses["kafka"], compression_type=codec)
    async with producer:
        for number in range(count):
            builder = producer.create_batch()
            for name in ("odd", OddName("odd"), "odd"):
                headers = [("ce_type", b"campaign.begin"), (name, b"x")]
                builder.append(key=f"{saga}-{number}".encode(), value=b"{}", timestamp=None, headers=headers)
            await (await producer.send_batch(builder, topic, partition=number % 4))


@pytest.mark.usefixtures("odd_names")
@pytest.mark.parametrize("topic", [TOPICS.commands, TOPICS.events])
@pytest.mark.parametrize("codec", [None, "zstd"])
def test_a_header_name_that_is_not_utf8_stops_nobody(hub: Hub, topic: str, codec: str | None) -> None:
    odd, good = names(2, seed=time.time_ns())
    asyncio.run(write_batches(hub, topic, codec, odd, count=8))

    def letters() -> list[dict[str, Any]]:
        return [one.body for one in hub.records(TOPICS.dead) if (one.key or "").startswith(odd)]

    eventually(lambda: len(letters()) == 24, seconds=20)
    if topic == TOPICS.events:
        # A command on another partition than its key's is forwarded, with those headers only that say something.
        assert sum(r"odd\xff\xfe" in letter["headers"] for letter in letters()) == 8
    others = {partition_of(f"{good}-{number}".encode(), 4): f"{good}-{number}" for number in range(32)}
    assert len(others) == 4
    for other in others.values():
        hub.publish("campaign.approve", other, {"reviewer": "ada"}, f"good-{other}")
    for other in others.values():
        eventually(partial(has_answer, hub, f"good-{other}"), seconds=20)


def has_answer(hub: Hub, message_id: str) -> bool:
    return hub.answers(message_id) == ["campaign.command.refused"]


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
