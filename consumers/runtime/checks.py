"""PURE: the rules a flow must keep, checked before it runs. Every mistake is reported, not only the first."""

from collections.abc import Callable, Iterator
from functools import cache

from consumers.runtime.graph import Graph, Recall
from producers.errors import FlowError
from schemas.engine import EngineEvent
from schemas.message import Command, CompensatingEvent, Completion, Event, FailingEnd


def checked(graph: Graph) -> Graph:
    """The same graph; raises `FlowError` with a line for every rule it breaks."""
    mistakes = list(mistakes_in(graph))
    if mistakes:
        raise FlowError(graph.saga, mistakes)
    return graph


def mistakes_in(graph: Graph) -> Iterator[str]:
    """A line for every rule the graph breaks; cycles come alone, for the other rules need a graph without them."""
    cycle = _cycle(graph)
    if cycle:
        yield f"a loop that is not declared repeatable: {' -> '.join(cycle)}"
        return
    yield from _commands(graph)
    yield from _words(graph)
    yield from _effects(graph)
    yield from _recalls(graph)
    yield from _ends(graph)
    yield from _compensations(graph)


def _cycle(graph: Graph) -> list[str]:
    for step in graph.steps.values():
        downstream = {name for kind in step.says for name in graph.downstream_of(kind)}
        if step.name in downstream:
            return [step.name, *sorted(downstream - {step.name}), step.name]
    return []


def _commands(graph: Graph) -> Iterator[str]:
    for name, kind in graph.schema.commands().items():
        steps = graph.hearers.get(name, ())
        if len(steps) > 1:
            yield f"the command {name} has {len(steps)} consumers: {', '.join(step.name for step in steps)}"
        if not steps and not hasattr(kind, "suffix"):
            yield f"nobody hears the command {name}"
    for step in graph.steps.values():
        kinds = {graph.is_a(wire_type, Command) for leg in step.legs for wire_type in leg}
        if kinds == {True, False}:
            yield f"{step.name} hears commands and events; it must hear one or the other"
        if step.hears_commands and step.participant != graph.door:
            yield f"{step.name} hears a command, but {step.participant} is not the door"
    openings = [step.name for step in graph.steps.values() if step.opens]
    if len(openings) != 1 or not graph.steps[openings[0]].hears_commands:
        yield f"exactly one step must hear a command and say the Opening, not {', '.join(openings) or 'none'}"


def _words(graph: Graph) -> Iterator[str]:
    recalled = {kind for participant in graph.participants for kind in graph.kept_by(participant)}
    undone_by = {undo.fact for undo in graph.undos.values()}
    for name, kind in graph.schema.events().items():
        if issubclass(kind, EngineEvent):
            continue
        if issubclass(kind, CompensatingEvent):
            if not any(name == said.wire_type for undo in graph.undos.values() for said in undo.signature.says):
                yield f"no compensation says {name}"
            continue
        if name not in graph.sayers:
            yield f"nobody says {name}"
        is_end = issubclass(kind, Completion | FailingEnd)
        if not is_end and name not in graph.hearers and name not in recalled:
            yield f"nobody hears {name}"
        if not is_end and name in graph.hearers and not _reaches_an_end(graph, name):
            yield f"a dead end: nothing that follows {name} ends the saga"
        if is_end and name in graph.hearers:
            yield f"{name} ends the saga, so no step may hear it"
    for wire_type in graph.hearers:
        if wire_type not in graph.schema.messages:
            yield f"{wire_type} is heard, but {graph.saga} does not declare it"
    for fact in undone_by - set(graph.schema.messages):
        yield f"{fact} is undone, but {graph.saga} does not declare it"
    yield from _said_twice(graph)


def _said_twice(graph: Graph) -> Iterator[str]:
    said: dict[tuple[str, str, str], str] = {}
    for step in graph.steps.values():
        for heard in {kind for leg in step.legs for kind in leg}:
            for word in step.says:
                other = said.setdefault((step.participant, heard, word), step.name)
                if other != step.name:
                    yield f"{other} and {step.name} both answer {heard} with {word}: it could be said twice"


def _reaches_an_end(graph: Graph, wire_type: str) -> bool:
    said = {kind for name in graph.downstream_of(wire_type) for kind in graph.steps[name].says}
    return any(graph.is_a(kind, Completion) or graph.is_a(kind, FailingEnd) for kind in said)


def _effects(graph: Graph) -> Iterator[str]:
    for step in graph.steps.values():
        if step.has_effect and step.undo is None and not step.pivot:
            yield f"{step.name} has an effect, but neither an undo nor the mark pivot"
        if step.pivot and step.undo is not None:
            yield f"{step.name} is a pivot, and has an undo"
        if step.pivot:
            for wire_type in (kind for leg in step.legs for kind in leg):
                if any(sayer.participant != graph.door for sayer in graph.sayers.get(wire_type, ())):
                    crossing = f"{wire_type}, which the door does not say: a cancel could cross it"
                    yield f"the pivot {step.name} hears {crossing}"
        if not step.signature.says:
            yield f"{step.name} says nothing"


def _recalls(graph: Graph) -> Iterator[str]:
    guaranteed = _guarantees(graph)
    for step in graph.steps.values():
        before = guaranteed(step.name)
        functions = [(step.name, step.signature)] + ([(step.undo.name, step.undo.signature)] if step.undo else [])
        for name, signature in functions:
            for recall in signature.recalls:
                if not recall.optional and not _is_certain(graph, recall, before, step.name):
                    words = " or ".join(recall.types)
                    yield f"{name} recalls {words}, which need not have been said by then; allow None"


def _is_certain(graph: Graph, recall: Recall, before: frozenset[str], own: str) -> bool:
    """Whether one of the steps that must have run by then hears, or says whenever the saga goes on, one of these.

    `own` is the step that recalls: it has heard what it hears, and has said nothing yet.
    """
    recalled = set(recall.types)
    for name in before:
        going_on = {kind for kind in graph.steps[name].says if not graph.is_a(kind, FailingEnd)}
        if name != own and going_on and going_on <= recalled:
            return True
        if any(set(leg) <= recalled for leg in graph.steps[name].legs):
            return True
    return False


def _guarantees(graph: Graph) -> Callable[[str], frozenset[str]]:
    @cache
    def guaranteed(name: str) -> frozenset[str]:
        """The steps that must have run before this one, itself included."""
        step = graph.steps[name]
        found: set[str] = {name}
        for question in step.answers:
            # Whoever answers presupposes that it was asked; `calling.py` sees to it.
            found |= frozenset.intersection(*(guaranteed(sayer.name) for sayer in graph.sayers[question]))
        for leg in step.legs:
            ways = [guaranteed(sayer.name) for kind in leg for sayer in graph.sayers.get(kind, ())]
            if ways and not any(graph.is_a(kind, Command) for kind in leg):
                found |= frozenset.intersection(*ways)
        return frozenset(found)

    return guaranteed


def _ends(graph: Graph) -> Iterator[str]:
    guaranteed = _guarantees(graph)
    completing = [step for step in graph.steps.values() if any(graph.is_a(kind, Completion) for kind in step.says)]
    if not completing:
        yield "no step completes the saga"
    for step in completing:
        before = guaranteed(step.name)
        for other in graph.steps.values():
            if other.has_effect and other.name not in before:
                yield f"{step.name} completes the saga without waiting for {other.name}, which has an effect"


def _compensations(graph: Graph) -> Iterator[str]:
    waits: dict[str, set[str]] = {}
    for undo in graph.undos.values():
        waits.setdefault(undo.participant, set()).update(undo.waits_for)
        said = undo.signature.says
        fact: type[Event] | None = graph.schema.events().get(undo.fact)
        takes_back = [kind for kind in said if issubclass(kind, CompensatingEvent) and kind.undoes is fact]
        if len(said) != 1 or not takes_back:
            yield f"{undo.name} must say exactly the event that takes back {undo.fact}"
        for unknown in undo.waits_for - set(graph.participants):
            yield f"{undo.name} waits for {unknown}, which is no participant"
    for participant in waits:
        if participant in _reachable(waits, participant):
            yield f"a cycle of compensations: {participant} would wait for itself to settle"


def _reachable(waits: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(waits.get(start, ()))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(waits.get(name, ()))
    return found
