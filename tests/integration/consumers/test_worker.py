"""The worker as a FastStream app, on a real broker."""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError

from consumers.app import sagas
from consumers.worker import Worker
from deploy.cli.worker import check_build
from deploy.local.kafka import EmbeddedKafka
from producers.client import Client
from producers.settings import Settings
from tests.unit.consumers.runtime.bench import Bench
from tests.unit.consumers.runtime.small_saga import DESK, STORE, TILL
from tests.unit.consumers.runtime.test_carrying import desk_joining, store_at_work

READY_WITHIN_SECONDS = 60.0
BUILDS = "tests.integration.consumers.order_builds"
PARTITIONS = 2


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


async def test_a_worker_carries_every_participant_and_tells_how_they_are(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(
        home=tmp_path, kafka_bootstrap_servers=kafka.bootstrap_servers, partitions=2, worker_metrics_port=port
    )
    worker = Worker(settings, sagas(), member="w")
    await worker.start()
    try:
        assert await worker.is_ready(READY_WITHIN_SECONDS)
        assert worker.is_polling()
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://127.0.0.1:{port}/health") as answer:
                assert await answer.json() == {"healthy": True, "causes": []}
            async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
                figures = await answer.text()
        for participant in worker.participants:
            for partition in range(2):
                assert f'soma_lane_open{{participant="{participant}",partition="{partition}"}} 1.0' in figures
    finally:
        await worker.stop()
    await worker.stop()
    assert not any(group.lanes for group in worker.groups)


async def test_a_start_that_failed_can_be_tried_again(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    away = Settings(home=tmp_path, kafka_bootstrap_servers=f"127.0.0.1:{free_port()}", partitions=2)
    worker = Worker(away, sagas(), ["campaign.analytics"], member="w2")
    with pytest.raises(KafkaConnectionError):
        await worker.start()
    away.kafka_bootstrap_servers = kafka.bootstrap_servers
    await worker.start()
    try:
        assert await worker.is_ready(READY_WITHIN_SECONDS)
        assert worker.participants == ["campaign.analytics"]
    finally:
        await worker.stop()


async def leave(settings: Settings, benches: list[Bench]) -> None:
    """Write what these participants remember into each partition of their state topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(f"{one}.state", PARTITIONS, 1) for one in (DESK, STORE, TILL)])
    await admin.close()
    async with Client(settings) as client:
        for bench in benches:
            records = bench.others | {f"saga/{saga_id}": value for saga_id, value in bench.state.items()}
            for partition in range(PARTITIONS):
                for key, value in records.items():
                    await client.append(f"{bench.participant}.state", partition, key.encode(), value, ())


def test_a_build_is_compared_with_the_sagas_in_flight(kafka: EmbeddedKafka, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(kafka_bootstrap_servers=kafka.bootstrap_servers, application=f"{BUILDS}:older")
    # No topic is there yet, and so no saga.
    assert check_build(settings, [], in_flight=True) == 0
    assert "order: 0 of 0 open sagas cannot be carried by this build" in capsys.readouterr().err
    asyncio.run(leave(settings, [desk_joining(), store_at_work()]))
    assert check_build(settings, [], in_flight=True) == 0
    newer = settings.model_copy(update={"application": f"{BUILDS}:newer"})
    assert check_build(newer, [], in_flight=True) == 1
    told = capsys.readouterr().err
    sentence = f"no step of {STORE} is called print_label"
    assert f"order: 2 of 2 open sagas: {STORE}: {sentence}; such a saga is held at that step" in told
    assert check_build(newer, [], as_json=True) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["compared"], found["concerned"]) == (True, 2)
    assert check_build(newer, [DESK]) == 0
