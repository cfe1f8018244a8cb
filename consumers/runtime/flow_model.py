"""PURE: one saga's choreography as data: its steps, its compensations, and who hears and says what."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from types import UnionType

from consumers.runtime.executions import Executions
from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.signatures import Signature
from consumers.runtime.steps import Flow, ReadOnly, Retry, StepFunction
from schemas.engine import EngineEvent, Policy
from schemas.message import Message, Opening
from schemas.topics import SagaSchema


@dataclass(frozen=True)
class Undo:
    """How one fact is taken back; `waits_for` are the participants that must have settled before."""

    name: str
    participant: str
    fact: str
    function: StepFunction
    signature: Signature
    retry: Retry
    timeout_seconds: float
    waits_for: frozenset[str] = frozenset()
    formerly: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One step: what it waits for (`legs`: one event of each), and what follows.

    `forward_only`: it can fail once a pivot may have begun, so it is held and never ends the saga. `until`: once one of
    these events stands, the step can end the saga no more; `marked_until` are those that the author has named.
    """

    name: str
    participant: str
    function: StepFunction
    signature: Signature
    legs: tuple[tuple[str, ...], ...]
    retry: Retry
    timeout_seconds: float
    policy: Policy
    pivot: bool
    join_deadline_seconds: float | None
    hears_commands: bool
    undo: Undo | None = None
    formerly: tuple[str, ...] = ()
    until: frozenset[str] = frozenset()
    marked_until: frozenset[str] = frozenset()
    forward_only: bool = False
    repeatable: bool = False

    @property
    def says(self) -> tuple[str, ...]:
        """The wire types of the saga's own events that this step may say."""
        return tuple(kind.wire_type for kind in self.signature.says if not issubclass(kind, EngineEvent))

    @property
    def answers(self) -> tuple[str, ...]:
        """The wire types of the questions that this step answers when it hears a command."""
        if not self.hears_commands:
            return ()
        return tuple(kind.answers.wire_type for kind in self.signature.says if kind.answers is not None)

    @property
    def opens(self) -> bool:
        """Whether this is the step that opens the saga."""
        return any(issubclass(kind, Opening) for kind in self.signature.says)

    @property
    def has_effect(self) -> bool:
        """Whether it touches the world: it is handed a port that is not read-only."""
        return any(ReadOnly not in port.__mro__ for _, port in self.signature.ports)


@dataclass(frozen=True)
class Graph:
    """The whole flow of one saga kind; `flaws` are the mistakes in the marks and signatures that it was made from."""

    saga: str
    schema: SagaSchema
    participants: tuple[str, ...]
    door: str
    steps: dict[str, Step]
    flow: Flow | None = None
    flaws: tuple[Mistake, ...] = ()

    @cached_property
    def hearers(self) -> dict[str, tuple[Step, ...]]:
        """The steps that hear a wire type, in the order of the story."""
        found: dict[str, list[Step]] = {}
        for step in self.steps.values():
            for wire_type in dict.fromkeys(kind for leg in step.legs for kind in leg):
                found.setdefault(wire_type, []).append(step)
        return {wire_type: tuple(steps) for wire_type, steps in found.items()}

    @cached_property
    def sayers(self) -> dict[str, tuple[Step, ...]]:
        """The steps that may say a wire type."""
        found: dict[str, list[Step]] = {}
        for step in self.steps.values():
            for wire_type in step.says:
                found.setdefault(wire_type, []).append(step)
        return {wire_type: tuple(steps) for wire_type, steps in found.items()}

    @cached_property
    def undos(self) -> dict[str, Undo]:
        """Every compensation, by its name."""
        return {step.undo.name: step.undo for step in self.steps.values() if step.undo}

    @cached_property
    def executions(self) -> Executions:
        """Which events can stand together in one saga."""
        return Executions(self)

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of everything that decides who does what: it changes when the flow does."""
        lines = sorted(
            f"{step.participant} {step.name} {step.legs} {step.says} {step.undo.name if step.undo else ''}"
            for step in self.steps.values()
        )
        return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()

    def steps_of(self, participant: str) -> dict[str, Step]:
        """The steps one participant owns, by name."""
        return {name: step for name, step in self.steps.items() if step.participant == participant}

    def step_called(self, participant: str, name: str) -> Step | None:
        """The participant's step of this name, or the one that has had it; None where there is none."""
        owned = self.steps_of(participant)
        return owned.get(name) or next((step for step in owned.values() if name in step.formerly), None)

    def kept_by(self, participant: str) -> frozenset[str]:
        """The wire types of which this participant must remember the body: what its steps and undos recall."""
        kept: set[str] = set()
        for step in self.steps_of(participant).values():
            signatures = [step.signature] + ([step.undo.signature] if step.undo else [])
            kept |= {kind for one in signatures for recall in one.recalls for kind in recall.types}
            kept |= set(step.answers) | step.until
            if step.join_deadline_seconds is not None:
                kept |= {kind for leg in step.legs for kind in leg}
        return frozenset(kept)

    def downstream_of(self, wire_type: str) -> frozenset[str]:
        """The names of all steps that run because of this fact, directly or not."""
        found: set[str] = set()
        waiting = [wire_type]
        while waiting:
            for step in self.hearers.get(waiting.pop(), ()):
                if step.name not in found:
                    found.add(step.name)
                    waiting.extend(step.says)
        return frozenset(found)

    def is_a(self, wire_type: str, kind: type[Message] | UnionType) -> bool:
        """Whether messages of this wire type are of that kind; an unknown type is of none."""
        declared = self.schema.messages.get(wire_type)
        return declared is not None and issubclass(declared, kind)
