"""PURE: what a pivot makes of the other steps. Once it may have begun, the saga can only go forward.

A step is forward-only if it can still fail then: after the pivot, or beside it on a branch that the pivot does not wait
for. It is held until a person retries it, and never ends the saga.

A step of the door is judged in its order with the events of the door. It gets an `until`: the last event of the door
before the pivot. Once that stands, the engine says no failing end for the step, whatever its code does. When the step
fails then, a command is refused and anything else is held; before that, it fails as it is marked.
"""

from dataclasses import replace

from consumers.runtime.executions import FAILED, Way
from consumers.runtime.flow_model import Graph, Step
from schemas.message import Opening


def with_policies(graph: Graph) -> Graph:
    """The graph with the policies, the forward-only marks and the `until` that its pivots lead to."""
    pivots = [step for step in graph.steps.values() if step.pivot]
    if not pivots:
        return graph
    return replace(graph, steps={name: _beside(graph, step, pivots) for name, step in graph.steps.items()})


def _beside(graph: Graph, step: Step, pivots: list[Step]) -> Step:
    if step.pivot:
        return replace(step, policy="hold")
    executions = graph.executions
    crossed = [
        pivot for pivot in pivots if executions.can_coincide(executions.ways_of(step, FAILED), ways(graph, pivot))
    ]
    if not crossed:
        return step
    last_words = [last_word_before(graph, pivot) for pivot in crossed]
    until = frozenset(kind for one in last_words for kind in one)
    if step.participant == graph.door and all(last_words) and not _comes_after(graph, step, until):
        return replace(step, until=step.until | until)
    if step.hears_commands:
        return replace(step, policy="ignore" if step.policy == "end" else step.policy)
    return replace(step, policy="hold" if step.policy == "end" else step.policy, forward_only=True)


def _comes_after(graph: Graph, step: Step, types: frozenset[str]) -> bool:
    return any(graph.executions.requires(leg, types) for leg in step.legs)


def ways(graph: Graph, pivot: Step) -> list[Way]:
    """Every way in which the pivot does what it does: all that it can say, but a failing end."""
    executions = graph.executions
    return [way for outcome in executions.outcomes_of(pivot) for way in executions.ways_of(pivot, outcome)]


def last_word_before(graph: Graph, pivot: Step) -> frozenset[str]:
    """The door's last events before the pivot; none where only the Opening stands between the start and the pivot."""
    heard = tuple(kind for leg in pivot.legs for kind in leg)
    found = graph.executions.doors_last_word(heard)
    return frozenset() if any(graph.is_a(kind, Opening) for kind in found) else found
