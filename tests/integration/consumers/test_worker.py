"""The worker as a FastStream app, on a real broker."""

import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiokafka.errors import KafkaConnectionError

from consumers.app import sagas
from consumers.worker import Worker
from deploy.local.kafka import EmbeddedKafka
from producers.settings import Settings

READY_WITHIN_SECONDS = 60.0


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
