"""The rules a flow must keep, checked before it runs. Every mistake is reported, not only the first.

Each rule is one function of `flow_checks/`, named in the table below. A mistake is one line: the file and line of the
function or class concerned, what is wrong, and what to write instead.
"""

from collections.abc import Callable, Iterator

from consumers.runtime.flow_checks import (
    commands,
    compensations,
    effects,
    ends,
    naming,
    pivots,
    recalls,
    schemas,
    timers,
    twice,
    words,
)
from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.graph import Graph
from producers.errors import FlowError

Check = Callable[[Graph], Iterator[Mistake]]

# These hold in any graph.
CHECKS: tuple[Check, ...] = (
    naming.participants,
    naming.former_names,
    naming.engine_names,
    schemas.types,
    schemas.classes,
    schemas.field_names,
    schemas.engine_types,
    schemas.compensating_events,
    schemas.final_states,
    schemas.questions,
    words.undeclared,
    words.unused,
    words.engine_words,
    commands.consumers,
    commands.mixed,
    commands.at_the_door,
    commands.opening,
    commands.refusals,
    effects.without_undo,
    effects.pivots_with_undo,
    effects.read_only_ports,
    effects.silent_steps,
    timers.questions_expire,
    timers.questions_are_answered,
    timers.waits_end,
    compensations.events,
    compensations.orders,
    compensations.cycles,
)
# These follow events from step to step, and need a graph without loops.
PATH_CHECKS: tuple[Check, ...] = (
    ends.dead_ends,
    ends.completions,
    ends.going_on,
    pivots.failing_ends,
    pivots.until,
    recalls.certain,
    timers.exclusive_legs,
    timers.missing_legs,
    twice.same_cause,
    twice.repeated_commands,
)


def checked(graph: Graph) -> Graph:
    """The same graph; raises `FlowError` with a line for every rule it breaks."""
    found = list(mistakes_in(graph))
    if found:
        raise FlowError(graph.saga, found)
    return graph


def mistakes_in(graph: Graph) -> Iterator[str]:
    """A line for every rule the graph breaks, each once."""
    yield from dict.fromkeys(str(mistake) for mistake in _mistakes(graph))


def _mistakes(graph: Graph) -> Iterator[Mistake]:
    yield from graph.flaws
    loops = list(ends.loops(graph))
    yield from loops
    for check in (*CHECKS, *(() if loops else PATH_CHECKS)):
        try:
            yield from check(graph)
        except Exception:
            # A graph of wrong marks may lack what a check looks at; its flaws are told, and come first.
            if not graph.flaws:
                raise
