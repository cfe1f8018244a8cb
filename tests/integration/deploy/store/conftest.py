"""One store program for the tests here."""

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from tests.integration.consumers.clickhouse.programs import StoreProgram


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProgram]:
    program = StoreProgram(tmp_path_factory.mktemp("store"))
    program.start()
    yield program
    program.kill()


@pytest.fixture
def client(store: StoreProgram) -> Iterator[Client]:
    client = store.client("default")
    yield client
    client.command("DROP TABLE IF EXISTS numbers_seen")
    client.close()
