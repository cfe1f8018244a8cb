"""PURE: what a step recalls without `| None` stands in every saga that comes to it."""

from collections.abc import Iterator

from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.flow_checks.orders import guarantees
from consumers.runtime.flow_model import Graph
from consumers.runtime.signatures import Recall
from schemas.message import FailingEnd, Opening


def certain(graph: Graph) -> Iterator[Mistake]:
    """A recall that need not stand by then allows None."""
    guaranteed = guarantees(graph)
    for step in graph.steps.values():
        before = guaranteed(step.name)
        functions = [(step.name, step.signature, step.function)]
        if step.undo is not None:
            functions.append((step.undo.name, step.undo.signature, step.undo.function))
        for name, signature, function in functions:
            for recall in signature.recalls:
                if not recall.optional and not _is_certain(graph, recall, before, step.name):
                    recalled = " or ".join(recall.types)
                    words = f"{name} recalls {recalled}, which need not have been said by then"
                    yield Mistake(f"{words}: allow None, `{recall.parameter}: … | None`", function)


def _is_certain(graph: Graph, recall: Recall, before: frozenset[str], own: str) -> bool:
    """Whether one of the steps that must have run by then hears, or says whenever the saga goes on, one of these.

    `own` is the step that recalls: it has heard what it hears, and has said nothing yet.
    """
    recalled = set(recall.types)
    if not graph.steps[own].opens and any(graph.is_a(kind, Opening) for kind in recalled):
        # No step but the opening one runs before the Opening stands: `judging.py` refuses commands to what is not open.
        return True
    for name in before:
        going_on = {kind for kind in graph.steps[name].says if not graph.is_a(kind, FailingEnd)}
        if name != own and going_on and going_on <= recalled and not graph.steps[name].signature.may_be_silent:
            return True
        if any(set(leg) <= recalled for leg in graph.steps[name].legs):
            return True
    return False
