"""The lanes' transport over the simulated broker: an await before and after every protocol step.

As on Kafka, a lane's `neighbours` in its worker are told of what it has committed as soon as that is decided, those of
them who have heard all before it; the tracker is not.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence

from consumers.runtime.transport import Log, Logs, Transport
from producers.errors import LaneLost
from producers.records import Outgoing, Record
from tests.simulation.broker import Fenced, SimulatedBroker


class SimulatedTransport(Transport):
    """One lane's view of the simulated broker; `deliver` is called with what it hears."""

    def __init__(
        self,
        broker: SimulatedBroker,
        participant: str,
        partition: int,
        inputs: tuple[str, ...],
        latency: random.Random,
        neighbours: list["SimulatedTransport"],
        told_early: bool,
    ) -> None:
        self.broker, self.inputs, self.partition = broker, inputs, partition
        self._neighbours = neighbours
        if told_early:
            neighbours.append(self)
        self.state_topic = f"{participant}.state"
        self.transactional_id = f"{participant}.{partition}"
        self.deliver: Callable[[list[Record]], None] = lambda records: None
        self.is_owned: Callable[[], bool] = lambda: True
        self._latency = latency
        self._epoch = 0
        self._positions: dict[str, int] = {}
        self._paused: set[str] = set()
        self._pollers: list[asyncio.Task[None]] = []
        self.slow: dict[str, float] = {}

    async def _hop(self) -> None:
        await asyncio.sleep(self._latency.uniform(0.0001, 0.001))

    async def open(self) -> None:
        await self._hop()
        self._epoch = self.broker.initialise(self.transactional_id)
        while not self.broker.is_settled(self.transactional_id):
            await self._hop()

    async def restore(self) -> AsyncIterator[tuple[str, bytes | None]]:
        await self._hop()
        for record in self.broker.fetch(self.state_topic, self.partition, 0)[0]:
            yield (record.key or b"").decode(), record.value

    async def logs(self) -> Logs:
        await self._hop()
        inputs, state = (*self.inputs, self.state_topic), self.state_topic
        logs: dict[str, Log | None] = {
            topic: Log(f"id of {topic}", 0, len(self.broker.log(topic, self.partition))) for topic in inputs
        }
        return Logs("simulated", {topic: logs[topic] for topic in self.inputs}, state, logs[state])

    async def ends(self) -> dict[str, int]:
        await self._hop()
        ends = {topic: self.broker.stable_end(topic, self.partition) for topic in self.inputs}
        await self._hop()
        return ends

    async def written(self) -> dict[str, int]:
        await self._hop()
        return {topic: len(self.broker.log(topic, self.partition)) for topic in self.inputs}

    def positions(self) -> dict[str, int]:
        return dict(self._positions)

    def seek(self, offsets: dict[str, int]) -> None:
        self._positions = dict(offsets)
        if not self._pollers:
            self._pollers = [asyncio.create_task(self._poll(topic)) for topic in self.inputs]

    def pause(self, topics: Sequence[str]) -> None:
        self._paused |= set(topics)

    def resume(self, topics: Sequence[str]) -> None:
        self._paused -= set(topics)
        self.broker.notify()

    async def _poll(self, topic: str) -> None:
        while True:
            if topic not in self._paused:
                records, position = self.broker.fetch(topic, self.partition, self._positions[topic])
                self._positions[topic] = position
                self.deliver(records)
            await self.broker.news()
            await self._hop()
            await asyncio.sleep(self.slow.get(topic, 0.0))

    def offer(self, record: Record) -> None:
        """Hear what is decided before the log shows it, where it comes next; it may also be missed."""
        hears = self._pollers and record.topic not in self._paused and record.partition == self.partition
        misses = self.slow.get(record.topic, 0.0) > 0 or self._latency.random() < 0.3
        if hears and not misses and self._positions.get(record.topic) == record.offset:
            self._positions[record.topic] = record.offset + 1
            self.deliver([record])

    async def commit(self, said: list[Outgoing], state: dict[str, bytes | None]) -> float | None:
        await self._hop()
        self.broker.commits += 1
        fault = self.broker.faults.get(self.broker.commits, "")
        try:
            return await self._write(said, state, fault)
        except Fenced as fenced:
            raise LaneLost(str(fenced)) from fenced

    async def _write(self, said: list[Outgoing], state: dict[str, bytes | None], fault: str) -> float:
        transaction = self.broker.begin(self.transactional_id, self._epoch)
        records = [Outgoing(self.state_topic, self.partition, key.encode(), value) for key, value in state.items()]
        written: list[Record] = []
        for outgoing in said + records:
            written.append(self.broker.write(transaction, self._epoch, outgoing))
            if self._latency.random() < 0.3:
                await self._hop()
        await self._hop()
        if fault == "undecided":
            raise ConnectionError("the partition's leader has moved")
        self.broker.commit(transaction, self._epoch)
        if fault == "decided":
            raise ConnectionError("the coordinator does not answer")
        await self._hop()
        for record in written:
            for neighbour in self._neighbours:
                neighbour.offer(record)
        while not self.broker.is_settled(self.transactional_id):
            await self._hop()
        return written[-1].at

    def owns(self) -> bool:
        return self.is_owned()

    async def close(self) -> None:
        for poller in self._pollers:
            poller.cancel()
        self._pollers = []
