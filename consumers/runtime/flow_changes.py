"""PURE: what has changed between the flow that a saga was last carried with and this build's, and which sagas it stops.

The rules, for one participant. "Not begun" is a step that has no item of the saga yet.

| rule | change | a saga in flight |
|---|---|---|
| `step` | a step is gone: removed, moved, or renamed without `formerly` | its unfinished items are held |
| `legs` | a join lost or retyped a leg, or has one more | held if the join has begun; else held if the new leg's |
| | | event may have passed, or may not come |
| `trigger` | a step is started by other events | held if an unfinished item was started by the former one; |
| | | if not begun, held if the new event may have passed, or may not come |
| `recall` | a step cannot do without one more event | its item is held if the journal lacks the event |
| `speaker` | an event is said by new participants only | held if the step that hears it has not begun, |
| | | and the saga began without those participants |
| `field` | a field is required now, has another type, or is gone | held if a stored message can be read no more |
| | from a command | |
| `type` | a message type is gone | held if an unfinished item or an outcome to undo has one |
| `undo` | a step has no compensation any more | goes on; if it fails, the compensation stands stuck |
| `undone` | the compensation undoes another event | held if the former event is to be undone |
| `participant` | a participant is gone, or was renamed | held at the door; after a failing end see `gone` |

What is held goes on by itself with a build in which the change is gone, or answered by `formerly`.

Carried as they are: a new step, undo, participant or optional field; an alternative added to a leg or a trigger; legs
in another order; a renamed step with `formerly`; a renamed undo; a renamed field that is still read by its former name;
other retries, timeouts, deadlines and policies; a new optional recall; a field that is gone from an event. A saga that
has passed the place of a new step does not run it.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from consumers.runtime.field_types import ANY, FieldRecord
from consumers.runtime.flow_record import FlowRecord, MessageRecord, StepRecord
from consumers.runtime.journal import Fact, Item, Journal
from schemas.message import Message

Rule = Literal["step", "legs", "trigger", "recall", "speaker", "field", "type", "undo", "undone", "participant"]
# "saga": all of it in this participant. "item": the one item. "undo": nothing, until it must be undone.
Holds = Literal["saga", "item", "undo"]
HOLDS: dict[Rule, Holds] = {"step": "item", "recall": "item", "undo": "undo"}

Legs = tuple[tuple[str, ...], ...]


class Change(msgspec.Struct, frozen=True):
    """One difference between two flows; `sentence` tells it to a person.

    `step` is the step's name in the former flow, `names` all it has and has had. `lost` and `gained` are the legs that
    do not stand in the other flow.
    """

    rule: Rule
    sentence: str
    step: str = ""
    type: str = ""
    names: frozenset[str] = frozenset()
    lost: Legs = ()
    gained: Legs = ()

    @property
    def holds(self) -> Holds:
        """What of a saga that it concerns is held."""
        return HOLDS.get(self.rule, "saga")


class Comparison:
    """The changes from a stored flow to this build's, made once for all sagas; `kinds` are this build's messages."""

    def __init__(self, then: FlowRecord, now: FlowRecord, kinds: Mapping[str, type[Message]]) -> None:
        self._then, self._now, self._kinds = then, now, kinds
        self.changes = differences(then, now)

    def hindering(self, journal: Journal) -> list[Change]:
        """The changes that concern this saga, in the order of the rules."""
        if journal.closed_at is not None:
            return []
        return [change for change in self.changes if self._concerns(change, journal)]

    def _concerns(self, change: Change, journal: Journal) -> bool:
        if journal.is_failing:
            return self._concerns_undoing(change, journal)
        items = [item for item in journal.items.values() if item.step in change.names and not item.undoes]
        match change.rule:
            case "step":
                return bool(items)
            case "legs":
                return bool(items) or self._has_missed(change, journal)
            case "trigger":
                lost = {kind for leg in change.lost for kind in leg}
                return any(item.message.type in lost for item in items) or self._has_missed(change, journal)
            case "recall":
                return bool(items) and journal.facts.keys().isdisjoint(change.gained[0])
            case "speaker":
                return not _has_begun(change, journal) and self._cannot_come(change.type, journal)
            case "participant":
                return change.step in journal.participants and change.step not in journal.settled
        return self._concerns_undoing(change, journal)

    def _concerns_undoing(self, change: Change, journal: Journal) -> bool:
        match change.rule:
            case "field" | "type":
                stored = (fact for fact in _stored(journal) if fact.type == change.type)
                return any(not is_readable(fact, self._kinds) for fact in stored)
            case "undo":
                return any(done.step in change.names for done in journal.done)
            case "undone":
                facts = [done.fact for done in journal.done if done.step in change.names]
                return any(fact is not None and fact.type == change.type for fact in facts)
        return False

    def _has_missed(self, change: Change, journal: Journal) -> bool:
        """Whether the step has not begun, and what it newly waits for may have passed, or cannot come."""
        if _has_begun(change, journal):
            return False
        return any(
            any(self._may_have_passed(kind, journal) for kind in leg)
            or not any(self._will_come(kind, journal) for kind in leg)
            for leg in change.gained
        )

    def _may_have_passed(self, wire_type: str, journal: Journal) -> bool:
        if wire_type in self._then.kept:
            return wire_type in journal.facts
        return wire_type in self._then.said

    def _will_come(self, wire_type: str, journal: Journal, within: frozenset[str] = frozenset()) -> bool:
        """Whether an event that has not passed comes if the saga goes on: what leads to it has not passed either."""
        if wire_type not in self._now.said:
            # No step says a command.
            return wire_type in self._kinds
        if self._cannot_come(wire_type, journal) or wire_type in within:
            return False
        if wire_type in self._then.said:
            return True
        causes = self._now.causes.get(wire_type, ())
        return any(
            not self._may_have_passed(cause, journal) and self._will_come(cause, journal, within | {wire_type})
            for cause in causes
        )

    def _cannot_come(self, wire_type: str, journal: Journal) -> bool:
        sayers = self._now.said.get(wire_type)
        return sayers is not None and not set(sayers) & set(journal.participants)


def differences(then: FlowRecord, now: FlowRecord) -> list[Change]:
    """All changes that can stop a saga which was last carried with `then`."""
    found: list[Change] = []
    for step in then.steps:
        successor = now.step_called(step.name)
        if successor is None:
            found.append(_step_gone(step, now))
        else:
            found += _of_step(step, successor, then, now)
    for wire_type, message in then.messages.items():
        found += _of_type(wire_type, message, now)
    found += [
        Change("participant", f"no participant is called {name}, and sagas that have it need it to the end", step=name)
        for name in then.participants
        if then.is_door and name not in now.participants
    ]
    return found


def _step_gone(step: StepRecord, now: FlowRecord) -> Change:
    sentence = f"no step of {now.participant} is called {step.name}"
    return Change("step", sentence, step.name, names=step.names)


def _of_step(then_step: StepRecord, now_step: StepRecord, then: FlowRecord, now: FlowRecord) -> Iterator[Change]:
    name, names = then_step.name, then_step.names | now_step.names
    lost, gained = _unmatched(then_step.legs, now_step.legs)
    was_join, is_join = (one.join_deadline_seconds is not None for one in (then_step, now_step))
    if was_join or is_join:
        if lost or gained or was_join != is_join:
            sentence = f"{name} waits for {_words(now_step.legs)}, and no longer for {_words(then_step.legs)}"
            yield Change("legs", sentence, name, names=names, lost=lost, gained=gained)
    elif lost:
        gone = sorted(then_step.heard - now_step.heard)
        sentence = f"{name} is started by {_words(now_step.legs)}, and no longer by {' or '.join(gone)}"
        new = tuple(sorted(now_step.heard - then_step.heard))
        yield Change("trigger", sentence, name, names=names, lost=(tuple(gone),), gained=(new,) if new else ())
    for recall in now_step.recalls:
        if not set(recall) & set(then.kept):
            sentence = f"{name} recalls {' or '.join(recall)}, which was not kept for sagas that began before"
            yield Change("recall", sentence, name, names=names, gained=(recall,))
    for heard in sorted(now_step.heard & then.said.keys() & now.said.keys()):
        if not set(now.said[heard]) & set(then.participants):
            sentence = f"{heard} is said by {' or '.join(now.said[heard])} alone, which older sagas do not have"
            yield Change("speaker", sentence, name, heard, names)
    yield from _of_undo(then_step, now_step, names)


def _of_undo(then_step: StepRecord, now_step: StepRecord, names: frozenset[str]) -> Iterator[Change]:
    then, now = then_step.undo, now_step.undo
    if then is None:
        return
    if now is None:
        yield Change("undo", f"no compensation of {then_step.name} is deployed", then_step.name, names=names)
        return
    if then.fact != now.fact:
        sentence = f"{now.name} undoes {now.fact}, and no longer {then.fact}"
        yield Change("undone", sentence, then_step.name, then.fact, names)


def _of_type(wire_type: str, then: MessageRecord, now: FlowRecord) -> Iterator[Change]:
    message = now.messages.get(wire_type)
    if message is None:
        if wire_type not in now.said:
            yield Change("type", f"{wire_type} is no longer a message of {now.saga}", type=wire_type)
        return
    read: set[str] = set()
    for field in message.fields:
        former = next((one for one in then.fields if one.name in field.read_as), None)
        read |= {former.name} if former is not None else set()
        flaw = _field_flaw(former, field)
        if flaw:
            yield Change("field", f"{wire_type} {flaw}", type=wire_type)
    if message.is_strict:
        for gone in [field.name for field in then.fields if field.name not in read]:
            yield Change("field", f"{wire_type} has no field {gone} any more", type=wire_type)


def _field_flaw(then: FieldRecord | None, now: FieldRecord) -> str:
    if then is None:
        return f"has a new required field {now.name}" if now.required else ""
    if now.required and not then.required:
        return f"requires its field {now.name} now"
    missing = [one for one in then.takes if not _is_taken(one, now.takes)]
    if missing and ANY not in (then.takes, now.takes):
        return f"takes {' or '.join(now.takes)} as {now.name}, and no longer {' or '.join(missing)}"
    return ""


def _is_taken(one: str, takes: tuple[str, ...]) -> bool:
    return one in takes or (one == "integer" and "number" in takes) or (one.startswith('"') and "string" in takes)


def _unmatched(then: Legs, now: Legs) -> tuple[Legs, Legs]:
    """The former legs that no leg takes over with all alternatives, and the legs that take over none."""
    left = list(now)
    lost: list[tuple[str, ...]] = []
    # The leg with the fewest alternatives first, or it could be left with none that takes it.
    for leg in sorted(then, key=len):
        heir = min((one for one in left if set(leg) <= set(one)), key=len, default=None)
        if heir is None:
            lost.append(leg)
        else:
            left.remove(heir)
    return tuple(lost), tuple(left)


def _words(legs: Legs) -> str:
    return " and ".join(" or ".join(leg) for leg in legs)


def _has_begun(change: Change, journal: Journal) -> bool:
    return any(item_id.partition("/")[0] in change.names for item_id in journal.seen)


def _stored(journal: Journal) -> Iterator[Fact]:
    """What a step or compensation of the saga may still be called with."""
    yield from (done.fact for done in journal.done if done.fact is not None)
    if journal.is_failing:
        return
    yield from journal.facts.values()
    for item in journal.items.values():
        if not item.undoes:
            yield from messages_of(item)


def messages_of(item: Item) -> Iterator[Fact]:
    """What the item's step is called with."""
    yield from (item.legs.values() if item.legs else (item.message,))


def is_readable(fact: Fact, kinds: Mapping[str, type[Message]]) -> bool:
    """Whether this build can read the message."""
    kind = kinds.get(fact.type)
    if kind is None:
        return False
    try:
        kind.__pydantic_validator__.validate_json(fact.body)
    except (ValueError, RecursionError):
        return False
    return True
