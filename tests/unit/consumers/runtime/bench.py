"""One participant's ledger on the bench: records go in as Kafka would hand them over, what it says is read back."""

import json
from collections import deque
from typing import Any

from consumers.runtime.finishing import Broke, Outcome, Spoke, Waits
from consumers.runtime.former_life import Ending
from consumers.runtime.graph import Graph
from consumers.runtime.journal import Item, Journal
from consumers.runtime.journals import DECODED_JOURNALS_MAX
from consumers.runtime.ledger import Ledger
from consumers.runtime.memory import Work
from consumers.runtime.view import view_of
from producers.headers import headers_for, read
from producers.records import Headers, Outgoing, Record
from schemas.engine import EngineEvent, Settled
from schemas.message import Event, Message
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL, OrderExpired, OrderOpened, PlaceOrder

SAGA = "o-1"
BEGIN = 1_800_000_000.0
EVERYBODY = (DESK, STORE, TILL)
# More than any test asks for: what starts again and again fails its test, and does not hang it.
STARTS_MAX = 20_000


class Bench:
    """See the module. `now` is the broker's clock; nothing moves it but the test."""

    def __init__(
        self,
        participant: str,
        graph: Graph = ORDER,
        partitions: int = 1,
        decoded_most: int = DECODED_JOURNALS_MAX,
    ) -> None:
        self.participant, self.graph, self.partitions = participant, graph, partitions
        self.decoded_most = decoded_most
        self.now = BEGIN
        self.ledger = Ledger(view_of(graph, participant), 0, partitions, "acme", decoded_most)
        self.topics = graph.schema.topics
        self.offsets = {self.topics.events: 0, self.topics.commands: 0}
        self.asked = 0
        self.running: dict[str, Work] = {}
        self.state: dict[str, bytes] = {}
        self.others: dict[str, bytes] = {}
        self.said: list[Outgoing] = []
        self._unheard: deque[Outgoing] = deque()

    def hears_record(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        at: float | None = None,
        ending: Ending = "clean",
    ) -> Record:
        """Hand over one record."""
        record = Record(topic, 0, self.offsets[topic], self.now if at is None else at, key, value, headers)
        self.offsets[topic] += 1
        self.ledger.hear(record, self.now, ending)
        return record

    def hears(
        self,
        message: Message,
        message_id: str = "",
        source: str = "",
        at: float | None = None,
        ending: Ending = "clean",
        **named: Any,
    ) -> Record:
        """Hand over an event or a command where it belongs, as our own producers would write it."""
        engine = isinstance(message, EngineEvent) or not message.wire_type
        suffix = getattr(message, "suffix", "")
        wire_type = f"{self.graph.saga}.{suffix}" if engine else message.wire_type
        headers = headers_for(
            wire_type=wire_type,
            message_id=message_id or f"{wire_type}#1",
            source=source,
            saga_id=message.saga_id,
            at=self.now,
            **named,
        )
        topic = self.topics.events if isinstance(message, Event) else self.topics.commands
        body = message.model_dump_json().encode()
        return self.hears_record(topic, message.saga_id.encode(), body, headers, at, ending)

    def hears_raw(
        self, wire_type: str, value: bytes | None, key: bytes | None = SAGA.encode(), topic: str = ""
    ) -> None:
        """Hand over a command (or what stands in `topic`) as an outsider writes it: key, ce_type, value."""
        self.hears_record(topic or self.topics.commands, key, value, (("ce_type", wire_type.encode()),))

    def opens(self, message_id: str = "opening", participants: tuple[str, ...] = EVERYBODY) -> None:
        """The saga begins."""
        self.hears(OrderOpened(saga_id=SAGA, participants=participants, graph="g"), message_id, DESK)

    def expires(self, message_id: str = "expired") -> None:
        """A failing end stands in the log."""
        self.hears(OrderExpired(saga_id=SAGA), message_id, DESK)

    def hears_settled(self, *participants: str) -> None:
        """These participants have undone all they had to."""
        for name in participants:
            self.hears(Settled(saga_id=SAGA, participant=name, undone=0), f"settled {name}", name)

    def starts(self, tried: bool = True) -> list[str]:
        """Fire the timers, pass the barriers, start what may start; returns the names of the steps."""
        self.asked += 1
        assert self.asked < STARTS_MAX, "it comes to no end"
        self.ledger.fire(self.now)
        marks = self.ledger.unmarked()
        if marks:
            self.ledger.mark(marks, dict(self.offsets))
        self.ledger.heard_up_to(dict(self.offsets))
        works = self.ledger.startable(self.now, 1_000)
        if tried and self.ledger.has_suspects():
            self.ledger.try_suspects(all_of_them=True, in_turn=False)
            works += self.ledger.startable(self.now, 1_000)
        for work in works:
            self.running[work.item.step] = work
        return [work.item.step for work in works]

    def ends(self, step: str, outcome: Outcome) -> None:
        """The running step ends so."""
        work = self.running.pop(step)
        self.ledger.finish(work.journal.saga_id, work.item, outcome, self.now)

    def says(self, step: str, event: Event | None) -> None:
        """The running step returns this."""
        self.ends(step, Spoke(event))

    def breaks(self, step: str, error: str = "ConnectionError", permanent: bool = False) -> None:
        """The running step's attempt fails."""
        self.ends(step, Broke(error, "no answer", permanent))

    def commit(self) -> list[str]:
        """One transaction; returns the types of the events said in it."""
        snapshot = self.ledger.take()
        for key, value in snapshot.state.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        for key, value in snapshot.others.items():
            if value is None:
                self.others.pop(key, None)
            else:
                self.others[key] = value
        self.said += snapshot.said
        events = [one for one in snapshot.said if one.topic == self.topics.events]
        self._unheard.extend(events)
        return [type_in(one) for one in events]

    def hears_itself(self) -> list[str]:
        """Commit, and hear back what was said; returns its types."""
        types = self.commit()
        while self._unheard:
            one = self._unheard.popleft()
            self.hears_record(one.topic, one.key, one.value, one.headers)
        return types

    def reopened(self, ending: Ending = "clean", graph: Graph | None = None) -> "Bench":
        """Another life, perhaps of another build: what was committed is restored, what was not is lost."""
        later = Bench(self.participant, graph or self.graph, self.partitions, self.decoded_most)
        later.now, later.offsets, later.state = self.now, dict(self.offsets), dict(self.state)
        later.others = dict(self.others)
        for key, value in self.others.items():
            later.ledger.load_other(key, value)
        for key, value in self.state.items():
            later.ledger.load(key, value)
        later.ledger.reopen(ending, later.now)
        return later

    @property
    def open_items(self) -> list[str]:
        """The names of the steps that have an open item, the oldest first."""
        return [item.step for item in self.items]

    @property
    def items(self) -> list[Item]:
        """The open items, the oldest first; none of a saga that is forgotten."""
        journal = self.ledger.journal(SAGA)
        return list(journal.items.values()) if journal else []

    @property
    def journal(self) -> Journal:
        """What it remembers of the saga."""
        journal = self.ledger.journal(SAGA)
        assert journal is not None
        return journal

    def item(self, step: str) -> Item:
        """The open item of this step."""
        return next(item for item in self.journal.items.values() if item.step == step)

    def dead_letters(self) -> list[dict[str, Any]]:
        """Every dead letter that was committed."""
        return [json.loads(one.value or b"") for one in self.said if one.topic == self.topics.dead]

    def bodies(self, wire_type: str) -> list[dict[str, Any]]:
        """The bodies of all committed events of this type."""
        return [
            json.loads(one.value or b"")
            for one in self.said
            if one.topic == self.topics.events and type_in(one) == wire_type
        ]


def type_in(one: Outgoing) -> str:
    """The wire type of a record that was said."""
    return read(Record(one.topic, one.partition, 0, 0.0, one.key, one.value, one.headers), "").type


def causation_in(one: Outgoing) -> str:
    """What caused a record that was said."""
    return read(Record(one.topic, one.partition, 0, 0.0, one.key, one.value, one.headers), "").causation


def opened_desk() -> Bench:
    """The door of a saga that is open, and will expire in a minute."""
    desk = Bench(DESK)
    desk.hears(PlaceOrder(saga_id=SAGA, item="tulip"), "place")
    assert desk.starts() == ["place_order"]
    desk.says("place_order", OrderOpened(saga_id=SAGA))
    desk.hears_itself()
    assert desk.starts() == ["expire_order"]
    desk.ends("expire_order", Waits(BEGIN + 60))
    desk.hears_itself()
    return desk
