"""A whole hub in one simulated process space: broker, workers with their lanes, and somebody who publishes commands."""

import asyncio
import contextvars
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from consumers.runtime.breakers import guarded
from consumers.runtime.broker_clock import BrokerClock
from consumers.runtime.bulkheads import Bulkheads
from consumers.runtime.calling import Caller
from consumers.runtime.graph import Graph
from consumers.runtime.journals import DECODED_JOURNALS_MAX
from consumers.runtime.lane import Host, Lane
from consumers.runtime.ledger import Ledger
from consumers.runtime.memory import Memory
from consumers.runtime.transport import POSITION_KEY, Position
from consumers.runtime.view import view_of
from consumers.tracker.ledger import TrackerLedger
from producers.errors import Unreadable
from producers.headers import read
from producers.records import Outgoing, Record, partition_of
from tests.simulation.broker import SimulatedBroker
from tests.simulation.loop import SimulatedLoop
from tests.simulation.transport import SimulatedTransport

RESTART_SECONDS = 0.5
DRAIN_SECONDS = 0.1


class World:
    """One broker and one worker that is started again whenever it dies."""

    def __init__(self, graph: Graph, ports: Callable[["World"], dict[type, object]], seed: int = 0) -> None:
        self.graph, self.seed = graph, seed
        self.loop = SimulatedLoop()
        self.broker = SimulatedBroker(self.loop, seed)
        self.random = random.Random(seed)
        self.partitions = 1
        self.lives = 0
        self._context = contextvars.copy_context()
        self.restart_after_seconds = RESTART_SECONDS
        self.slow: dict[tuple[str, str], float] = {}
        self.ports = ports(self)
        self.tracker = f"{graph.saga}.tracker"
        self.topics = graph.schema.topics
        self._replaced: set[str] = set()
        self.loop.on_death = self._restart_later
        self.loop.on_warning = self._replace
        self.loop.on_stop = self._stop
        self.decoded_most = DECODED_JOURNALS_MAX
        self.broker_seconds_off = 0.0
        # By how much a worker's own clock is wrong when it starts.
        self.wall_offset: Callable[[], float] = lambda: 0.0
        self._lanes: dict[str, list[tuple[Lane, asyncio.Task[None]]]] = {}
        empty = msgspec.msgpack.encode(Position({}, clean=True))
        for participant in (*graph.participants, self.tracker):
            for partition in range(self.partitions):
                self.broker.append(Outgoing(f"{participant}.state", partition, POSITION_KEY.encode(), empty))

    def _replace(self, worker: str) -> None:
        """A successor starts while the worker still lives: it was frozen, or cut off, and does not know yet."""
        self._replaced.add(worker)
        self.loop.call_soon(self.start_worker, context=self._context)

    def _stop(self, worker: str) -> None:
        """The worker is asked to stop, as at a rebalance or a deploy; its successor starts when it has."""
        self.loop.spawn(worker, self._stopped(worker))

    async def _stopped(self, worker: str) -> None:
        lanes = self._lanes[worker]
        for lane, _ in lanes:
            await lane.stop(DRAIN_SECONDS)
        await asyncio.gather(*(life for _, life in lanes))
        self.loop.call_soon(self.start_worker, context=self._context)

    def _restart_later(self, worker: str) -> None:
        if worker in self._replaced:
            return
        # In the world's own context: what a dead worker has asked for is never done.
        self.loop.call_later(self.restart_after_seconds, self.start_worker, context=self._context)

    def outside_mutations(self) -> int:
        """How often anything outside the broker was changed so far."""
        return 0

    def start_worker(self, kill_at: int | None = None) -> None:
        """Start the worker; it dies before its callback number `kill_at`."""
        self.lives += 1
        name = f"worker-{self.lives}"
        if kill_at is not None:
            self.loop.kill_at[name] = kill_at
        self.loop.spawn(name, self._work(name))

    async def _work(self, name: str) -> None:
        ports, breakers = guarded(self.ports, self.loop.time)
        room = Bulkheads({}, self.loop.time, breakers)
        offset = self.wall_offset()
        clock = BrokerClock(lambda: self.loop.time() + offset, self.loop.time)
        host = Host(
            name,
            clock,
            room,
            monotonic=self.loop.time,
            observe=clock.observe,
            is_told=clock.is_told,
            jitter=lambda: 1.0,
        )
        caller = Caller(self.graph, ports, clock)
        neighbours: list[SimulatedTransport] = []
        for participant in (*self.graph.participants, self.tracker):
            for partition in range(self.partitions):
                remember = self._remembering(participant, partition)
                latency = random.Random(self.random.random())
                inputs, told_early = remember().inputs, participant != self.tracker
                transport = SimulatedTransport(
                    self.broker, participant, partition, inputs, latency, neighbours, told_early
                )
                transport.slow = {topic: self.slow.get((participant, topic), 0.0) for topic in transport.inputs}
                lane = Lane(f"{participant}.{partition}", host, transport, remember, caller)
                transport.deliver = lane.push
                # The group gives its partitions to a successor only once its lease has run out.
                transport.is_owned = lambda: name not in self._replaced
                self._lanes.setdefault(name, []).append((lane, self.loop.create_task(lane.run())))

    def _remembering(self, participant: str, partition: int) -> Callable[[], Memory]:
        if participant == self.tracker:
            return lambda: TrackerLedger(self.graph, partition)
        view = view_of(self.graph, participant)
        # Every other life keeps no idle journal decoded.
        decoded_most = 0 if self.lives % 2 else self.decoded_most
        return lambda: Ledger(view, partition, self.partitions, "default", decoded_most)

    def publish(self, wire_type: str, saga_id: str, body: dict[str, Any], message_id: str = "") -> None:
        """Say a command as an outside program would: key, type, JSON."""
        headers = (("ce_type", wire_type.encode()),) + ((("ce_id", message_id.encode()),) if message_id else ())
        partition = partition_of(saga_id.encode(), self.partitions)
        value = json.dumps(body).encode()
        self.broker.append(Outgoing(self.topics.commands, partition, saga_id.encode(), value, headers))

    def events(self, saga_id: str | None = None) -> list[tuple[str, Record]]:
        """All committed events, in log order, with their type."""
        found = []
        for record in self.broker.committed(self.topics.events, self.partitions):
            try:
                heard = read(record, "default")
            except Unreadable:
                # An outsider's.
                continue
            if saga_id in (None, heard.saga_id):
                found.append((heard.type, record))
        return found

    def types(self, saga_id: str | None = None) -> list[str]:
        """The types of all committed events, in log order."""
        return [wire_type for wire_type, _ in self.events(saga_id)]

    def bodies(self) -> list[tuple[str, dict[str, Any]]]:
        """The types and bodies of all committed events, in log order."""
        return [(kind, json.loads(record.value or b"{}")) for kind, record in self.events()]

    def status(self, saga_id: str) -> dict[str, Any] | None:
        """The saga's newest status."""
        for record in reversed(self.broker.committed(self.topics.status, self.partitions)):
            if record.key == saga_id.encode() and record.value:
                status: dict[str, Any] = json.loads(record.value)
                return status
        return None

    def state(self, saga_id: str) -> str | None:
        """The saga's newest state."""
        status = self.status(saga_id)
        return None if status is None else str(status["state"])

    def run_until(self, condition: Callable[[], bool], seconds_most: float = 1_000_000.0) -> None:
        """Run the world until the condition, which looks at the broker, holds; asked when something became visible."""
        seen = -1

        def holds() -> bool:
            nonlocal seen
            if seen == self.broker.changes:
                return False
            seen = self.broker.changes
            return condition()

        self.loop.run_until(holds, seconds_most)

    def said_twice(self) -> list[tuple[str, str, str, str]]:
        """Every (saga, type, source, causation) that stands in the log more than once."""
        said = Counter(
            (heard.saga_id, heard.type, heard.source, heard.causation)
            for heard in (read(record, "default") for _, record in self.events())
        )
        return [words for words, count in said.items() if count > 1]
