"""PURE: what touches the world outside can be undone, or is declared as what cannot."""

import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Protocol

from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.flow_model import Graph, Step
from consumers.runtime.forward_only import ways
from consumers.runtime.steps import Call, ReadOnly

# A port's method that makes something takes the key under which a repeated call finds it.
KEYS = ("key", "idempotency_key", "call")


def without_undo(graph: Graph) -> Iterator[Mistake]:
    """An effect has an undo, or is a pivot, or comes after one: then nothing is undone any more."""
    for step in graph.steps.values():
        if step.has_effect and step.undo is None and not step.pivot and not _is_after_a_pivot(graph, step):
            words = f"{step.name} has an effect, but neither an undo nor the mark pivot: write an @undo for its event"
            yield Mistake(f"{words}, or mark it pivot=True, or its ports ReadOnly if they only look", step.function)


def _is_after_a_pivot(graph: Graph, step: Step) -> bool:
    for pivot in graph.steps.values():
        said = frozenset(way.outcome for way in ways(graph, pivot)) if pivot.pivot else frozenset()
        if pivot is not step and said and any(graph.executions.requires(leg, said) for leg in step.legs):
            return True
    return False


def pivots_with_undo(graph: Graph) -> Iterator[Mistake]:
    """A pivot is what cannot be undone, and has an effect."""
    for step in graph.steps.values():
        if step.pivot and step.undo is not None:
            yield Mistake(f"{step.name} is a pivot, and has an undo: remove one of the two", step.function)
        if step.pivot and step.signature.ports and not step.has_effect:
            words = (
                f"{step.name} is a pivot, and all its ports are ReadOnly: take ReadOnly off the port with the effect"
            )
            yield Mistake(words, step.function)


def read_only_ports(graph: Graph) -> Iterator[Mistake]:
    """A port that changes something is not marked as one that only looks."""
    for step in graph.steps.values():
        ports = [port for _, port in step.signature.ports]
        if step.undo is not None and ports and not step.has_effect:
            names = ", ".join(port.__name__ for port in ports)
            words = f"{step.name} has the undo {step.undo.name}, and all its ports are ReadOnly ({names})"
            yield Mistake(f"{words}: take ReadOnly off the port with the effect, or remove the undo", step.function)
        undoing = [port for _, port in step.undo.signature.ports] if step.undo is not None else []
        if step.undo is not None and undoing and all(ReadOnly in port.__mro__ for port in undoing):
            words = f"all ports of the compensation {step.undo.name} are ReadOnly, so it can take nothing back"
            yield Mistake(f"{words}: hand it the port with the effect", step.undo.function)
        for port in dict.fromkeys((*ports, *undoing)):
            if ReadOnly in port.__mro__:
                yield from _effects_of(port)


def _effects_of(port: type) -> Iterator[Mistake]:
    for base in port.__mro__[1:]:
        if base not in (object, Protocol, ReadOnly) and ReadOnly not in base.__mro__ and _methods(base):
            words = f"{port.__name__} is ReadOnly, and inherits from {base.__name__}, which is not"
            yield Mistake(f"{words}: take ReadOnly off it, or do not inherit", port)
    for name, method in _methods(port).items():
        for parameter, declared in inspect.signature(method).parameters.items():
            if parameter in KEYS or declared.annotation in (Call, "Call"):
                words = f"{port.__name__} is ReadOnly, but its method {name} takes a {parameter}, as effects do"
                yield Mistake(f"{words}: take ReadOnly off the port, or the {parameter} off the method", method)


def _methods(port: type) -> dict[str, FunctionType]:
    return {
        name: method
        for name, method in vars(port).items()
        if isinstance(method, FunctionType) and not name.startswith("_")
    }


def silent_steps(graph: Graph) -> Iterator[Mistake]:
    """A step says something: else nothing can follow from it, and the log does not show it."""
    for step in graph.steps.values():
        is_told = any(flaw.about is step.function for flaw in graph.flaws)
        if not step.signature.says and not is_told:
            yield Mistake(f"{step.name} says nothing: let it return an event", step.function)
