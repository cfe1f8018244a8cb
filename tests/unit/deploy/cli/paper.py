"""A hub on paper: Kafka's topics are lists, and the door and the till of an order hear and speak at once.

The ledgers are the real ones, and so are the steps, but for ship_parcel: it fails before its effect for the sagas that
are `broken`. `sagas` is the composition root; the hub it speaks of is the newest one.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Self

from consumers.kinds import SagaKind
from consumers.runtime.calling import Caller
from consumers.runtime.graph import Graph
from consumers.runtime.transport import JOURNAL_PREFIX
from producers.answers import Answer, Published, answer_in
from producers.headers import headers_for
from producers.records import Headers, Outgoing, Record
from schemas.message import Event
from schemas.topics import state_topic
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, Bench
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    ORDER,
    TILL,
    Cards,
    OrderCleared,
    OrderOpened,
    ParcelShipped,
    Post,
    Printer,
    Shelves,
)

TOPICS = ORDER.schema.topics


class VanBroken(Exception):
    """The mistake that is mended by taking a saga from `broken`."""


class PaperHub:
    """See the module. Stands where a `Client` would; `is_deaf`: whether nobody hears what is written."""

    source = "soma.cli"
    newest: "PaperHub"

    def __init__(self) -> None:
        PaperHub.newest = self
        self.topics: dict[str, list[Record]] = defaultdict(list)
        self.broken: set[str] = set()
        self.shipped: list[str] = []
        self.now = BEGIN
        self.is_deaf = False
        self._benches = {name: Bench(name, graph()) for name in (DESK, TILL)}
        self._listeners: list[tuple[tuple[str, ...], asyncio.Queue[Record]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def ship(self, key: str) -> None:
        """The one effect."""
        self.shipped.append(key)

    async def holds(self, *saga_ids: str) -> None:
        """These sagas have come to their parcel, which is broken: each has a dead letter."""
        self.broken |= set(saga_ids)
        for saga_id in saga_ids:
            self.now += 60
            await self.says(OrderOpened(saga_id=saga_id, participants=EVERYBODY, graph="g"), f"opened {saga_id}")
            await self.says(OrderCleared(saga_id=saga_id), f"cleared {saga_id}")

    async def says(self, event: Event, message_id: str) -> None:
        """An event of the desk stands in the log."""
        headers = headers_for(
            wire_type=event.wire_type, message_id=message_id, source=DESK, saga_id=event.saga_id, at=self.now
        )
        await self.append(TOPICS.events, 0, event.saga_id.encode(), event.model_dump_json().encode(), headers)

    async def records(self, topic: str, saga_id: str | None = None) -> AsyncIterator[Record]:
        for record in list(self.topics[topic]):
            yield record

    async def record_at(self, topic: str, partition: int, offset: int) -> Record | None:
        return self.topics[topic][offset]

    async def partition_for(self, topic: str, saga_id: str) -> int:
        return 0

    async def publish(
        self, saga: str, wire_type: str, saga_id: str, body: Mapping[str, Any], message_id: str = ""
    ) -> Published:
        headers = headers_for(wire_type=wire_type, message_id=message_id, source="", saga_id=saga_id, at=self.now)
        offset = await self.append(TOPICS.commands, 0, saga_id.encode(), json.dumps(body).encode(), headers)
        return Published(saga, saga_id, message_id, TOPICS.commands, 0, offset, {})

    async def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> int:
        record = Record(topic, partition, len(self.topics[topic]), self.now, key, value, headers)
        self.topics[topic].append(record)
        for topics, queue in self._listeners:
            if topic in topics:
                queue.put_nowait(record)
        if not self.is_deaf:
            for bench in self._benches.values():
                await self._works(bench, record)
        return record.offset

    @asynccontextmanager
    async def following(self, *topics: str) -> AsyncIterator[AsyncIterator[Record]]:
        queue: asyncio.Queue[Record] = asyncio.Queue()

        async def listen() -> AsyncIterator[Record]:
            while True:
                yield await queue.get()

        self._listeners.append((topics, queue))
        try:
            yield listen()
        finally:
            self._listeners.remove((topics, queue))

    async def answer_to(self, published: Published) -> Answer:
        for record in self.topics[TOPICS.events] + self.topics[TOPICS.dead]:
            answer = answer_in(record, published)
            if answer is not None:
                return answer
        await asyncio.Event().wait()
        raise AssertionError

    async def _works(self, bench: Bench, record: Record) -> None:
        """The participant hears the record, and does and says at once what follows."""
        inputs = (TOPICS.commands, TOPICS.events) if bench.participant == DESK else (TOPICS.events,)
        if record.topic not in inputs:
            return
        bench.now, bench.offsets[record.topic] = self.now, record.offset + 1
        bench.ledger.hear(record, self.now)
        while True:
            # Whatever waits for its next attempt has waited long enough.
            bench.now += 5
            names = bench.starts()
            if not names:
                break
            for name in names:
                bench.ends(name, await Caller(bench.graph, ports(self), lambda: self.now)(bench.running[name]))
        snapshot = bench.ledger.take()
        for key, value in snapshot.state.items():
            self._keeps(bench.participant, key, value)
        for said in snapshot.said:
            await self._says(said)

    def _keeps(self, participant: str, key: str, value: bytes | None) -> None:
        topic = state_topic(participant)
        stored = f"{JOURNAL_PREFIX}{key}".encode()
        self.topics[topic].append(Record(topic, 0, len(self.topics[topic]), self.now, stored, value, ()))

    async def _says(self, said: Outgoing) -> None:
        await self.append(said.topic, said.partition, said.key, said.value, said.headers)


async def ship_parcel(cleared: OrderCleared, post: Post, call: Any) -> ParcelShipped:
    if cleared.saga_id in PaperHub.newest.broken:
        raise VanBroken("no van")
    await post.ship(call.key)
    return ParcelShipped(saga_id=cleared.saga_id)


def graph() -> Graph:
    """The order, with a parcel that can be broken."""
    step = replace(ORDER.steps["ship_parcel"], function=ship_parcel)
    return replace(ORDER, steps=ORDER.steps | {"ship_parcel": step})


def ports(hub: PaperHub) -> dict[type, object]:
    """Everything that is wanted of the world is wanted of the hub."""
    return dict.fromkeys((Shelves, Printer, Cards, Post), hub)


def sagas() -> tuple[SagaKind, ...]:
    """The composition root: `SOMA_APPLICATION=tests.unit.deploy.cli.paper:sagas`."""
    return (SagaKind(graph(), lambda settings: ports(PaperHub.newest)),)
