"""PURE: what a build could not carry of the open sagas of one kind, over all of its participants.

The partitions are looked at one after the other, so that no more than the sagas of one are held in memory.
"""

from collections import Counter
from collections.abc import Iterable

from consumers.runtime.graph import Graph
from consumers.runtime.in_flight import FOLLOWS, Difference, InFlight
from consumers.runtime.transport import JOURNAL_PREFIX
from consumers.runtime.view import view_of
from consumers.tracker.ledger import tracker_of
from consumers.tracker.records import Undecodable, decoded
from producers.records import Record
from schemas.topics import state_topic


class KindInFlight:
    """The open sagas of one kind. For each partition index call `begin`, `take` for each state record, and `end`."""

    def __init__(self, graph: Graph, participants: Iterable[str] = ()) -> None:
        chosen = set(participants)
        self.saga = graph.saga
        self._views = [view_of(graph, name) for name in graph.participants if not chosen or name in chosen]
        tracker = tracker_of(graph.saga)
        self._tracker = tracker if not chosen or tracker in chosen else ""
        self._participants: dict[str, InFlight] = {}
        self._untold: dict[str, Difference | None] = {}
        self.open = self.concerned = self.unknown = 0
        self.differences: Counter[Difference] = Counter()

    @property
    def topics(self) -> tuple[str, ...]:
        """The state topics to read."""
        names = [view.participant for view in self._views] + ([self._tracker] if self._tracker else [])
        return tuple(state_topic(name) for name in names)

    def begin(self) -> None:
        """The records of another partition follow."""
        self._participants = {state_topic(view.participant): InFlight(view) for view in self._views}
        self._untold = {}

    def take(self, record: Record) -> None:
        """Take one record of a state topic; those of one topic in order."""
        key = (record.key or b"").decode(errors="replace")
        participant = self._participants.get(record.topic)
        if participant is not None:
            participant.take(key, record.value)
        elif key.startswith(JOURNAL_PREFIX) and key != JOURNAL_PREFIX:
            self._take_tracked(key.removeprefix(JOURNAL_PREFIX), record.value)

    def _take_tracked(self, saga_id: str, value: bytes | None) -> None:
        self._untold.pop(saga_id, None)
        if value is None:
            return
        try:
            if not isinstance(decoded(value), float):
                self._untold[saga_id] = None
        except Undecodable as error:
            words = f"the tracker cannot decode its record: {error}"
            self._untold[saga_id] = Difference(self._tracker, "record", words, f"{FOLLOWS['saga']} in its status only")

    def end(self) -> None:
        """All records of the partition are taken."""
        concerned: set[str] = set()
        known: set[str] = set(self._untold)
        unknown: set[str] = set()
        for participant in self._participants.values():
            participant.end()
            known |= participant.sagas.keys()
            unknown |= participant.unknown
            for saga_id, found in participant.sagas.items():
                self.differences.update(found)
                if found:
                    concerned.add(saga_id)
        for saga_id, difference in self._untold.items():
            if difference is not None:
                self.differences[difference] += 1
                concerned.add(saga_id)
        self.open += len(known)
        self.concerned += len(concerned)
        self.unknown += len(unknown)
        self.begin()
