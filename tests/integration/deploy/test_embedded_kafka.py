"""The real broker: what it keeps through kills, and what it makes of a folder that is not as it should be."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local.errors import KafkaLogBroken
from deploy.local.files import read_object
from deploy.local.kafka import EmbeddedKafka, kafka_answers
from deploy.local.kafka_format import ensure_formatted
from deploy.local.stack import Stack

Until = Callable[..., None]
MakeStack = Callable[..., Stack]
PidOf = Callable[[Stack, str], int | None]
Kill = Callable[[Stack, str], int]


async def say(bootstrap_servers: str, value: bytes) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    if "said" not in await admin.list_topics():
        await admin.create_topics([NewTopic("said", num_partitions=1, replication_factor=1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
    await producer.start()
    await producer.send_and_wait("said", value)
    await producer.stop()


async def heard(bootstrap_servers: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer("said", bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(20):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


def test_a_killed_broker_keeps_its_records_in_a_folder_with_a_difficult_name(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path / "a, ü: b") as kafka:
        asyncio.run(say(kafka.bootstrap_servers, b"before"))
        kafka.kill()
        kafka.start()
        asyncio.run(say(kafka.bootstrap_servers, b"after"))
        assert asyncio.run(heard(kafka.bootstrap_servers, 2)) == [b"before", b"after"]


def test_a_half_formatted_folder_is_formatted(tmp_path: Path) -> None:
    # As a formatting that was killed has left it: our own unfinished one, and one made by other tools.
    (tmp_path / "log.unfinished" / "half").mkdir(parents=True)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "bootstrap.checkpoint").write_bytes(b"\0")
    (tmp_path / "log" / "meta.properties").write_bytes(b"")
    with EmbeddedKafka(tmp_path) as kafka:
        assert kafka_answers(kafka.bootstrap_servers)
    assert not (tmp_path / "log.unfinished").exists()
    assert len(list(tmp_path.glob("log.halfmade-*"))) == 1


def test_a_folder_with_records_but_without_identity_is_never_touched(tmp_path: Path) -> None:
    partition = tmp_path / "log" / "said-0"
    partition.mkdir(parents=True)
    (partition / "00000000000000000000.log").write_bytes(b"records")
    with pytest.raises(KafkaLogBroken, match=r"meta\.properties"):
        ensure_formatted(tmp_path, class_path="")
    assert (partition / "00000000000000000000.log").read_bytes() == b"records"


def test_a_stack_survives_the_killing_of_its_broker_and_stops_the_broker_last(
    make_stack: MakeStack, until: Until, pid_of: PidOf, kill: Kill
) -> None:
    stack = make_stack("kafka", "mail", "idler")
    stack.up()
    idler = pid_of(stack, "idler")
    address = read_object(stack.places.stack_file)["kafka"]
    asyncio.run(say(address, b"kept"))
    killed = kill(stack, "kafka")
    until(lambda: pid_of(stack, "kafka") not in (None, killed) and stack.status().get("ready"))
    assert asyncio.run(heard(address, 1)) == [b"kept"]
    assert pid_of(stack, "idler") == idler
    stack.down()
    stopped = [line for line in stack.places.log("supervisor").read_text().splitlines() if ": stopped" in line]
    names = [line.split(" INFO ")[1].split(":")[0] for line in stopped]
    assert names.index("guardian") < names.index("idler") < names.index("kafka")
