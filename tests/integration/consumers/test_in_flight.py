"""`soma worker --check` against a real broker: what a build could not carry of the sagas that are in flight."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.cli.worker import check_build
from deploy.local.kafka import EmbeddedKafka
from producers.client import Client
from producers.settings import Settings
from tests.unit.consumers.runtime.bench import Bench
from tests.unit.consumers.runtime.small_saga import DESK, STORE, TILL
from tests.unit.consumers.runtime.test_carrying import desk_joining, store_at_work

ROOT = "tests.integration.consumers.order_builds"
PARTITIONS = 2


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


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
    settings = Settings(kafka_bootstrap_servers=kafka.bootstrap_servers, application=f"{ROOT}:older")
    # No topic is there yet, and so no saga.
    assert check_build(settings, [], in_flight=True) == 0
    assert "order: 0 of 0 open sagas cannot be carried by this build" in capsys.readouterr().err
    asyncio.run(leave(settings, [desk_joining(), store_at_work()]))
    assert check_build(settings, [], in_flight=True) == 0
    newer = settings.model_copy(update={"application": f"{ROOT}:newer"})
    assert check_build(newer, [], in_flight=True) == 1
    told = capsys.readouterr().err
    sentence = f"no step of {STORE} is called print_label"
    assert f"order: 2 of 2 open sagas: {STORE}: {sentence}; such a saga is held at that step" in told
    assert check_build(newer, [], as_json=True) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["compared"], found["concerned"]) == (True, 2)
    assert check_build(newer, [DESK]) == 0
