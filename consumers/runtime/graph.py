"""PURE: one saga's choreography as data, derived from the marks of its steps.

Nothing here is declared twice: who hears what, what each participant must keep, what an undo waits for and what a
failed step leads to all follow from the signatures. `checks.py` holds the rules a flow must keep, `drawing.py` draws.
"""

from collections.abc import Iterable
from dataclasses import replace
from types import NoneType
from typing import Any

from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.flow_model import Graph, Step, Undo
from consumers.runtime.forward_only import with_policies
from consumers.runtime.marks import MarkNotes
from consumers.runtime.signatures import Recall, Signature, parameter_kinds, read_signature, signature_of
from consumers.runtime.steps import Flow, Participant, Retry, StepFunction, StepMark, UndoMark, mark_of
from producers.errors import FlowMisdeclared
from schemas.message import Command, Event, Message
from schemas.topics import SagaSchema

__all__ = [
    "Graph",
    "Recall",
    "Signature",
    "Step",
    "Undo",
    "draft_of",
    "graph_of",
    "parameter_kinds",
    "signature_of",
]


def graph_of(flow: Flow, undos: Iterable[StepFunction], schema: SagaSchema) -> Graph:
    """The graph of a flow and its compensations; raises `FlowMisdeclared` (a TypeError) for wrong marks or signatures.

    The rules of the choreography are unchecked: `checks.checked` holds the graph against them.
    """
    graph = draft_of(flow, undos, schema)
    if graph.flaws:
        raise FlowMisdeclared(graph.saga, [str(flaw) for flaw in graph.flaws])
    return graph


def draft_of(flow: Flow, undos: Iterable[StepFunction], schema: SagaSchema) -> Graph:
    """The graph as far as marks and signatures allow; what is wrong with them stands in its `flaws`."""
    draft = _Draft(flow)
    steps = draft.steps()
    names = tuple(participant.name for participant in draft.participants)
    doors = [participant.name for participant in draft.participants if participant.door]
    if len(doors) != 1:
        draft.note(
            f"{flow.saga} needs exactly one participant that is its door, not {len(doors)}: Participant(…, door=True)"
        )
    graph = Graph(flow.saga, schema, names, (doors or names or ("",))[0], steps, flow)
    graph = draft.with_undos(graph, undos)
    return replace(with_policies(graph), flaws=tuple(draft.flaws))


class _Draft:
    """Makes steps and compensations of marked functions, and collects what is wrong with them."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.flaws: list[Mistake] = []
        self.first_names: dict[str, str] = {}
        self.participants = self._participants()

    def note(self, words: str, about: object = None) -> None:
        self.flaws.append(Mistake(words, self.flow if about is None else about))

    def _participants(self) -> list[Participant]:
        written = self.flow.participants
        if isinstance(written, Participant):
            self.note("participants is one Participant: write a tuple, participants=(Participant(…),)")
            written = (written,)
        found = []
        for one in written:
            if not isinstance(one, Participant):
                self.note(f"{one!r} among the participants is no Participant")
            else:
                found.append(self._as_first_named(one))
        return found

    def _as_first_named(self, written: Participant) -> Participant:
        """The participant under its first name, which is the one that Kafka and running sagas know."""
        steps = written.steps
        if callable(steps):
            self.note(f"the steps of {written.name} are one function: write a tuple, steps=(a_step,)")
            steps = (steps,)
        notes = MarkNotes()
        names = (*notes.names("formerly", written.formerly), written.name)
        for flaw in notes.found:
            self.note(f"the participant {written.name} {flaw}")
        for name in dict.fromkeys(names):
            if self.first_names.setdefault(name, names[0]) != names[0]:
                self.note(f"two participants are or were called {name}: a former name belongs to one of them")
        return replace(written, name=names[0], steps=steps)

    def steps(self) -> dict[str, Step]:
        found: dict[str, Step] = {}
        for participant in self.participants:
            for function in participant.steps:
                step = self._step(participant.name, function)
                if step is None:
                    continue
                if step.name in found:
                    other = found[step.name].participant
                    words = f"two steps of {self.flow.saga} are called {step.name}, in {other} and {participant.name}"
                    self.note(f"{words}: list the step once, or rename one of them", function)
                    continue
                found[step.name] = step
        return found

    def _step(self, participant: str, function: StepFunction) -> Step | None:
        if not callable(function):
            self.note(f"{function!r} among the steps of {participant} is no function")
            return None
        mark = self._mark_of(function)
        if isinstance(mark, UndoMark):
            self.note(f"{function.__name__} is an @undo, and stands among the steps: list it in UNDOS", function)
            return None
        if mark is None:
            return None
        for flaw in mark.flaws:
            self.note(f"{function.__name__} {flaw}", function)
        if mark.flaws and not any(mark.legs):
            mark = replace(mark, legs=_guessed(function))
        signature = self._signature_of(function, max(len(mark.legs), 1))
        for kinds, leg in zip(parameter_kinds(function), mark.legs, strict=False):
            if kinds != set(leg) and not mark.flaws:
                words = " | ".join(kind.__name__ for kind in leg)
                taken = f"{function.__name__}: a parameter takes other messages than it is marked to hear"
                self.note(f"{taken}: annotate it with {words}", function)
        return Step(
            name=function.__name__,
            participant=participant,
            function=function,
            signature=signature,
            legs=tuple(tuple(kind.wire_type for kind in leg) for leg in mark.legs),
            retry=mark.retry,
            timeout_seconds=mark.timeout_seconds,
            policy=mark.policy,
            pivot=mark.pivot,
            join_deadline_seconds=mark.deadline_seconds,
            hears_commands=any(issubclass(kind, Command) for leg in mark.legs for kind in leg),
            formerly=mark.formerly,
            until=frozenset(kind.wire_type for kind in mark.until),
            marked_until=frozenset(kind.wire_type for kind in mark.until),
            repeatable=mark.repeatable,
        )

    def _mark_of(self, function: StepFunction) -> StepMark | UndoMark | None:
        """The mark; for a function without one that is noted, and the mark guessed, which spares further mistakes."""
        try:
            return mark_of(function)
        except TypeError:
            self.note(f"{_name(function)} bears none of @on, @join, @undo: mark it, as @on(TheMessage)", function)
        legs = _guessed(function)
        return StepMark(legs, Retry(), 30.0, "end", False, None, ()) if any(legs) else None

    def _signature_of(self, function: StepFunction, heard_parameters: int) -> Signature:
        signature, flaws = read_signature(function, heard_parameters)
        for flaw in flaws:
            self.note(f"{function.__name__} {flaw}", function)
        return signature

    def with_undos(self, graph: Graph, undos: Iterable[StepFunction]) -> Graph:
        """The graph with each compensation at its step, and with what it waits for."""
        steps = dict(graph.steps)
        names = set(steps)
        functions: list[Any] = [undos] if callable(undos) else list(undos)
        for function in functions:
            if not callable(function):
                self.note(f"{function!r} among the compensations is no function")
                continue
            found = self._undo_of(graph, function)
            if found is None:
                continue
            if function.__name__ in names:
                self.note(f"two functions of {graph.saga} are called {function.__name__}: rename one of them", function)
            elif former := steps[found[0].name].undo:
                words = f"{function.__name__} and {former.name} both undo {found[0].name}"
                self.note(f"{words}: a step has one undo, which is also called with None; merge them", function)
            else:
                steps[found[0].name] = replace(found[0], undo=found[1])
            names.add(function.__name__)
        return replace(graph, steps=steps)

    def _undo_of(self, graph: Graph, function: StepFunction) -> tuple[Step, Undo] | None:
        try:
            mark = mark_of(function)
        except TypeError:
            self.note(f"{_name(function)} bears none of @on, @join, @undo: mark it @undo(TheEvent)", function)
            mark = UndoMark(Event, Retry(), 30.0, None)
        if not isinstance(mark, UndoMark):
            self.note(
                f"{function.__name__} is a step, and stands among the compensations: list it in the flow", function
            )
            return None
        for flaw in mark.flaws:
            self.note(f"{function.__name__} {flaw}", function)
        signature = self._signature_of(function, heard_parameters=1)
        if not mark.fact.wire_type:
            guessed = [kind for leg in _guessed(function) for kind in leg if issubclass(kind, Event)]
            if len(guessed) != 1:
                return None
            mark = replace(mark, fact=guessed[0])
        elif next(iter(parameter_kinds(function)), None) != {mark.fact, NoneType}:
            words = f"{function.__name__}: its first parameter must be {mark.fact.__name__} | None"
            self.note(f"{words}, for the step may not have got that far", function)
        step = self._undone_step(graph, function, mark.fact)
        return None if step is None else (step, self._undo(graph, step, function, mark, signature))

    def _undone_step(self, graph: Graph, function: StepFunction, fact: type[Event]) -> Step | None:
        sayers = graph.sayers.get(fact.wire_type, ())
        if len(sayers) != 1:
            said = f"{function.__name__} undoes {fact.__name__}, which {len(sayers)} steps say"
            self.note(f"{said}: exactly one step of the flow must say it", function)
        return sayers[0] if len(sayers) == 1 else None

    def _undo(self, graph: Graph, step: Step, function: StepFunction, mark: UndoMark, signature: Signature) -> Undo:
        fact = mark.fact.wire_type
        waits_for = {graph.steps[name].participant for name in graph.downstream_of(fact)}
        if mark.after is not None:
            waits_for = {self.first_names.get(name, name) for name in mark.after}
        return Undo(
            name=function.__name__,
            participant=step.participant,
            fact=fact,
            function=function,
            signature=signature,
            retry=mark.retry,
            timeout_seconds=mark.timeout_seconds,
            waits_for=frozenset(waits_for) - {step.participant},
            formerly=mark.formerly,
        )


def _guessed(function: StepFunction) -> tuple[tuple[type[Message], ...], ...]:
    """What a function without a usable mark seems to hear: its first parameter."""
    kinds = next(iter(parameter_kinds(function)), set())
    return (tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Message) and kind.wire_type),)


def _name(function: StepFunction) -> str:
    return getattr(function, "__name__", repr(function))
