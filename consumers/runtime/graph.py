"""PURE: one saga's choreography as data, derived from the marks of its steps.

Nothing here is declared twice: who hears what, what each participant must keep, what an undo waits for and what a
failed step leads to all follow from the signatures. `checks.py` holds the rules a flow must keep, `drawing.py` draws.
"""

import hashlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from consumers.runtime.steps import (
    Call,
    Flow,
    Later,
    ReadOnly,
    Retry,
    StepFunction,
    StepMark,
    UndoMark,
    mark_of,
)
from schemas.engine import EngineEvent, Policy
from schemas.message import Command, Event, Message, Opening
from schemas.topics import SagaSchema


@dataclass(frozen=True)
class Recall:
    """An earlier fact that a step asks for: any of `types`, or None if `optional`."""

    parameter: str
    types: tuple[str, ...]
    optional: bool


@dataclass(frozen=True)
class Signature:
    """What a function wants to be called with, and what it may say."""

    heard: tuple[str, ...]
    recalls: tuple[Recall, ...]
    ports: tuple[tuple[str, type], ...]
    call: str | None
    says: tuple[type[Event], ...]
    may_wait: bool
    may_be_silent: bool


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
    """One step: what it waits for (`legs`: one fact of each), and what follows."""

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
    """The whole flow of one saga kind."""

    saga: str
    schema: SagaSchema
    participants: tuple[str, ...]
    door: str
    steps: dict[str, Step]

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
            kept |= set(step.answers)
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


def graph_of(flow: Flow, undos: Iterable[StepFunction], schema: SagaSchema) -> Graph:
    """The graph of a flow and its compensations, unchecked; TypeError for a function without mark."""
    steps: dict[str, Step] = {}
    for participant in flow.participants:
        for function in participant.steps:
            step = _step(participant.name, function)
            if step.name in steps:
                raise TypeError(f"two steps of {flow.saga} are called {step.name}")
            steps[step.name] = step
    doors = [participant.name for participant in flow.participants if participant.door]
    if len(doors) != 1:
        raise TypeError(f"{flow.saga} needs exactly one participant that is its door, not {len(doors)}")
    names = tuple(participant.name for participant in flow.participants)
    graph = Graph(flow.saga, schema, names, doors[0], steps)
    return _with_policies(_with_undos(graph, [_undo_parts(function) for function in undos]))


def _step(participant: str, function: StepFunction) -> Step:
    mark = mark_of(function)
    if not isinstance(mark, StepMark):
        raise TypeError(f"{function.__name__} is an @undo, and stands among the steps")
    for kinds, leg in zip(parameter_kinds(function), mark.legs, strict=False):
        if kinds != set(leg):
            raise TypeError(f"{function.__name__}: a parameter takes other messages than it is marked to hear")
    return Step(
        name=function.__name__,
        participant=participant,
        function=function,
        signature=signature_of(function, heard_parameters=len(mark.legs)),
        legs=tuple(tuple(kind.wire_type for kind in leg) for leg in mark.legs),
        retry=mark.retry,
        timeout_seconds=mark.timeout_seconds,
        policy=mark.policy,
        pivot=mark.pivot,
        join_deadline_seconds=mark.deadline_seconds,
        hears_commands=any(issubclass(kind, Command) for leg in mark.legs for kind in leg),
        formerly=mark.formerly,
    )


def _undo_parts(function: StepFunction) -> tuple[StepFunction, UndoMark]:
    mark = mark_of(function)
    if not isinstance(mark, UndoMark):
        raise TypeError(f"{function.__name__} is a step, and stands among the compensations")
    return function, mark


def _with_undos(graph: Graph, undos: list[tuple[StepFunction, UndoMark]]) -> Graph:
    steps = dict(graph.steps)
    names = [function.__name__ for function, _ in undos] + list(steps)
    for name in {name for name in names if names.count(name) > 1}:
        raise TypeError(f"two functions of {graph.saga} are called {name}")
    for function, mark in undos:
        if parameter_kinds(function)[0] != {mark.fact, NoneType}:
            raise TypeError(f"{function.__name__}: its first parameter must be {mark.fact.__name__} | None")
        sayers = graph.sayers.get(mark.fact.wire_type, ())
        if len(sayers) != 1:
            raise TypeError(f"{function.__name__} undoes {mark.fact.__name__}, which {len(sayers)} steps say")
        step = sayers[0]
        downstream = {graph.steps[name].participant for name in graph.downstream_of(mark.fact.wire_type)}
        steps[step.name] = replace(
            step,
            undo=Undo(
                name=function.__name__,
                participant=step.participant,
                fact=mark.fact.wire_type,
                function=function,
                signature=signature_of(function, heard_parameters=1),
                retry=mark.retry,
                timeout_seconds=mark.timeout_seconds,
                waits_for=frozenset(downstream if mark.after is None else mark.after) - {step.participant},
                formerly=mark.formerly,
            ),
        )
    return replace(graph, steps=steps)


def _with_policies(graph: Graph) -> Graph:
    """After a pivot nothing can be taken back: a failed step there is held, whatever it says of itself."""
    held: set[str] = set()
    for step in graph.steps.values():
        if step.pivot:
            held |= {step.name} | {name for kind in step.says for name in graph.downstream_of(kind)}
    return replace(
        graph,
        steps={name: replace(step, policy="hold") if name in held else step for name, step in graph.steps.items()},
    )


def signature_of(function: StepFunction, heard_parameters: int) -> Signature:
    """What the function's annotations say; TypeError for a parameter or a result that has none or a wrong one."""
    hints = get_type_hints(function)
    heard: list[str] = []
    recalls: list[Recall] = []
    ports: list[tuple[str, type]] = []
    call: str | None = None
    for parameter in inspect.signature(function).parameters:
        kinds = _members(hints.get(parameter))
        named = [kind for kind in kinds if kind is not NoneType]
        if not named:
            raise TypeError(f"{function.__name__}: parameter {parameter} says nothing about its type")
        if named == [Call]:
            call = parameter
        elif all(isinstance(kind, type) and issubclass(kind, Message) for kind in named):
            if len(heard) < heard_parameters:
                heard.append(parameter)
            else:
                types = tuple(kind.wire_type for kind in named)
                recalls.append(Recall(parameter, types, NoneType in kinds))
        elif len(named) == 1 and isinstance(named[0], type):
            ports.append((parameter, named[0]))
        else:
            raise TypeError(f"{function.__name__}: parameter {parameter} is neither a message, a port nor a Call")
    result = [kind for kind in _members(hints.get("return")) if kind is not NoneType]
    says = tuple(kind for kind in result if isinstance(kind, type) and issubclass(kind, Event))
    if len(says) + (Later in result) != len(result):
        raise TypeError(f"{function.__name__} may return events, Later and None only")
    if len(heard) < heard_parameters:
        raise TypeError(f"{function.__name__} needs a parameter for each message it hears")
    returned = _members(hints.get("return"))
    return Signature(tuple(heard), tuple(recalls), tuple(ports), call, says, Later in result, NoneType in returned)


def parameter_kinds(function: StepFunction) -> list[set[Any]]:
    """The types each parameter may have, in order."""
    hints = get_type_hints(function)
    return [set(_members(hints.get(parameter))) for parameter in inspect.signature(function).parameters]


def _members(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) in (Union, UnionType):
        return get_args(kind)
    return () if kind is None else (kind,)
