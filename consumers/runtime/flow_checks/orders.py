"""PURE: which steps must have run before another."""

from collections.abc import Callable
from functools import cache

from consumers.runtime.flow_model import Graph
from schemas.message import Command


def guarantees(graph: Graph) -> Callable[[str], frozenset[str]]:
    """A function that gives, for a step's name, the steps that must have run before it, itself included."""

    @cache
    def guaranteed(name: str) -> frozenset[str]:
        step = graph.steps[name]
        found: set[str] = {name}
        for question in step.answers:
            # An answer presupposes that the question was asked; `calling.py` sees to it.
            asking = [guaranteed(sayer.name) for sayer in graph.sayers.get(question, ())]
            found |= frozenset.intersection(*asking) if asking else frozenset()
        for leg in step.legs:
            ways = [guaranteed(sayer.name) for kind in leg for sayer in graph.sayers.get(kind, ())]
            if ways and not any(graph.is_a(kind, Command) for kind in leg):
                found |= frozenset.intersection(*ways)
        return frozenset(found)

    return guaranteed
