"""No single broker stops a client: one of three is frozen, it accepts connections and answers nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.metadata import MetadataRequest

from producers import brokers as module
from producers import describing
from producers.brokers import AdminClient, BrokerClient, Consumer, first_answer
from producers.describing import transaction_state
from tests.unit.producers.brokers_on_wire import (
    COMMIT_OFFSETS,
    DESCRIBE,
    FIND,
    HEARTBEAT,
    METADATA,
    OFFSETS,
    SILENCE,
    Brokers,
)

GOES_ON_WITHIN_SECONDS = 10.0


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALONE_SECONDS", 0.02)
    monkeypatch.setattr(first_answer, "__defaults__", (0.02,))
    # A frozen broker is not waited for at all: what goes on goes on without it.
    monkeypatch.setattr(module, "CONNECT_SECONDS_MAX", 60.0)
    monkeypatch.setattr(module, "LIMITS_SECONDS", {})


@asynccontextmanager
async def client_of(brokers: Brokers) -> AsyncIterator[BrokerClient]:
    client = BrokerClient(bootstrap_servers=brokers.bootstrap_servers, request_timeout_ms=60_000)
    try:
        async with asyncio.timeout(GOES_ON_WITHIN_SECONDS):
            await client.bootstrap()
            yield client
    finally:
        await client.close()


@pytest.mark.parametrize("frozen", [1, 2, 3])
async def test_a_client_starts_beside_a_frozen_broker_and_looks_coordinators_up(frozen: int) -> None:
    async with Brokers() as brokers:
        brokers.silent, brokers.coordinator = {frozen}, 2
        async with client_of(brokers) as client:
            for _ in range(10):
                assert await client.coordinator_lookup(CoordinationType.TRANSACTION, "said.0") == 2


@pytest.mark.parametrize("frozen", [1, 2, 3])
async def test_metadata_are_refreshed_beside_a_broker_that_froze_when_it_was_connected(frozen: int) -> None:
    async with Brokers() as brokers, client_of(brokers) as client:
        for node in (1, 2, 3):
            assert await client.ready(node)
        brokers.silent, brokers.topics["said"] = {frozen}, 1
        for leader in (1, 2, 3, 1, 2, 3):
            brokers.leaders["said", 0] = leader
            client.cluster.request_update()
            await client.set_topics({"said"})
            await client.force_metadata_update()
            assert client.cluster.leader_for_partition(TopicPartition("said", 0)) == leader


async def test_a_client_that_has_lost_every_broker_it_knew_asks_those_that_were_named() -> None:
    async with Brokers() as brokers, client_of(brokers) as client:
        client.cluster.update_metadata(
            type(
                "Metadata", (), {"brokers": [(9, "127.0.0.1", 1)], "topics": [], "API_VERSION": 0, "controller_id": 9}
            )()
        )
        assert await client.force_metadata_update()
        assert {broker.nodeId for broker in client.cluster.brokers()} == {1, 2, 3}


async def test_connecting_to_a_frozen_broker_holds_up_no_request_to_another() -> None:
    async with Brokers() as brokers:
        brokers.silent, brokers.topics["said"] = {1}, 2
        brokers.leaders["said", 1] = 2
        consumer = Consumer(bootstrap_servers=brokers.bootstrap_servers, request_timeout_ms=60_000)
        async with asyncio.timeout(GOES_ON_WITHIN_SECONDS):
            await consumer.start()
            hangs = asyncio.create_task(consumer.end_offsets([TopicPartition("said", 0)]))
            for _ in range(5):
                assert await consumer.end_offsets([TopicPartition("said", 1)]) == {TopicPartition("said", 1): 5}
            assert not hangs.done()
            hangs.cancel()
            await asyncio.gather(hangs, return_exceptions=True)
            await consumer.stop()


async def test_a_question_is_answered_by_the_leader_that_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMITS_SECONDS", {OFFSETS: 0.1})
    async with Brokers() as brokers:
        brokers.topics["said"] = 1
        brokers.codes[1, OFFSETS] = [SILENCE]
        consumer = Consumer(bootstrap_servers=brokers.bootstrap_servers, request_timeout_ms=60_000)
        async with asyncio.timeout(GOES_ON_WITHIN_SECONDS):
            await consumer.start()
            brokers.before = lambda asked: brokers.leaders.__setitem__(("said", 0), 3) if asked.api == OFFSETS else None
            assert await consumer.end_offsets([TopicPartition("said", 0)]) == {TopicPartition("said", 0): 5}
            await consumer.stop()
        assert [asked.node for asked in brokers.requests(OFFSETS)] == [1, 3]


async def test_a_broker_that_was_silent_is_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMITS_SECONDS", {METADATA: 0.1})
    async with Brokers() as brokers, client_of(brokers) as client:
        for node in (1, 2, 3):
            assert await client.ready(node)
        brokers.codes[1, METADATA] = [SILENCE]
        with pytest.raises(RequestTimedOutError):
            await client.send(1, MetadataRequest([]))
        before = len(brokers.requests(METADATA))
        for _ in range(20):
            await client.ask_any(MetadataRequest([]))
            assert client.get_random_node() != 1
        assert {asked.node for asked in brokers.requests(METADATA)[before:]} == {2, 3}


async def test_where_no_broker_answers_the_cause_is_told() -> None:
    async with Brokers() as brokers:
        servers = brokers.bootstrap_servers
    client = BrokerClient(bootstrap_servers=servers)
    with pytest.raises(KafkaConnectionError) as failed:
        await client.bootstrap()
    assert isinstance(failed.value.__cause__, OSError)
    with pytest.raises(NodeNotReadyError):
        await client.send(1, MetadataRequest([]))
    await client.close()


async def test_what_a_coordinator_has_decided_is_asked_until_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Brokers() as brokers, client_of(brokers) as client:
        brokers.codes |= {(node, FIND): [15, 15] for node in (1, 2, 3)}
        brokers.codes[1, DESCRIBE] = [14, 16]
        assert await transaction_state(client, "said.0") == "CompleteCommit"
        assert len(brokers.requests(DESCRIBE)) == 3
        brokers.codes[1, DESCRIBE] = [describing.TRANSACTIONAL_ID_NOT_FOUND]
        assert await transaction_state(client, "said.0") == ""
        brokers.codes[1, DESCRIBE] = [53]
        with pytest.raises(KafkaError, match="AUTHORIZATION"):
            await transaction_state(client, "said.0")


async def test_the_coordinator_of_a_group_is_looked_up_until_there_is_one() -> None:
    async with Brokers() as brokers:
        brokers.codes |= {(node, FIND): [15, 15] for node in (1, 2, 3)}
        brokers.coordinator = 2
        admin = AdminClient(bootstrap_servers=brokers.bootstrap_servers)
        async with asyncio.timeout(GOES_ON_WITHIN_SECONDS):
            await admin.start()
            assert await admin.find_coordinator("order.door") == 2
            brokers.codes |= {(node, FIND): [30] for node in (1, 2, 3)}
            with pytest.raises(KafkaError, match="Authorization"):
                await admin.find_coordinator("order.door")
        await admin.close()


async def test_no_heartbeat_waits_behind_a_commit_of_offsets() -> None:
    async with Brokers() as brokers, client_of(brokers) as client:
        brokers.codes[1, COMMIT_OFFSETS] = [SILENCE]
        commit = asyncio.create_task(
            client.send(1, OffsetCommitRequest("order.door", 1, "member", -1, []), group=ConnectionGroup.COORDINATION)
        )
        while not brokers.requests(COMMIT_OFFSETS):
            await asyncio.sleep(0.01)
        beat = HeartbeatRequest("order.door", 1, "member")
        assert (await client.send(1, beat, group=ConnectionGroup.COORDINATION)).error_code == 0
        assert not commit.done()
        commit.cancel()


async def test_a_client_knows_when_it_last_found_a_broker_away(monkeypatch: pytest.MonkeyPatch) -> None:
    beat = HeartbeatRequest("order.door", 1, "member")
    async with Brokers() as brokers, client_of(brokers) as client:

        async def is_noted(ask: Coroutine[Any, Any, Any]) -> bool:
            client.failed_at = -1.0
            with contextlib.suppress(KafkaError):
                await ask
            return client.failed_at > 0.0

        # A group that is being balanced has its coordinator: REBALANCE_IN_PROGRESS.
        brokers.codes[1, HEARTBEAT] = [0, 27]
        assert [await is_noted(client.send(1, beat)) for _ in range(2)] == [False, False]
        brokers.codes[1, HEARTBEAT] = [14, 15, 16]
        assert [await is_noted(client.send(1, beat)) for _ in range(3)] == [True, True, True]
        assert not await is_noted(client.coordinator_lookup(CoordinationType.GROUP, "order.door"))
        brokers.codes |= {(node, FIND): [15] for node in (1, 2, 3)}
        assert await is_noted(client.coordinator_lookup(CoordinationType.GROUP, "order.door"))
        monkeypatch.setattr(module, "LIMITS_SECONDS", {HEARTBEAT: 0.05})
        brokers.codes[1, HEARTBEAT] = [SILENCE]
        assert await is_noted(client.send(1, beat))
        assert await is_noted(client.send(4, beat))


async def test_the_first_answer_counts_and_the_last_error_is_told() -> None:
    async def fails(error: Exception) -> int:
        raise error

    async def hangs() -> int:
        await asyncio.Event().wait()
        return 0

    async def answers() -> int:
        return 7

    async with asyncio.timeout(GOES_ON_WITHIN_SECONDS):
        assert await first_answer([hangs, lambda: fails(OSError()), answers]) == 7
        with pytest.raises(GroupCoordinatorNotAvailableError):
            await first_answer([lambda: fails(OSError()), lambda: fails(GroupCoordinatorNotAvailableError())])
    with pytest.raises(KafkaConnectionError):
        await first_answer([])
