"""PURE: names of participants and former names of steps."""

import re
from collections import Counter
from collections.abc import Iterator

from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.flow_model import Graph

# What the engine tells of under these names is no step's.
ENGINE_NAMES = frozenset({"flow", "quarantine"})
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,199}")
TRACKER = "tracker"


def participants(graph: Graph) -> Iterator[Mistake]:
    """Names of consumer groups: unlike each other, lower case, and below the saga's own name."""
    if graph.schema.saga != graph.saga:
        words = f"the flow is called {graph.saga}, its schema {graph.schema.saga}: give both one name"
        yield Mistake(words, graph.flow)
        return
    for name, count in Counter(graph.participants).items():
        if count > 1:
            yield Mistake(f"{count} participants are called {name}: rename one, or list its steps in one", graph.flow)
        if not NAME.fullmatch(name) or not name.startswith(f"{graph.saga}."):
            yield Mistake(f'the participant {name!r} needs a name such as "{graph.saga}.desk"', graph.flow)
        elif name == f"{graph.saga}.{TRACKER}":
            yield Mistake(f"the participant {name} has the name of the saga's tracker: choose another", graph.flow)
        if not graph.steps_of(name) and not graph.flaws:
            yield Mistake(f"the participant {name} has no steps: remove it, or give it some", graph.flow)


def engine_names(graph: Graph) -> Iterator[Mistake]:
    """No step has a name under which the engine tells of a whole saga."""
    for step in graph.steps.values():
        for name in sorted(ENGINE_NAMES & {step.name, *step.formerly, step.undo.name if step.undo else step.name}):
            yield Mistake(f"{name} is the engine's own name: rename the step or compensation", step.function)


def former_names(graph: Graph) -> Iterator[Mistake]:
    """A former name leads running sagas to one step only."""
    owners: dict[tuple[str, str], str] = {(step.participant, name): name for name, step in graph.steps.items()}
    for step in graph.steps.values():
        for former in step.formerly:
            other = owners.setdefault((step.participant, former), step.name)
            if other != step.name:
                words = f"{step.name} was formerly {former}, and so is or was {other}: a name leads to one step"
                yield Mistake(words, step.function)
