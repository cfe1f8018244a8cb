"""PURE: what would be said, and acted on, twice."""

from collections.abc import Iterator

from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.flow_model import Graph, Step
from schemas.message import Completion, FailingEnd


def same_cause(graph: Graph) -> Iterator[Mistake]:
    """Two steps do not answer one message with the same event."""
    said: dict[tuple[str, str], Step] = {}
    for step in graph.steps.values():
        for heard in {kind: None for leg in step.legs for kind in leg}:
            for word in step.says:
                other = said.setdefault((heard, word), step)
                if other is not step and _would_run_twice(graph, word):
                    words = f"{other.name} and {step.name} both answer {heard} with {word}: it could be said twice"
                    yield Mistake(f"{words}; let one of them say it, or give each an event of its own", step.function)


def _would_run_twice(graph: Graph, wire_type: str) -> bool:
    """The first end wins, so a second one changes nothing."""
    return not graph.is_a(wire_type, Completion | FailingEnd)


def repeated_commands(graph: Graph) -> Iterator[Mistake]:
    """A command that comes twice does not start again what its event starts."""
    for step in graph.steps.values() if any(step.opens for step in graph.steps.values()) else ():
        if not step.hears_commands or step.opens or step.repeatable:
            continue
        for word in step.says:
            if not _would_run_twice(graph, word) or not any(
                graph.steps[name].has_effect for name in graph.downstream_of(word)
            ):
                continue
            if not any(recall.optional and word in recall.types for recall in step.signature.recalls):
                name = graph.schema.messages[word].__name__
                words = f"{step.name} says {word} again for each further command, and what follows runs again"
                remedy = f"recall `before: {name} | None` and refuse when it is there, or mark it repeatable=True"
                yield Mistake(f"{words}: {remedy}", step.function)
