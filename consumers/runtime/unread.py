"""PURE: state records that this build cannot read. Each holds its saga in this participant, and no other saga.

The record stays in the state topic as it is. Beside it, under `aside/<saga id>`, the lane keeps the events that have
come for the saga since. A build that can read the record applies them, in order. The door refuses the saga's commands.
"""

import logging
from itertools import islice

import msgspec

from consumers.runtime.flow_record import FLOW
from consumers.runtime.journal import End, Fact, Item, Journal
from consumers.runtime.limits import ITEMS_MAX, JOURNAL_BYTES_MAX, bytes_once
from consumers.runtime.unfit import changed
from consumers.runtime.utterances import Utterance, command_refused, held_by_flow, resumed_by_flow, settled
from consumers.runtime.view import View
from schemas.engine import ItemResumed, ItemSkipped, StepFailed
from schemas.message import Message
from schemas.topics import state_topic

log = logging.getLogger(__name__)

ASIDE_PREFIX = "aside/"
ANSWERED_MAX = 200


class Aside(msgspec.Struct, omit_defaults=True):
    """What came for a saga whose state record cannot be read, oldest first.

    `answered` are the commands that were refused, `told` is the cause that was told last, `attempt` how often one was.
    `end` is the end that came first.
    """

    parked: list[Fact] = msgspec.field(default_factory=list)
    answered: list[str] = msgspec.field(default_factory=list)
    told: str = ""
    attempt: int = 0
    size_bytes: int = 0
    end: End | None = None


class UnreadJournals:
    """Those of one lane. `causes` tells by saga id why each cannot be read."""

    def __init__(self, view: View, partition: int) -> None:
        self._view = view
        self._place = f"{state_topic(view.participant)} {partition}"
        self._item = f"{FLOW}/{view.participant}"
        self.causes: dict[str, str] = {}
        self._asides: dict[str, Aside] = {}
        self._changed: dict[str, None] = {}
        self._untold: dict[str, None] = {}

    def load(self, saga_id: str, value: bytes | None) -> None:
        """Take the state record of what was kept aside; what cannot be read of it is taken for nothing."""
        self._asides.pop(saga_id, None)
        try:
            if value is not None:
                self._asides[saga_id] = msgspec.msgpack.decode(value, type=Aside)
        except (msgspec.MsgspecError, ValueError) as error:
            told = {"participant": self._view.participant, "saga_id": saga_id, "error": str(error)}
            log.error("ledger.aside_unread", extra=told)

    def put(self, saga_id: str, error: str) -> None:
        """The state record of this saga cannot be read."""
        self.causes[saga_id] = changed(f"this build cannot read saga/{saga_id} in {self._place}: {error}")
        self._untold[saga_id] = None

    def is_readable_again(self, saga_id: str) -> bool:
        """Whether events wait for a saga whose state record can be read by now."""
        return saga_id in self._asides and saga_id not in self.causes

    def untold(self, most: int) -> list[str]:
        """At most so many of those that are to be told of."""
        found = list(islice(self._untold, most))
        for saga_id in found:
            del self._untold[saga_id]
        return found

    def tell(self, journal: Journal, at: float, again: bool = False) -> list[Utterance]:
        """What is told of the saga: each cause once, or `again`. The journal is an empty one."""
        saga_id = journal.saga_id
        aside, cause = self._aside(saga_id), self.causes[saga_id]
        if aside.told == cause and not again:
            return []
        aside.told, aside.attempt = cause, aside.attempt + 1
        return [held_by_flow(journal, self._view, FLOW, self._item, cause, aside.attempt, at)]

    def park(self, journal: Journal, fact: Fact, event: Message | None) -> tuple[list[Utterance], str]:
        """Keep an event; returns what is told, and why the event cannot be kept, or nothing.

        The journal is an empty one. `event` is the message in the fact, or None where it cannot be read.
        """
        saga_id = journal.saga_id
        aside = self._aside(saga_id)
        if any(one.id == fact.id for one in aside.parked):
            return [], ""
        if isinstance(event, ItemResumed | ItemSkipped) and event.item == self._item:
            if isinstance(event, ItemSkipped) and aside.end is not None:
                return self._give_up(journal, aside.end, fact.at), ""
            return self.tell(journal, fact.at, again=True), ""
        size_bytes = aside.size_bytes + bytes_once(fact)
        if len(aside.parked) >= ITEMS_MAX or size_bytes > JOURNAL_BYTES_MAX:
            return [], f"{len(aside.parked)} events wait for the saga already: {self.causes[saga_id]}"
        aside.size_bytes = size_bytes
        aside.parked.append(fact)
        is_end = fact.type in self._view.ends or (isinstance(event, StepFailed) and event.policy == "end")
        if not is_end or aside.end is not None:
            return [], ""
        aside.end = End(fact.type, fact.id, failing=fact.type not in self._view.completions)
        # The end clears what was told before it; what this participant did is not undone yet.
        return (self.tell(journal, fact.at, again=True) if aside.end.failing else []), ""

    def refuse(self, journal: Journal, command: Item) -> list[Utterance]:
        """Refuse a command of the saga, once. The journal is an empty one."""
        aside = self._aside(journal.saga_id)
        if command.message.id in aside.answered:
            return []
        aside.answered.append(command.message.id)
        del aside.answered[:-ANSWERED_MAX]
        return [command_refused(journal, command, self.causes[journal.saga_id])]

    def read_again(self, journal: Journal, at: float) -> list[Utterance]:
        """What is told of a saga whose state record can be read by now, or nothing."""
        aside = self._asides.get(journal.saga_id)
        if aside is None or not aside.told:
            return []
        return [resumed_by_flow(journal, self._view, FLOW, self._item, at)]

    def taken(self, saga_id: str) -> list[Fact]:
        """The events that were kept, for the journal that can be read again; they are kept no more."""
        aside = self._asides.pop(saga_id, None)
        if aside is None:
            return []
        self._changed[saga_id] = None
        return aside.parked

    def take(self) -> dict[str, bytes | None]:
        """The state records that have changed since the last time, by their keys."""
        changed_sagas, self._changed = self._changed, {}
        return {
            ASIDE_PREFIX + saga_id: msgspec.msgpack.encode(aside) if (aside := self._asides.get(saga_id)) else None
            for saga_id in changed_sagas
        }

    def _aside(self, saga_id: str) -> Aside:
        """What is kept aside of the saga; it is about to change."""
        self._changed[saga_id] = None
        return self._asides.setdefault(saga_id, Aside())

    def _give_up(self, journal: Journal, end: End, at: float) -> list[Utterance]:
        """A person answers for what this participant did: it stays as it is, and the journal becomes a closed one."""
        journal.end = end
        said = [settled(journal, self._view)] if end.failing else []
        journal.close(at)
        del self.causes[journal.saga_id]
        self.taken(journal.saga_id)
        return said
