"""One broker and one store for all tests here; each test has empty topics and a database of its own."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.clickhouse.kafka import topics_of
from deploy.local.kafka import EmbeddedKafka
from schemas.topics import catalogue
from tests.integration.consumers.clickhouse.programs import SinkProgram, StoreProgram, empty, make_topics

PARTITIONS = 2


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.bootstrap_servers


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProgram]:
    program = StoreProgram(tmp_path_factory.mktemp("store"))
    program.start()
    yield program
    program.kill()


@pytest.fixture
def store(shared_store: StoreProgram) -> StoreProgram:
    """The store; alive again if the test before has killed it."""
    if shared_store.running is None or shared_store.running.poll() is not None:
        shared_store.start()
    return shared_store


@pytest.fixture
def database() -> str:
    return f"soma_{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def made_topics(kafka: str) -> list[str]:
    every = topics_of(catalogue().values())
    make_topics(kafka, every, PARTITIONS)
    return every


@pytest.fixture
def topics(kafka: str, made_topics: list[str]) -> list[str]:
    """All topics of the catalogue, without records (their offsets do not begin at 0)."""
    empty(kafka, made_topics)
    return made_topics


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all sinks: by its name in the group, each takes over at once from the one before."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def sink(home: Path, kafka: str, store: StoreProgram, database: str, topics: list[str]) -> Iterator[SinkProgram]:
    """A sink with small batches, not started."""
    program = SinkProgram(home, kafka, store.url, database)
    program.log.unlink(missing_ok=True)
    yield program
    program.kill()
