"""PURE: the guard. A saga that this build cannot carry is held, visibly; all others are carried.

What is held, and why, stands in the journal, and so goes on with the first build that can carry it: when the lane
opens, each saga of another flow is looked at before anything of it is applied or started. The rules are those of
`flow_changes`; what they cannot foresee (an event to come that this build cannot read) is found when it is met.
"""

from collections.abc import Container, Iterator

import msgspec

from consumers.runtime.flow_changes import Change, is_readable
from consumers.runtime.flow_record import FLOW
from consumers.runtime.former_life import Ending
from consumers.runtime.hearing import drop, hear
from consumers.runtime.journal import Fact, Hold, Item, Journal
from consumers.runtime.quarantine import QUARANTINE
from consumers.runtime.stored_flows import StoredFlows
from consumers.runtime.unfit import changed, go_on, missing, obstacle, owner_of, stand
from consumers.runtime.utterances import BY_FLOW, Utterance, held_by_flow, resumed_by_flow
from consumers.runtime.view import View
from producers.identity import fact_id
from schemas.engine import ItemResumed, ItemSkipped
from schemas.message import PARTICIPANTS_MAX

SENTENCES_MAX = 3
# What is taken for the timeout of a step of which no record tells.
UNKNOWN_TIMEOUT_SECONDS = 3_600.0


class OpeningHead(msgspec.Struct):
    """What every opening has, whatever else its type requires."""

    participants: tuple[str, ...] = ()
    graph: str = ""


class Carrier:
    """Decides for the sagas of one lane. `stored` has the flows that they were carried with."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.stored = StoredFlows(view)
        self._carried: set[str] = set()
        self.item_id = f"{FLOW}/{view.participant}"

    def must_look_at(self, journal: Journal) -> bool:
        """Whether the journal, just loaded, was written by another build in a way that may concern it."""
        if journal.closed_at is not None:
            return False
        self._carried.add(journal.flow)
        if journal.hold is not None:
            return True
        if journal.flow == self._view.fingerprint:
            return any(item.held_from is not None for item in journal.items.values())
        if any(item.held_from is not None or self._is_missing(item) for item in journal.items.values()):
            return True
        comparison = self.stored.comparison(journal.flow)
        return comparison is not None and bool(comparison.hindering(journal))

    def loaded(self, all_are_read: bool) -> None:
        """All journals are loaded; where one is unread, it is not known with which flow it was carried."""
        self.stored.loaded(self._carried if all_are_read else None)
        self._carried = set()

    def carry(self, journal: Journal, ending: Ending, at: float) -> list[Utterance]:
        """Hold what this build cannot carry of the saga, and let go on what it can again; returns what is told."""
        said: list[Utterance] = []
        for item in list(journal.items.values()):
            if item.held_from is not None:
                said += self._release(journal, item, at)
            elif item.undoes and item.state != "stuck":
                said += self._renew(journal, item, at)
            elif self._is_missing(item) and item.state != "joining":
                self._note_effect(journal, item, ending, at)
                if not journal.is_failing:
                    said += stand(journal, self._view, item, missing(journal, self._view, item), at)
        return said + self._carry_saga(journal, at)

    def named_as_before(self, journal: Journal, known: Container[str]) -> list[Item]:
        """All items. Those not known before that the former life may have started have the names that it gave them.

        The name is part of the key that an attempt hands to the outside world.
        """
        names = self.stored.former_names
        for item in list(journal.items.values()) if names else ():
            name = names.get(item.step)
            if name is not None and item.id not in known and not item.undoes:
                del journal.items[item.id]
                former, item.id, item.step = item.id, f"{name}/{item.id.partition('/')[2]}", name
                journal.items[item.id] = item
                journal.seen = [item.id if one == former else one for one in journal.seen]
        return list(journal.items.values())

    def freed(self, journal: Journal, fact: Fact, named: ItemResumed | ItemSkipped) -> list[Utterance]:
        """An operator wants the held saga to be looked at again, or to be carried with the flow as it is now."""
        at, view = fact.at, self._view
        if named.participant != view.participant or named.item != self.item_id or journal.hold is None:
            return []
        if fact.source == view.participant and fact.causation.startswith(BY_FLOW):
            # It has gone on by itself, and is held for another reason by now.
            return []
        if isinstance(named, ItemSkipped):
            for item in [item for item in journal.items.values() if self._is_unfit(journal, item)]:
                # What it may have done is undone should the saga fail.
                self._note_effect(journal, item, "clean", at)
                drop(journal, view, item)
            return self._let_go(journal, at, told=False)
        hold = journal.hold
        said = self._carry_saga(journal, at)
        if journal.hold is hold:
            # It stands still as before, and that is the answer.
            said = [self.hold(journal, hold.cause, at)]
        return said

    def park(self, journal: Journal, fact: Fact, reason: str) -> list[Utterance]:
        """Hold the saga for an event that this build cannot read; it is applied by a build that can."""
        if fact.id in journal.awaiting:
            journal.awaiting.remove(fact.id)
        cause = changed(f"{fact.type} cannot be read: {reason.removeprefix(f'the value is no {fact.type}: ')}")
        said = [] if journal.hold is not None else [self.hold(journal, cause, fact.at)]
        journal.park(fact)
        return said

    def concerns(self, journal: Journal, fact: Fact) -> bool:
        """Whether a participant of the saga has said this event, which this build cannot read, and it is needed here.

        What others write among the events holds no saga. The saga is open after its opening.
        """
        view = self._view
        if fact.type in self.stored.also_heard:
            # It can be read, and only the flow that the saga is held with has a step for it.
            return journal.hold is not None and self._was_heard(journal, fact)
        if not self.is_of_flow(journal.saga_id, fact, journal.participants):
            return False
        if fact.type in view.openings and not journal.participants and journal.closed_at is None:
            return self._begin(journal, fact)
        if not journal.participants:
            return False
        return fact.type in view.of_interest or fact.id in journal.awaiting or self._was_heard(journal, fact)

    def _was_heard(self, journal: Journal, fact: Fact) -> bool:
        """Whether the flow that the saga was last carried with does something with events of this type."""
        then = self.stored.flow(journal.flow)
        return then is not None and (fact.type in then.messages or fact.type in then.ends or fact.type in then.kept)

    def is_of_flow(self, saga_id: str, fact: Fact, participants: tuple[str, ...] = ()) -> bool:
        """Whether it bears the name and the id that a participant gives to what it says."""
        if fact.source not in participants and fact.source not in self._view.graph.participants:
            return False
        return fact.id == fact_id(saga_id, fact.type, fact.source, fact.causation)

    def apply(self, journal: Journal, fact: Fact) -> list[Utterance]:
        """Apply an event that was kept aside while the journal could not be read."""
        kinds = self._view.graph.schema.messages
        if is_readable(fact, kinds):
            return hear(journal, self._view, fact, kinds[fact.type].model_validate_json(fact.body))
        return self.park(journal, fact, "its type has changed") if self.concerns(journal, fact) else []

    def _begin(self, journal: Journal, fact: Fact) -> bool:
        """Note what an opening says of itself, whatever else it has; whether this participant takes part."""
        try:
            head = msgspec.json.decode(fact.body, type=OpeningHead)
        except (msgspec.MsgspecError, ValueError):
            return False
        if self._view.participant not in head.participants or len(head.participants) > PARTICIPANTS_MAX:
            return False
        journal.participants, journal.graph = head.participants, head.graph
        return True

    def _carry_saga(self, journal: Journal, at: float) -> list[Utterance]:
        if journal.end is not None:
            # The end has given up what was held; what cannot be undone stands stuck when its turn comes.
            journal.hold = None
            return []
        sentences = [change.sentence for change in self._hindering(journal)]
        # The legs to come of such a join are heard by none of this build's steps.
        joining = [item for item in journal.items.values() if item.state == "joining" and self._is_missing(item)]
        sentences += [missing(journal, self._view, item) for item in joining]
        sentences += self._unreadable(journal.hold.parked if journal.hold is not None else ())
        if not sentences:
            return self._let_go(journal, at) if journal.hold is not None else []
        cause = changed("; ".join(sentences[:SENTENCES_MAX]))
        if journal.hold is not None and journal.hold.cause == cause:
            return []
        return [self.hold(journal, cause, at)]

    def _hindering(self, journal: Journal) -> Iterator[Change]:
        comparison = self.stored.comparison(journal.flow)
        if comparison is not None:
            yield from (change for change in comparison.hindering(journal) if change.holds == "saga")

    def _unreadable(self, parked: tuple[Fact, ...]) -> list[str]:
        kinds = self._view.graph.schema.messages
        return [f"{fact.type} cannot be read" for fact in parked if not is_readable(fact, kinds)]

    def hold(self, journal: Journal, cause: str, at: float) -> Utterance:
        """Hold the saga as a whole for this cause; returns what is told of it."""
        former = journal.hold
        attempt = former.attempt + 1 if former is not None else 1
        journal.hold = Hold(cause, former.parked if former is not None else (), attempt)
        return held_by_flow(journal, self._view, FLOW, self.item_id, cause, attempt, at)

    def _let_go(self, journal: Journal, at: float, told: bool = True) -> list[Utterance]:
        """Apply what was parked, in order."""
        assert journal.hold is not None
        parked, journal.hold = journal.hold.parked, None
        said = [resumed_by_flow(journal, self._view, FLOW, self.item_id, at)] if told else []
        kinds = self._view.graph.schema.messages
        for fact in parked:
            if not is_readable(fact, kinds):
                continue
            if fact.type in self._view.openings:
                # It has been noted, and has started nothing yet.
                journal.participants = ()
            said += hear(journal, self._view, fact, kinds[fact.type].model_validate_json(fact.body))
        return said

    def _release(self, journal: Journal, item: Item, at: float) -> list[Utterance]:
        if sentence := obstacle(journal, self._view, item):
            return stand(journal, self._view, item, sentence, at)
        if item.undoes:
            # Settling makes another one, by the name that its compensation has now.
            del journal.items[item.id]
        else:
            go_on(item)
        return [resumed_by_flow(journal, self._view, item.step, item.id, at)]

    def _renew(self, journal: Journal, item: Item, at: float) -> list[Utterance]:
        """See to a compensation that has not begun, or is tried again."""
        if sentence := obstacle(journal, self._view, item):
            return stand(journal, self._view, item, sentence, at)
        if owner_of(self._view, item) is None:
            del journal.items[item.id]
        return []

    def _is_missing(self, item: Item) -> bool:
        """Whether this build lacks the step of an item that does not stand still yet."""
        if item.command or item.state in ("held", "stuck") or item.step == QUARANTINE:
            return False
        return owner_of(self._view, item) is None

    def _is_unfit(self, journal: Journal, item: Item) -> bool:
        if item.command or item.undoes or item.state == "running" or item.step == QUARANTINE:
            return False
        return bool(obstacle(journal, self._view, item))

    def _note_effect(self, journal: Journal, item: Item, ending: Ending, at: float) -> None:
        """Have the item tell that it may have an effect to undo, as this build does not know its step."""
        if item.state == "joining" or item.held_from == "joining":
            return
        then = self.stored.flow(journal.flow)
        step = then.step_called(item.step) if then is not None else None
        if step is not None and step.undo is None:
            return
        has_begun = item.started_at is not None or item.attempt > 1 or item.unknown_until > 0
        if has_begun or ending != "clean":
            seconds = 0.0 if ending == "clean" else step.timeout_seconds if step else UNKNOWN_TIMEOUT_SECONDS
            item.unknown_until = max(item.unknown_until, at + seconds)
