"""PURE: who owes a saga its next fact, and until when.

A step that has heard its message owes one of its facts: within all its attempts, the waits between them and a grace.
A step that told of a delay owes it from the moment it named on; the attempts that were left then are counted in full,
because not every later one is told. After a failing end each participant owes its settlement, unless it waits
for another's. A step that may stay silent owes nothing, except the end of a question's time.
"""

from functools import cache
from typing import NamedTuple

from consumers.runtime.graph import Graph, Step
from consumers.runtime.retries import wait_seconds
from consumers.runtime.steps import Retry
from consumers.tracker.tracked import Tracked, TrackedStep
from schemas.engine import Settled

GRACE_SECONDS = 10.0
OWING = ("running", "waiting", "delayed")


class Edge(NamedTuple):
    """What is owed: one of the types in `missing`, until `due`, in seconds. `step` is empty where it is to settle."""

    step: str
    participant: str
    missing: tuple[str, ...]
    due: float


class Deadlines:
    """The deadlines of one graph's edges."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._heard = {name: {kind for leg in step.legs for kind in leg} for name, step in graph.steps.items()}
        budgets = [budget_seconds(step.retry, step.timeout_seconds) for step in graph.steps.values()]
        self.shortest_seconds = min(budgets, default=0.0) + GRACE_SECONDS

    def earliest(self, tracked: Tracked) -> Edge | None:
        """The edge whose deadline comes first; None where nothing is owed, or a person must act first."""
        if tracked.standing or tracked.paused:
            return None
        edges = self._settling(tracked) if tracked.end is not None else self._forward(tracked)
        return min(edges, key=lambda edge: edge.due, default=None)

    def lost(self, tracked: Tracked) -> tuple[str, ...]:
        """The steps of another build for which the saga waits in vain; nothing while anything else can go on.

        A step that has not spoken may also be one that stays silent. So it counts only where no step of this build
        owes the saga a fact, and no question is open.
        """
        if tracked.end is not None or tracked.standing or tracked.paused or tracked.question is not None:
            return ()
        unknown = [name for name, step in tracked.steps.items() if name not in self._graph.steps]
        found = tuple(name for name in unknown if tracked.steps[name].state in OWING)
        return () if found and self._forward(tracked) else found

    def _forward(self, tracked: Tracked) -> list[Edge]:
        edges: list[Edge] = []
        for name, known in tracked.steps.items():
            step = self._graph.steps.get(name)
            if step is None or known.since is None or known.state not in OWING:
                continue
            if step.signature.may_be_silent and tracked.question not in self._heard[name]:
                continue
            due = known.since + _left_seconds(step.retry, step.timeout_seconds, known) + GRACE_SECONDS
            edges.append(Edge(name, step.participant, step.says, due))
        return edges

    def _settling(self, tracked: Tracked) -> list[Edge]:
        owing = set(tracked.participants) - set(tracked.settled)
        missing = (Settled.type_in(self._graph.saga),)
        edges: list[Edge] = []
        for participant in sorted(owing):
            steps = [step for step in self._graph.steps_of(participant).values() if step.name in tracked.steps]
            waits_for = {name for step in steps if step.undo for name in step.undo.waits_for}
            if not waits_for & (owing - {participant}):
                edges.append(Edge("", participant, missing, self._settled_by(tracked, steps) + GRACE_SECONDS))
        return edges

    def _settled_by(self, tracked: Tracked, steps: list[Step]) -> float:
        undos = [(step.undo, tracked.steps[step.name]) for step in steps if step.undo]
        # Attempts in flight come to an end first.
        flight_seconds = max((step.timeout_seconds for step in steps), default=0.0)
        undoing_seconds = sum(budget_seconds(undo.retry, undo.timeout_seconds) for undo, _ in undos)
        by = tracked.heard_at + flight_seconds + undoing_seconds
        later = [
            known.since + undoing_seconds for _, known in undos if known.state == "delayed" and known.since is not None
        ]
        return max([by, *later])


def found_in_log(tracked: Tracked, graph: Graph, edge: Edge) -> str:
    """What the log alone tells of why the fact is missing, or nothing."""
    names = [edge.step] if edge.step else list(graph.steps_of(edge.participant))
    known = [tracked.steps[name] for name in names if name in tracked.steps]
    return next((f"it was last delayed: {step.delay}" for step in known if step.delay), "")


@cache
def budget_seconds(retry: Retry, timeout_seconds: float, attempt: int = 1) -> float:
    """How long all attempts from this one on may take, waits included."""
    attempts = range(attempt, retry.attempts + 1)
    return len(attempts) * timeout_seconds + sum(wait_seconds(retry, number) for number in attempts[:-1])


def _left_seconds(retry: Retry, timeout_seconds: float, known: TrackedStep) -> float:
    # An item that was freed by a person counts its attempts on, and has its whole budget anew.
    counts = known.state != "running" and known.attempts <= retry.attempts
    return budget_seconds(retry, timeout_seconds, max(1, known.attempts) if counts else 1)
