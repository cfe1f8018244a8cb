"""PURE: every message that is declared is used, and every message that is used is declared."""

from collections.abc import Iterator

from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.flow_checks.schemas import modules_of, own_messages
from consumers.runtime.flow_model import Graph
from schemas.engine import CommandRefused, EngineEvent
from schemas.message import Command, CompensatingEvent, Completion, FailingEnd, Message


def undeclared(graph: Graph) -> Iterator[Mistake]:
    """What is heard, said, recalled or undone stands in the saga's schema module."""
    # Of two classes with one type in the schema's module `schemas.classes` and `schemas.engine_types` tell.
    modules = modules_of(graph)
    for step in graph.steps.values():
        named: dict[type[Message], object] = dict.fromkeys(step.signature.kinds, step.function)
        if step.undo is not None:
            named |= {kind: step.undo.function for kind in step.undo.signature.kinds if kind not in named}
        for kind, function in named.items():
            if issubclass(kind, EngineEvent) or not kind.wire_type:
                continue
            declared = graph.schema.messages.get(kind.wire_type)
            if declared is not kind and (declared is None or kind.__module__ not in modules):
                name = getattr(function, "__name__", "")
                words = f"{name} uses {kind.__name__} ({kind.wire_type}), which {graph.saga} does not declare"
                yield Mistake(f"{words}: declare it in the saga's schema module", function)


def unused(graph: Graph) -> Iterator[Mistake]:
    """An event that no step says, and one that no step hears or recalls, are mistakes."""
    recalled = {kind for participant in graph.participants for kind in graph.kept_by(participant)}
    undoing = {said.wire_type for undo in graph.undos.values() for said in undo.signature.says}
    for name, kind in own_messages(graph).items():
        if issubclass(kind, Command):
            continue
        if issubclass(kind, CompensatingEvent):
            if name not in undoing:
                yield Mistake(f"no compensation says {name}: write an @undo that returns {kind.__name__}", kind)
            if name in graph.sayers:
                words = f"{graph.sayers[name][0].name} says {name}, which only a compensation may say"
                yield Mistake(words, graph.sayers[name][0].function)
            continue
        if name not in graph.sayers:
            yield Mistake(f"no step says {name}: let a step of the flow return {kind.__name__}, or remove it", kind)
        is_end = issubclass(kind, Completion | FailingEnd)
        if is_end and name in graph.hearers:
            step = graph.hearers[name][0]
            yield Mistake(f"{step.name} hears {name}, which ends the saga: no step runs after an end", step.function)
        elif not is_end and name not in graph.hearers and name not in recalled:
            yield Mistake(f"no step hears {name}: let a step hear or recall {kind.__name__}, or remove it", kind)


def engine_words(graph: Graph) -> Iterator[Mistake]:
    """Of the engine's events a step may say one: the refusal of the command it hears."""
    for step in graph.steps.values():
        for kind in step.signature.says:
            if issubclass(kind, EngineEvent) and kind is not CommandRefused:
                yield Mistake(f"{step.name} says {kind.__name__}, which only the engine may say", step.function)
            elif kind is CommandRefused and not step.hears_commands:
                words = f"{step.name} refuses a command, and hears none: say an event of the saga instead"
                yield Mistake(words, step.function)
