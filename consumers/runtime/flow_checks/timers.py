"""PURE: every wait ends: questions expire, timers lead somewhere, joins can be complete."""

from collections.abc import Iterator
from itertools import combinations

from consumers.runtime.executions import SILENT, Leg, Way
from consumers.runtime.flow_checks.ends import joins
from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.flow_checks.schemas import own_messages
from consumers.runtime.flow_model import Graph, Step
from schemas.message import Completion, FailingEnd, Question


def _questions(graph: Graph) -> list[tuple[str, type[Question]]]:
    return [(name, kind) for name, kind in own_messages(graph).items() if issubclass(kind, Question)]


def questions_expire(graph: Graph) -> Iterator[Mistake]:
    """A step waits for the deadline of each question, and says what follows."""
    for name, kind in _questions(graph):
        waiting = [step for step in graph.hearers.get(name, ()) if step.signature.may_wait and step.says]
        if not waiting:
            words = f"no step lets {name} expire, so an unanswered saga never ends"
            remedy = f"let a step of {graph.door} hear {kind.__name__}, return call.later(…deadline), then a FailingEnd"
            yield Mistake(f"{words}: {remedy}", kind)


def questions_are_answered(graph: Graph) -> Iterator[Mistake]:
    """A command leads to the answer of each question."""
    for name, kind in _questions(graph):
        if not any(name in step.answers for step in graph.steps.values()):
            words = f"no command answers {name}: declare the answer with answers={kind.__name__}"
            yield Mistake(f"{words}, and say it from a step that hears a command", kind)


def waits_end(graph: Graph) -> Iterator[Mistake]:
    """A step that may wait says something when its time has come."""
    for step in graph.steps.values():
        if step.signature.may_wait and not step.says:
            words = f"{step.name} returns Later, but says nothing when the time has come"
            yield Mistake(f"{words}: let it return an event as well", step.function)


def exclusive_legs(graph: Graph) -> Iterator[Mistake]:
    """The legs of a join can all stand in one saga."""
    for step in joins(graph):
        for one, other in combinations(step.legs, 2):
            if not graph.executions.legs_can_coincide(one, other):
                words = f"{step.name} joins {_words(one)} with {_words(other)}, of which a saga has only one"
                yield Mistake(
                    f"{words}: write them as one leg, A | B, or hear each in a step of its own", step.function
                )


def missing_legs(graph: Graph) -> Iterator[Mistake]:
    """No leg of a join is missed on a branch that goes nowhere else: the join would wait for its whole deadline."""
    for step in joins(graph):
        for leg in step.legs:
            others = [other for other in step.legs if other != leg]
            if not all(graph.executions.legs_can_coincide(leg, other) for other in others):
                continue  # `exclusive_legs` tells of these.
            beside = [way for other in others for kind in other for way in graph.executions.ways_to(kind)]
            for way in _branches_without(graph, step, leg, beside):
                words = f"{step.name} waits in vain for {_words(leg)} when {way.step} says {_outcome(way)}"
                remedy = "return an event instead, and add it" if way.outcome == SILENT else "add that"
                yield Mistake(f"{words}: {remedy} to the leg, as A | B", step.function)


def _branches_without(graph: Graph, join: Step, leg: Leg, others: list[Way]) -> Iterator[Way]:
    """The outcomes that leave the leg out, stand beside the others, and lead to no end but through the join."""
    for name in dict.fromkeys(sayer.name for kind in leg for sayer in graph.sayers.get(kind, ())):
        sayer = graph.steps[name]
        for outcome in graph.executions.outcomes_of(sayer):
            if sayer.hears_commands or outcome in leg or _leads_to(graph, outcome, leg, join):
                continue
            for way in graph.executions.ways_of(sayer, outcome):
                if not others or graph.executions.can_coincide([way], others):
                    yield way
                    break


def _leads_to(graph: Graph, outcome: str, leg: Leg, join: Step) -> bool:
    """Whether the outcome can lead to the leg after all, or to an end that does not need the join."""
    if outcome == SILENT:
        return False
    found, waiting = {outcome}, [outcome]
    while waiting:
        for step in graph.hearers.get(waiting.pop(), ()):
            new = set(step.says) - found if step.name != join.name else set()
            found |= new
            waiting.extend(new)
    return any(kind in leg or graph.is_a(kind, Completion | FailingEnd) for kind in found)


def _words(leg: Leg) -> str:
    return " or ".join(leg)


def _outcome(way: Way) -> str:
    return "nothing (None)" if way.outcome == SILENT else way.outcome
