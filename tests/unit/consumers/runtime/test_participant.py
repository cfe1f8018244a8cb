"""A participant's poller: whatever happens to a poll, no lane takes for heard what it was never given."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition

from consumers.runtime import participant
from consumers.runtime.finishing import Outcome, Spoke
from consumers.runtime.lane import Host
from consumers.runtime.ledger import Ledger
from consumers.runtime.memory import Work
from consumers.runtime.transport import POSITION_KEY, Position
from consumers.runtime.view import view_of
from producers.headers import headers_for
from producers.records import Outgoing
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE


class Consumer:
    """As aiokafka's: a poll that fails has moved the positions of partitions whose records it had already taken."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.log: list[Any] = []
        self.position, self.failures = 0, 1

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def subscribe(self, *_: Any, **__: Any) -> None: ...

    def pause(self, *_: Any) -> None: ...

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0}

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0.001)
        found, self.position = self.log[self.position :], len(self.log)
        if found and self.failures:
            self.failures -= 1
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "the name of a header of another partition's record")
        return {TopicPartition("order.events", 0): found} if found else {}


class Transport:
    """A lane's share of that consumer; writes nothing."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer

    async def open(self) -> None: ...

    async def restore(self) -> AsyncIterator[tuple[str, bytes | None]]:
        yield POSITION_KEY, msgspec.msgpack.encode(Position({}))

    async def beginnings(self) -> dict[str, int]:
        return {"order.events": 0}

    async def ends(self) -> dict[str, int]:
        return {"order.events": 0}

    def positions(self) -> dict[str, int]:
        return {"order.events": self.consumer.position}

    def seek(self, offsets: dict[str, int]) -> None:
        self.consumer.position = offsets["order.events"]

    def pause(self, topics: Sequence[str]) -> None: ...

    def resume(self, topics: Sequence[str]) -> None: ...

    async def commit(self, said: list[Outgoing], state: dict[str, bytes | None]) -> None: ...

    async def close(self) -> None: ...


async def test_a_poll_that_fails_loses_no_record_of_other_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka's fetched_records() moves positions as it drains partition after partition. If the next one raises (a
    header name that is no UTF-8, a bad CRC), what was drained is dropped, and the lanes take the moved position for
    heard: they commit it. After an error every lane of the group has to be opened anew from its own position."""
    monkeypatch.setattr(participant, "AIOKafkaConsumer", Consumer)
    consumers: list[Consumer] = []

    def transport(connection: Any, name: str, index: int, consumer: Consumer, *_: Any) -> Transport:
        consumers.append(consumer)
        return Transport(consumer)

    async def run_item(work: Work) -> Outcome:
        return Spoke(None)

    monkeypatch.setattr(participant, "KafkaTransport", transport)
    role = participant.Role(
        STORE,
        ORDER.schema.topics,
        False,
        lambda index, count: Ledger(view_of(ORDER, STORE), index, count, "acme"),
        run_item,
    )
    group = participant.ParticipantGroup(role, Host("life", lambda: BEGIN), {}, "member")
    await group.start()
    await group.on_partitions_assigned([TopicPartition("order.events", 0)])
    try:
        async with asyncio.timeout(3):
            while not group.is_live():
                await asyncio.sleep(0.001)
            opened = order.OrderOpened(saga_id=SAGA, participants=EVERYBODY)
            headers = headers_for(wire_type="order.opened", message_id="o", source=DESK, saga_id=SAGA, at=BEGIN)
            value = opened.model_dump_json().encode()
            consumers[0].log.append(
                SimpleNamespace(
                    topic="order.events",
                    partition=0,
                    offset=0,
                    timestamp=BEGIN * 1000,
                    key=SAGA.encode(),
                    value=value,
                    headers=headers,
                )
            )
            while SAGA not in getattr(group.lanes[0].memory, "journals", {}):
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError("the record was never heard") from None
    finally:
        await group.stop()
