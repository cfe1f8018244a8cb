"""PURE: what a build could not carry of the sagas of one participant's partition, read from its state records.

It asks the same questions as the guard (`carrying`) does when a lane opens, and changes nothing.
"""

from typing import NamedTuple

from consumers.runtime.flow_changes import Comparison, is_readable
from consumers.runtime.flow_record import FLOW_PREFIX
from consumers.runtime.gone import is_gone
from consumers.runtime.journal import Item, Journal, JournalUnreadable, decoded
from consumers.runtime.quarantine import QUARANTINE
from consumers.runtime.stored_flows import StoredFlows
from consumers.runtime.transport import JOURNAL_PREFIX
from consumers.runtime.unfit import obstacle
from consumers.runtime.view import View

# A journal that comes before the flow that it names waits for it. Of a flow that was never stored there may be many.
WAITING_BYTES_MAX = 64 * 1024 * 1024
CAUSE_CHARACTERS_MAX = 200


class Difference(NamedTuple):
    """One thing that this build cannot carry; `follows` says what becomes of a saga that it concerns."""

    participant: str
    rule: str
    sentence: str
    follows: str


FOLLOWS = {
    "saga": "is held",
    "item": "is held at that step",
    "undo": "goes on, and stands stuck if it fails",
    "gone": "stands stuck until it is answered for",
}


class InFlight:
    """One partition. Hand it the state records in order, then call `end`.

    `sagas` has the differences that concern each open saga, by its id. `unknown` are those that were carried with a
    flow of which no record is kept: they are compared by the names of their steps, and by what their journals hold.
    """

    def __init__(self, view: View) -> None:
        self._view, self._stored = view, StoredFlows(view)
        self._waiting: dict[str, bytes] = {}
        self._waiting_bytes = 0
        self._known: dict[tuple[Difference, ...], tuple[Difference, ...]] = {}
        self.sagas: dict[str, tuple[Difference, ...]] = {}
        self.unknown: set[str] = set()

    def take(self, key: str, value: bytes | None) -> None:
        """Take one state record; it replaces the one before of the same key."""
        if key.startswith(FLOW_PREFIX):
            self._stored.load(key.removeprefix(FLOW_PREFIX), value)
        elif key.startswith(JOURNAL_PREFIX):
            self._take_journal(key.removeprefix(JOURNAL_PREFIX), value)

    def end(self) -> None:
        """All records are taken."""
        for saga_id, value in self._waiting.items():
            self._note(saga_id, decoded(value))
        self._waiting = {}

    def _take_journal(self, saga_id: str, value: bytes | None) -> None:
        self._forget(saga_id)
        if value is None:
            return
        try:
            journal = decoded(value)
        except JournalUnreadable as error:
            sentence = f"its state record cannot be decoded: {error}"[:CAUSE_CHARACTERS_MAX]
            self._keep(saga_id, [self._difference("record", sentence, "saga")])
            return
        if not journal.is_open:
            return
        is_early = journal.flow not in ("", self._view.fingerprint) and journal.flow not in self._stored
        if is_early and self._waiting_bytes + len(value) <= WAITING_BYTES_MAX:
            self._waiting[saga_id] = value
            self._waiting_bytes += len(value)
        else:
            self._note(saga_id, journal)

    def _forget(self, saga_id: str) -> None:
        self.sagas.pop(saga_id, None)
        self.unknown.discard(saga_id)
        self._waiting_bytes -= len(self._waiting.pop(saga_id, b""))

    def _note(self, saga_id: str, journal: Journal) -> None:
        is_ours = journal.flow == self._view.fingerprint
        comparison = self._stored.comparison(journal.flow) if journal.flow in self._stored else None
        if not is_ours and comparison is None:
            self.unknown.add(saga_id)
        is_carried = is_ours and not journal.is_held_by_flow()
        self._keep(saga_id, [] if is_carried else self._differences(journal, comparison))

    def _keep(self, saga_id: str, found: list[Difference]) -> None:
        # Most sagas have none, and many have the same.
        one_of_each = tuple(dict.fromkeys(found))
        self.sagas[saga_id] = self._known.setdefault(one_of_each, one_of_each)

    def _differences(self, journal: Journal, comparison: Comparison | None) -> list[Difference]:
        found: dict[str, Difference] = {}
        for change in comparison.hindering(journal) if comparison is not None else ():
            holds: str = "gone" if change.rule == "participant" and journal.is_failing else change.holds
            found[change.sentence] = self._difference(change.rule, change.sentence, holds)
        if any(one.follows == FOLLOWS["saga"] for one in found.values()):
            # The saga is held as a whole, and what of its items is concerned follows from the same change.
            return list(found.values())
        for rule, sentence, holds in self._by_its_journal(journal):
            found.setdefault(sentence, self._difference(rule, sentence, holds))
        return list(found.values())

    def _by_its_journal(self, journal: Journal) -> list[tuple[str, str, str]]:
        """What the journal alone tells, whatever flow it was carried with."""
        view = self._view
        own = [item for item in journal.items.values() if not item.command and item.step != QUARANTINE]
        # A failing end gives up what is to go forward; what that may have done is to be undone.
        carried = [item for item in own if item.undoes or not journal.is_failing]
        found = [
            ("step", sentence, "undo" if item.undoes else "item")
            for item in carried
            if (sentence := obstacle(journal, view, item))
        ]
        given_up = [item.step for item in own if item not in carried and self._may_have_undo(journal, item)]
        for name in [*(done.step for done in journal.done), *given_up]:
            step = view.steps.get(name)
            if step is None or step.undo is None:
                found.append(("undo", f"no compensation of {name} is deployed", "undo"))
        kinds = view.graph.schema.messages
        parked = journal.hold.parked if journal.hold is not None else ()
        found += [("type", f"{fact.type} cannot be read", "saga") for fact in parked if not is_readable(fact, kinds)]
        if view.is_door:
            holds = "gone" if journal.is_failing else "saga"
            gone = [name for name in journal.participants if name not in journal.settled and is_gone(view, name)]
            found += [("participant", f"no participant is called {name}", holds) for name in gone]
        return found

    def _may_have_undo(self, journal: Journal, item: Item) -> bool:
        """Whether the step of the item had a compensation, or may have had one."""
        if journal.flow == self._view.fingerprint:
            return False
        then = self._stored.flow(journal.flow)
        step = then.step_called(item.step) if then is not None else None
        return step is None or step.undo is not None

    def _difference(self, rule: str, sentence: str, holds: str) -> Difference:
        return Difference(self._view.participant, rule, sentence, FOLLOWS[holds])
