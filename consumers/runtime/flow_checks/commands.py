"""PURE: each command has one consumer, which belongs to the door; one of them opens the saga."""

from collections.abc import Iterator

from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.flow_checks.schemas import own_messages
from consumers.runtime.flow_model import Graph
from schemas.message import Command, Opening


def consumers(graph: Graph) -> Iterator[Mistake]:
    """A command has exactly one consumer."""
    for name, kind in own_messages(graph).items():
        if not issubclass(kind, Command):
            continue
        steps = graph.hearers.get(name, ())
        if len(steps) > 1:
            names = ", ".join(step.name for step in steps)
            words = f"the command {name} has {len(steps)} consumers: {names}; keep one, and let others hear its event"
            yield Mistake(words, steps[1].function)
        if not steps:
            yield Mistake(f"no step hears the command {name}: write @on({kind.__name__}) at the door", kind)


def mixed(graph: Graph) -> Iterator[Mistake]:
    """A step hears commands or events; a join hears events."""
    for step in graph.steps.values():
        kinds = {graph.is_a(wire_type, Command) for leg in step.legs for wire_type in leg}
        if kinds == {True, False}:
            words = f"{step.name} hears commands and events; it must hear one or the other: split it in two steps"
            yield Mistake(words, step.function)
        elif step.hears_commands and step.join_deadline_seconds is not None:
            yield Mistake(f"{step.name} joins commands: join the events that they lead to", step.function)


def at_the_door(graph: Graph) -> Iterator[Mistake]:
    """Only the door reads commands."""
    for step in graph.steps.values():
        if step.hears_commands and step.participant != graph.door:
            words = f"{step.name} hears a command, but {step.participant} is not the door: move it to {graph.door}"
            yield Mistake(words, step.function)


def opening(graph: Graph) -> Iterator[Mistake]:
    """Exactly one step opens the saga, and it hears a command."""
    openings = [step for step in graph.steps.values() if step.opens]
    if len(openings) != 1 or not openings[0].hears_commands:
        names = ", ".join(step.name for step in openings) or "none"
        about = openings[-1].function if openings else graph.flow
        words = f"exactly one step must hear a command and say the Opening, not {names}"
        yield Mistake(f"{words}; let other steps say other events", about)
    declared = [kind for kind in own_messages(graph).values() if issubclass(kind, Opening)]
    for kind in declared[1:]:
        words = f"{kind.__name__} is a second Opening beside {declared[0].__name__}: derive it from Event"
        yield Mistake(words, kind)


def refusals(graph: Graph) -> Iterator[Mistake]:
    """A command of a saga that goes on leads to an event, or to a refusal."""
    for step in graph.steps.values():
        if step.hears_commands and not step.says and not step.signature.may_be_silent and step.signature.says:
            yield Mistake(f"{step.name} only ever refuses its command: let it say an event as well", step.function)
