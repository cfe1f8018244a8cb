"""That there is no such saga is said only after all of its topic was read; a time limit says nothing of it."""

import uuid
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer

from deploy.cli import status as status_verb
from producers import client as client_module
from producers.answers import status_in
from producers.client import FIRST_PIECE_RECORDS, Client
from producers.errors import TimedOut
from producers.records import Record, partition_of
from producers.settings import Settings
from schemas.status import SagaStatus
from tests.integration.connections.conftest import PARTITIONS, Environment, Run
from tests.integration.connections.secured_kafka import SecuredKafka

Login = Callable[..., Environment]
RECORDS = 4_000


def status_of(saga_id: str, progress_percent: int = 1) -> bytes:
    now = datetime.now(UTC)
    made = SagaStatus(
        saga_id=saga_id,
        saga="campaign",
        state="held",
        progress_percent=progress_percent,
        started_at=now,
        updated_at=now,
    )
    return made.model_dump_json().encode()


@pytest.fixture
def saga_id(secured: SecuredKafka) -> str:
    """A saga whose status stands before thousands of others of its partition."""
    mine = f"absent-{uuid.uuid4().hex}"
    partition = partition_of(mine.encode(), PARTITIONS)
    producer = Producer({"bootstrap.servers": secured.address("open"), "linger.ms": 50})
    for saga_id in (mine, *(f"{mine}-{index}" for index in range(RECORDS))):
        producer.produce("campaign.status", status_of(saga_id), saga_id.encode(), partition)
        producer.poll(0)
    assert producer.flush(30) == 0
    return mine


def test_a_saga_is_found_however_much_is_read_before_it(
    login: Login, run: Run, saga_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first status of a new saga is not waited for: what is left of the time is that for reading.
    monkeypatch.setattr(status_verb, "FIRST_STATUS_WITHIN_SECONDS", 0.0)
    assert run(login("plain"), "status", saga_id).exit_code == 1
    said = run(login("plain"), "status", f"{saga_id}-of-another")
    assert said.exit_code == 2 and f"there is no saga {saga_id}-of-another" in said.err
    # It stands still, without an item that could be freed.
    said = run(login("plain"), "stuck", "retry", saga_id)
    assert said.exit_code == 2 and "has no item that could be freed" in said.err


def test_an_end_that_is_not_reached_is_a_time_out(
    login: Login, run: Run, saga_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hears_nothing(*_: object, **__: object) -> dict[object, object]:
        return {}

    monkeypatch.setattr(client_module, "SILENCE_SECONDS_MAX", 0.2)
    monkeypatch.setattr("aiokafka.AIOKafkaConsumer.getmany", hears_nothing)
    for words in (["status", saga_id], ["stuck", "retry", saga_id], ["dead", "list"], ["steps", "list"]):
        said = run(login("plain"), *words)
        if words[0] in ("dead", "steps"):
            # Their topics are empty here: there is no end to be reached.
            assert said.exit_code == 0
            continue
        assert said.exit_code == 3
        assert "answers, but not this in time (records of campaign.status/" in said.err
        assert "there is no saga" not in said.err


async def test_the_client_says_none_only_at_the_end(
    secured: SecuredKafka, saga_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Client(Settings(kafka_bootstrap_servers=secured.address("open"))) as client:
        found = await client.status_of("campaign", saga_id)
        assert found is not None and found.saga_id == saga_id
        assert await client.status_of("campaign", "unknown") is None
        # One that stands near the end is found without what stands before it.
        others = [f"{saga_id}-{index}" for index in range(RECORDS)]
        places = {one: partition_of(one.encode(), PARTITIONS) for one in (saga_id, *others)}
        last = [one for one in others if places[one] == places[saga_id]][-1]
        read: list[Record] = []

        def counted(record: Record, wanted: str | None) -> SagaStatus | None:
            read.append(record)
            return status_in(record, wanted)

        monkeypatch.setattr(client_module, "status_in", counted)
        assert await client.status_of("campaign", last) is not None
        assert len(read) <= FIRST_PIECE_RECORDS < RECORDS
        # What is said next of a saga that was found is heard, once.
        async with aclosing(client.watch_status("campaign", saga_id)) as changes:
            assert (await anext(changes)).saga_id == saga_id
            partition = await client.partition_for("campaign.status", saga_id)
            later = status_of(saga_id, progress_percent=2)
            await client.append("campaign.status", partition, saga_id.encode(), later, ())
            assert (await anext(changes)).progress_percent == 2
        monkeypatch.setattr(client_module, "SILENCE_SECONDS_MAX", -1.0)
        with pytest.raises(TimedOut):
            await client.status_of("campaign", saga_id)
