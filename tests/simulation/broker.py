"""Kafka as the lanes see it: partitions, transactions with markers written late, fencing, read_committed."""

import asyncio
import contextvars
import random
from dataclasses import dataclass, field

from producers.records import Outgoing, Record
from tests.simulation.loop import SimulatedLoop


class Fenced(Exception):
    """Another producer has the transactional id now."""


@dataclass
class Transaction:
    """All that one producer wrote between begin and the markers."""

    owner: str
    state: str = "open"
    partitions: set[tuple[str, int]] = field(default_factory=set)
    unmarked: set[tuple[str, int]] = field(default_factory=set)


@dataclass
class Entry:
    """One offset: a record, or a marker."""

    record: Record | None
    transaction: Transaction | None


class SimulatedBroker:
    """Survives its clients. All calls are synchronous; the transports put the awaits between them."""

    def __init__(self, loop: SimulatedLoop, seed: int) -> None:
        self.loop, self.random = loop, random.Random(seed)
        self.logs: dict[tuple[str, int], list[Entry]] = {}
        self.epochs: dict[str, int] = {}
        self._open: dict[str, Transaction] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._context = contextvars.copy_context()
        self._stable: dict[tuple[str, int], int] = {}
        self.changes = 0
        self.mutations = 0
        # Which commits fail, by their number: "undecided" ones leave the transaction open, the answer of "decided" ones
        # is lost.
        self.commits = 0
        # How much the brokers' clock is ahead of the world's.
        self.skew = 0.0
        self.faults: dict[int, str] = {}

    def log(self, topic: str, partition: int) -> list[Entry]:
        """The partition's log."""
        return self.logs.setdefault((topic, partition), [])

    def append(self, outgoing: Outgoing, transaction: Transaction | None = None) -> Record:
        """Write one record; returns it as it will be read."""
        self.mutations += 1
        log = self.log(outgoing.topic, outgoing.partition)
        at = self.loop.time() + self.skew
        record = Record(
            outgoing.topic, outgoing.partition, len(log), at, outgoing.key, outgoing.value, outgoing.headers
        )
        log.append(Entry(record, transaction))
        if transaction is None:
            self.notify()
        return record

    def stable_end(self, topic: str, partition: int) -> int:
        """The last stable offset: everything below it is decided, and its markers are written."""
        log = self.log(topic, partition)
        # What was stable once stays so.
        offset = self._stable.get((topic, partition), 0)
        while offset < len(log):
            transaction = log[offset].transaction
            if transaction and (transaction.state == "open" or (topic, partition) in transaction.unmarked):
                break
            offset += 1
        self._stable[topic, partition] = offset
        return offset

    def fetch(self, topic: str, partition: int, position: int) -> tuple[list[Record], int]:
        """Committed records from the position on, and the position after them."""
        end = self.stable_end(topic, partition)
        found = [
            entry.record
            for entry in self.log(topic, partition)[position:end]
            if entry.record and (entry.transaction is None or entry.transaction.state == "committed")
        ]
        return found, max(end, position)

    def committed(self, topic: str, partitions: int) -> list[Record]:
        """Every committed record of a topic."""
        return [record for index in range(partitions) for record in self.fetch(topic, index, 0)[0]]

    def initialise(self, transactional_id: str) -> int:
        """InitProducerId: fence the former owner and abort what it left open; returns the epoch."""
        self.mutations += 1
        self.epochs[transactional_id] = self.epochs.get(transactional_id, 0) + 1
        left = self._open.get(transactional_id)
        if left and left.state == "open":
            self._decide(left, "aborted")
        return self.epochs[transactional_id]

    def is_settled(self, transactional_id: str) -> bool:
        """Whether all markers of the id's last transaction are written."""
        left = self._open.get(transactional_id)
        return left is None or (left.state != "open" and not left.unmarked)

    def begin(self, transactional_id: str, epoch: int) -> Transaction:
        """Open a transaction."""
        self.check(transactional_id, epoch)
        transaction = self._open[transactional_id] = Transaction(transactional_id)
        return transaction

    def check(self, transactional_id: str, epoch: int) -> None:
        """Raise `Fenced` unless the epoch is the newest."""
        if self.epochs[transactional_id] != epoch:
            raise Fenced(transactional_id)

    def write(self, transaction: Transaction, epoch: int, outgoing: Outgoing) -> Record:
        """Write a record inside the transaction; returns it as it will be read."""
        self.check(transaction.owner, epoch)
        transaction.partitions.add((outgoing.topic, outgoing.partition))
        return self.append(outgoing, transaction)

    def commit(self, transaction: Transaction, epoch: int) -> None:
        """EndTxn: decided from here on; the markers follow one by one, whoever lives."""
        self.check(transaction.owner, epoch)
        self._decide(transaction, "committed")

    def _decide(self, transaction: Transaction, state: str) -> None:
        self.mutations += 1
        transaction.state = state
        transaction.unmarked = set(transaction.partitions)
        for partition in sorted(transaction.partitions):
            delay = self.random.uniform(0.0002, 0.002)
            self.loop.call_later(delay, self._mark, transaction, partition, context=self._context)

    def _mark(self, transaction: Transaction, partition: tuple[str, int]) -> None:
        self.logs[partition].append(Entry(None, transaction))
        transaction.unmarked.discard(partition)
        self.notify()

    def notify(self) -> None:
        """Something became visible."""
        self.changes += 1
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def news(self) -> None:
        """Wait until something becomes visible."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        self._waiters.append(waiter)
        await waiter
