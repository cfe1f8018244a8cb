"""PURE: the part of a flow and its schema that one participant acts on, as its lanes store it beside their open sagas.

A lane writes the record of its build to its state topic, under `flow/<fingerprint>`, in its first transaction. Each
journal names in `flow` the fingerprint of the record that it was last carried with. A later build compares that record
with its own (`flow_changes`). The lane removes a record at an opening at which no open journal names it.
"""

from hashlib import blake2b

import msgspec

from consumers.runtime.field_types import FieldRecord, fields_of
from consumers.runtime.graph import Graph, Step, Undo
from schemas.message import Command, Completion, FailingEnd

FLOW_PREFIX = "flow/"
# The fingerprint of the flow of the life that wrote last.
LAST_FLOW_KEY = "last-flow"
# Told as the step of a saga that a changed flow holds as a whole in a participant.
FLOW = "flow"
FLOW_RECORD_VERSION = 1


class FlowUnreadable(ValueError):
    """The record is none that this build can read."""


class UndoRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A compensation: the event that it undoes, and the names that it has had."""

    name: str
    fact: str
    formerly: tuple[str, ...] = ()


class StepRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step. `legs` has what starts it: one leg, or for a join one for each event that it waits for.

    `recalls` has the alternatives of each earlier event that it cannot do without.
    """

    name: str
    legs: tuple[tuple[str, ...], ...]
    recalls: tuple[tuple[str, ...], ...] = ()
    join_deadline_seconds: float | None = None
    timeout_seconds: float = 0.0
    undo: UndoRecord | None = None
    formerly: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """All names under which an item may know the step."""
        return frozenset((self.name, *self.formerly))

    @property
    def heard(self) -> frozenset[str]:
        """The wire types that it hears."""
        return frozenset(kind for leg in self.legs for kind in leg)


class MessageRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The fields of a message type; `is_strict` if a field that it does not have is an error in it."""

    fields: tuple[FieldRecord, ...]
    is_strict: bool = False


class FlowRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one participant's sagas were carried with.

    `messages` are the types that its steps and compensations are called with, and for the door also what it says.
    `kept` are those of which a journal keeps the event, `ends` those that end a saga. Of each event of the whole flow
    `said` has the participants that say it, and `causes` the types that may lead them to it.
    """

    saga: str
    participant: str
    participants: tuple[str, ...]
    is_door: bool
    steps: tuple[StepRecord, ...]
    messages: dict[str, MessageRecord]
    kept: tuple[str, ...]
    said: dict[str, tuple[str, ...]]
    causes: dict[str, tuple[str, ...]]
    ends: tuple[str, ...] = ()
    version: int = 0

    def step_called(self, name: str) -> StepRecord | None:
        """The step that has or has had this name, or None."""
        exact = next((step for step in self.steps if step.name == name), None)
        return exact or next((step for step in self.steps if name in step.formerly), None)


def record_of(graph: Graph, participant: str) -> FlowRecord:
    """The participant's part of the graph."""
    steps = graph.steps_of(participant).values()
    records = tuple(sorted((_step(step) for step in steps), key=lambda step: step.name))
    signatures = [step.signature for step in steps] + [step.undo.signature for step in steps if step.undo]
    types = {kind for signature in signatures for recall in signature.recalls for kind in recall.types}
    types |= {kind for record in records for kind in record.heard}
    types |= {record.undo.fact for record in records if record.undo is not None}
    if participant == graph.door:
        # It goes on only once it has read its own events.
        types |= {kind for step in steps for kind in step.says}
    own = {kind: graph.schema.messages[kind] for kind in types if kind in graph.schema.messages}
    return FlowRecord(
        saga=graph.saga,
        participant=participant,
        participants=graph.participants,
        is_door=participant == graph.door,
        steps=records,
        messages={
            wire_type: MessageRecord(fields_of(kind), issubclass(kind, Command))
            for wire_type, kind in sorted(own.items())
        },
        kept=tuple(sorted(graph.kept_by(participant))),
        said={
            wire_type: tuple(sorted({step.participant for step in sayers}))
            for wire_type, sayers in sorted(graph.sayers.items())
        },
        causes={
            wire_type: tuple(sorted({kind for step in sayers for leg in step.legs for kind in leg}))
            for wire_type, sayers in sorted(graph.sayers.items())
        },
        ends=tuple(sorted(kind for kind in graph.schema.events() if graph.is_a(kind, Completion | FailingEnd))),
        version=FLOW_RECORD_VERSION,
    )


def _step(step: Step) -> StepRecord:
    return StepRecord(
        name=step.name,
        legs=tuple(tuple(sorted(leg)) for leg in step.legs),
        recalls=tuple(sorted(tuple(sorted(one.types)) for one in step.signature.recalls if not one.optional)),
        join_deadline_seconds=step.join_deadline_seconds,
        timeout_seconds=step.timeout_seconds,
        undo=None if step.undo is None else _undo(step.undo),
        formerly=tuple(sorted(step.formerly)),
    )


def _undo(undo: Undo) -> UndoRecord:
    return UndoRecord(undo.name, undo.fact, tuple(sorted(undo.formerly)))


def fingerprint_of(record: FlowRecord) -> str:
    """A short hash of the record: builds that act alike have the same one."""
    return blake2b(encoded_flow(record), digest_size=8).hexdigest()


def encoded_flow(record: FlowRecord) -> bytes:
    """The record as it stands in the state topic; the same bytes for the same record."""
    return msgspec.msgpack.encode(record)


def decoded_flow(value: bytes) -> FlowRecord:
    """The record in these bytes. Raises `FlowUnreadable` where this build cannot read it."""
    try:
        record = msgspec.msgpack.decode(value, type=FlowRecord)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FlowUnreadable(f"the stored flow cannot be decoded: {error}") from error
    if not 0 < record.version <= FLOW_RECORD_VERSION:
        words = f"the stored flow has version {record.version}, this build reads up to {FLOW_RECORD_VERSION}"
        raise FlowUnreadable(words)
    return record
