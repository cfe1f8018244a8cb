"""All lanes of one saga kind over one partition, without Kafka: the saga next to hostile records goes on."""

import random
from collections import Counter, deque
from typing import Any

from consumers.runtime.finishing import Blocked, Broke, Outcome, Spoke, Waits
from consumers.runtime.graph import Graph
from consumers.runtime.ledger import Ledger
from consumers.runtime.memory import Memory, Work
from consumers.runtime.view import view_of
from consumers.topic_rules import BATCH_BYTES_MAX
from consumers.tracker.ledger import TrackerLedger
from producers.headers import headers_for
from producers.records import Outgoing, Record
from schemas.engine import CommandRefused
from schemas.message import Command, Event, FailingEnd, Message
from tests.fuzz.hostile import BEGIN, Hostile, Maker

GOOD = "good-1"


class Partition:
    """See the module. `faults` counts the engine's own errors by participant and call."""

    def __init__(self, graph: Graph, seed: int) -> None:
        self.graph, self.now, self._rng = graph, BEGIN, random.Random(seed)
        self.faults: Counter[tuple[str, str]] = Counter()
        self.types: list[str] = []
        self.statuses: dict[bytes | None, bytes] = {}
        self.state: dict[tuple[str, str], bytes] = {}
        self._maker = Maker(graph, self._rng, 1)
        self._offsets = {graph.schema.topics.events: 0, graph.schema.topics.commands: 0}
        self._unread: deque[Record] = deque()
        self.memories: dict[str, Memory] = {name: self._ledger(name) for name in graph.participants}
        self.memories["tracker"] = self._tracker()

    def _ledger(self, name: str) -> Ledger:
        return Ledger(view_of(self.graph, name), 0, 1, "acme", 10, self._count)

    def _tracker(self) -> TrackerLedger:
        return TrackerLedger(self.graph, 0, False, self._count)

    def _count(self, participant: str, call: str) -> None:
        self.faults[participant, call] += 1

    def publish(self, one: Hostile) -> None:
        """Append what an outsider writes to the log."""
        self._append(one.topic, one.key, one.value, one.headers)

    def says(self, command: Command) -> None:
        """Append a command of the good saga."""
        headers = headers_for(
            wire_type=command.wire_type, message_id=command.wire_type, source="", saga_id=GOOD, at=self.now
        )
        topic = self.graph.schema.topics.commands
        self._append(topic, GOOD.encode(), command.model_dump_json().encode(), headers)

    def _append(self, topic: str, key: bytes | None, value: bytes | None, headers: Any) -> None:
        self._unread.append(Record(topic, 0, self._offsets[topic], self.now, key, value, headers))
        self._offsets[topic] += 1

    def turn(self) -> None:
        """Each lane reads all there is, runs what may start, and commits."""
        self.now += 0.5
        unread = list(self._unread)
        self._unread.clear()
        for name, memory in self.memories.items():
            for record in unread:
                if record.topic in memory.inputs and not memory.ignores(record.headers):
                    memory.hear(record, self.now)
            memory.fire(self.now)
            marks = memory.unmarked()
            if marks:
                memory.mark(marks, dict(self._offsets))
            memory.heard_up_to(dict(self._offsets))
            for work in memory.startable(self.now, 1_000):
                memory.finish(work.journal.saga_id, work.item, self._outcome(work), self.now)
            self._commit(name, memory)

    def _commit(self, name: str, memory: Memory) -> None:
        snapshot = memory.take()
        topics = self.graph.schema.topics
        kinds = {topic: kind for kind, topic in topics._asdict().items()}
        for one in snapshot.said:
            assert size_of(one) < BATCH_BYTES_MAX[kinds[one.topic]], one.headers
            if one.topic == topics.events:
                self.types.append(dict(one.headers)["ce_type"].decode())
            if one.topic == topics.status:
                self.statuses[one.key] = one.value or b""
            if one.topic in self._offsets:
                self._append(one.topic, one.key, one.value, one.headers)
        for key, value in snapshot.state.items():
            assert len(value or b"") < BATCH_BYTES_MAX["state"]
            if value is None:
                self.state.pop((name, key), None)
            else:
                self.state[name, key] = value

    def reopen(self) -> None:
        """Every lane is lost and opened again, from what was committed."""
        for name in self.memories:
            memory = self._tracker() if name == "tracker" else self._ledger(name)
            for (owner, key), value in self.state.items():
                if owner == name:
                    memory.load(key, value)
            memory.reopen("clean", self.now)
            self.memories[name] = memory

    def _outcome(self, work: Work) -> Outcome:
        is_good, signature = work.journal.saga_id == GOOD, work.owner.signature
        if not is_good and self._rng.random() < 0.4:
            odd = ("", "\ud800", "x" * 5_000, "\x00" * 3_000, "\U0001f600" * 2_000)
            cause = self._rng.choice(odd)
            return self._rng.choice(
                (Broke("E" + cause, cause), Broke("E", cause, True), Blocked(cause, self.now + 2), Waits(self.now + 1))
            )
        ends = FailingEnd | CommandRefused
        kinds = [kind for kind in signature.says if not is_good or not issubclass(kind, ends)]
        if not kinds:
            return Waits(self.now + 3_600) if signature.may_wait else Spoke(None)
        kind = kinds[0] if is_good else self._rng.choice(kinds)
        return Spoke(self._event(kind, work.journal.saga_id))

    def _event(self, kind: type[Event], saga_id: str) -> Event:
        if kind.wire_type not in self.graph.schema.messages:
            return CommandRefused(saga_id=saga_id, command_id="x", reason="no")
        return kind.model_validate(self._maker.body(kind.wire_type, saga_id))


def size_of(one: Outgoing) -> int:
    """About what a broker measures."""
    headers = sum(len(name) + len(value or b"") for name, value in one.headers)
    return len(one.key or b"") + len(one.value or b"") + headers


def message(kind: type[Message], **fields: Any) -> Any:
    """A message of the good saga."""
    return kind(saga_id=GOOD, **fields)
