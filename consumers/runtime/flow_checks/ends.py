"""PURE: every way leads to an end, and a good end waits for all that has an effect."""

from collections.abc import Iterable, Iterator

from consumers.runtime.executions import SILENT
from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.flow_checks.orders import guarantees
from consumers.runtime.flow_checks.schemas import own_messages
from consumers.runtime.flow_model import Graph, Step
from schemas.message import Command, CompensatingEvent, Completion, FailingEnd


def loops(graph: Graph) -> Iterator[Mistake]:
    """No step runs because of what it has said itself; each loop is told once."""
    after = {name: {step.name for step in _following(graph, step.says)} for name, step in graph.steps.items()}
    told: set[str] = set()
    for step in graph.steps.values():
        if step.name in after[step.name] and step.name not in told:
            back = [name for name in graph.steps if name in after[step.name] and step.name in after[name]]
            told.update(back)
            words = " -> ".join([step.name, *(name for name in back if name != step.name), step.name])
            remedy = "no mark allows a loop yet, so let one of them say another event, or an end"
            yield Mistake(f"a loop that is not declared repeatable: {words}; {remedy}", step.function)


def _following(graph: Graph, words: Iterable[str]) -> list[Step]:
    """The steps that run because of these events, directly or not; a question leads to the steps that answer it."""
    found: dict[str, Step] = {}
    waiting = list(words)
    while waiting:
        word = waiting.pop()
        answering = [step for step in graph.steps.values() if word in step.answers]
        for step in (*graph.hearers.get(word, ()), *answering):
            if step.name not in found:
                found[step.name] = step
                waiting.extend(step.says)
    return list(found.values())


def dead_ends(graph: Graph) -> Iterator[Mistake]:
    """Every event that is heard can lead to an end; of a chain of events the last one is told."""
    for name, kind in own_messages(graph).items():
        is_end = issubclass(kind, Completion | FailingEnd | CompensatingEvent | Command)
        if is_end or name not in graph.hearers or _reaches_an_end(graph, name):
            continue
        said = [word for step in graph.hearers[name] for word in step.says]
        if not any(word in graph.hearers or not _is_recalled(graph, word) for word in said):
            words = f"a dead end: nothing that follows {name} ends the saga"
            yield Mistake(f"{words}; let a step that follows say a Completion or a FailingEnd", kind)


def _is_recalled(graph: Graph, wire_type: str) -> bool:
    return any(wire_type in graph.kept_by(participant) for participant in graph.participants)


def _reaches_an_end(graph: Graph, wire_type: str) -> bool:
    said = {kind for step in _following(graph, [wire_type]) for kind in step.says} | {wire_type}
    return any(graph.is_a(kind, Completion | FailingEnd) for kind in said)


def completions(graph: Graph) -> Iterator[Mistake]:
    """A step completes the saga, and waits for every effect that can stand beside it."""
    guaranteed = guarantees(graph)
    completing = _completing(graph)
    if not completing:
        yield Mistake("no step completes the saga: let a last step say a Completion", graph.flow)
    for step in completing:
        for other in graph.steps.values():
            if other.has_effect and other.name not in guaranteed(step.name) and _coincide(graph, step, other):
                words = f"{step.name} completes the saga without waiting for {other.name}, which has an effect"
                yield Mistake(f"{words}: @join its event with the others", step.function)


def _completing(graph: Graph) -> list[Step]:
    return [step for step in graph.steps.values() if any(graph.is_a(kind, Completion) for kind in step.says)]


def _coincide(graph: Graph, step: Step, other: Step) -> bool:
    ends = [way for kind in step.says for way in graph.executions.ways_of(step, kind) if graph.is_a(kind, Completion)]
    outcomes = graph.executions.outcomes_of(other)
    ways = [way for outcome in outcomes for way in graph.executions.ways_of(other, outcome)]
    return not ways or graph.executions.can_coincide(ends, ways)


def going_on(graph: Graph) -> Iterator[Mistake]:
    """A step that every completion waits for goes on: each of its outcomes can lead to an end."""
    guaranteed = guarantees(graph)
    completing = _completing(graph)
    needed = frozenset.intersection(*(guaranteed(step.name) for step in completing)) if completing else frozenset()
    for step in (graph.steps[name] for name in graph.steps if name in needed):
        if step.policy == "ignore" and not step.hears_commands:
            words = f'{step.name} has failure="ignore", but no completion can come without it'
            yield Mistake(f'{words}: write failure="hold" or "end"', step.function)
        for outcome in graph.executions.outcomes_of(step) if not step.hears_commands else ():
            if any(not set(step.says).isdisjoint(leg) for join in joins(graph) for leg in join.legs):
                continue  # `timers.missing_legs` looks at these.
            if outcome == SILENT:
                words = f"{step.name} may return None, and then nothing ends the saga"
                yield Mistake(f"{words}: return an event instead, and let a step hear it", step.function)
            elif outcome not in graph.hearers and _is_recalled(graph, outcome) and not _reaches_an_end(graph, outcome):
                words = f"{step.name} may say {outcome}, and nothing that follows ends the saga"
                yield Mistake(f"{words}: let a step hear it", step.function)


def joins(graph: Graph) -> list[Step]:
    """The steps that wait for several events."""
    return [step for step in graph.steps.values() if step.join_deadline_seconds is not None and len(step.legs) > 1]
