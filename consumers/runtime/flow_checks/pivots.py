"""PURE: no failing end may follow a pivot. Every order in which one could is refused."""

from collections.abc import Iterator

from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.flow_model import Graph, Step
from consumers.runtime.forward_only import last_word_before, ways
from schemas.message import FailingEnd, Opening


def failing_ends(graph: Graph) -> Iterator[Mistake]:
    """For each pivot and each failing end of another step: none of the orders has the end after the pivot began."""
    for pivot in graph.steps.values():
        for step in graph.steps.values() if pivot.pivot else ():
            if step is pivot or (step.hears_commands and step.participant != graph.door):
                continue
            for kind in step.says:
                if graph.is_a(kind, FailingEnd) and _can_follow(graph, step, kind, pivot):
                    yield _mistake(graph, step, kind, pivot)


def _can_follow(graph: Graph, step: Step, end: str, pivot: Step) -> bool:
    # Nothing hears a failing end, so one that can stand beside the pivot's event can also stand after it.
    if not graph.executions.can_coincide(graph.executions.ways_of(step, end), ways(graph, pivot)):
        return False
    return not _is_guarded(graph, step, pivot)


def _is_guarded(graph: Graph, step: Step, pivot: Step) -> bool:
    """Whether the step knows of an event of the door without which the pivot cannot begin.

    Only at the door is that enough: it does one thing of a saga at a time, and has heard its own last word by then.
    """
    if step.participant != graph.door:
        return False
    recalled = [frozenset(recall.types) for recall in step.signature.recalls if recall.optional]
    for types in (*recalled, *([step.marked_until] if step.marked_until else [])):
        is_known_late = not any(graph.is_a(kind, Opening) for kind in types) and not any(
            graph.executions.requires(leg, types) for leg in step.legs
        )
        is_certain = all(graph.executions.is_the_doors(kind) for kind in types) and any(
            graph.executions.requires(leg, types) for leg in pivot.legs
        )
        if is_known_late and is_certain:
            return True
    return False


def _mistake(graph: Graph, step: Step, end: str, pivot: Step) -> Mistake:
    words = f"{step.name} may say {end} after the pivot {pivot.name} has begun, and that cannot be undone"
    if step.participant != graph.door:
        if any(graph.executions.requires(leg, frozenset(pivot.says)) for leg in step.legs):
            remedy = (
                f"after {pivot.name} the saga can only go forward: let {step.name} say another event, or run before"
            )
        elif step.signature.may_wait:
            remedy = f"only the door can order a deadline against a pivot: move {step.name} to {graph.door}"
        else:
            remedy = (
                f"let {pivot.name} wait for {step.name}: @join its event with the others, and run the pivot on that"
            )
        return Mistake(f"{words}: {remedy}", step.function)
    last = sorted(last_word_before(graph, pivot))
    if not last:
        remedy = f"let the door say an event before {pivot.name}, let {pivot.name} hear it, and recall it here"
        return Mistake(f"{words}: {remedy}", step.function)
    names = " | ".join(graph.schema.messages[kind].__name__ for kind in last)
    refuse = "refuse" if step.hears_commands else "return None"
    remedy = f"recall `passed: {names} | None` and {refuse} when it is there, or mark the step until={names}"
    return Mistake(f"{words}: {remedy}", step.function)


def until(graph: Graph) -> Iterator[Mistake]:
    """`until` is for a step of the door that says a failing end, and names events that the door says."""
    for step in graph.steps.values():
        for kind in sorted(step.marked_until):
            if step.participant != graph.door:
                words = f"{step.name} is marked until={kind}, but {step.participant} is not the door"
                yield Mistake(f"{words}: only {graph.door} can order its steps against an event", step.function)
            elif not any(graph.is_a(said, FailingEnd) for said in step.says):
                yield Mistake(f"{step.name} is marked until={kind}, and says no failing end: remove it", step.function)
            elif not graph.executions.is_the_doors(kind):
                words = f"{step.name} is marked until={kind}, which the door does not say"
                yield Mistake(f"{words}: name an event of {graph.door}", step.function)
