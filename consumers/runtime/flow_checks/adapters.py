"""PURE: behind each port that a signature names stands an adapter that has the port's methods."""

import inspect
from collections.abc import Iterator, Mapping

from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.flow_model import Graph, Step, Undo
from consumers.runtime.steps import StepFunction

AWAITABLES = ("Awaitable", "Coroutine", "Future", "Task")


def adapters(graph: Graph, ports: Mapping[type, object]) -> Iterator[Mistake]:
    """A line for each port without an adapter, and for each method that an adapter lacks; `ports` has the adapters."""
    for port, function in _named_ports(graph).items():
        adapter = ports.get(port)
        if adapter is None:
            words = f"{function.__name__} takes the port {port.__name__}, and no adapter stands behind it"
            yield Mistake(f"{words}: add {port.__name__} to the adapters of {graph.saga}", function)
        elif isinstance(adapter, type):
            words = f"the adapter of {port.__name__} is the class {adapter.__name__}: hand over an instance of it"
            yield Mistake(words, adapter)
        else:
            yield from _lacking(port, adapter)


def _named_ports(graph: Graph) -> dict[type, StepFunction]:
    """Each port that a step or compensation takes, with the first function that takes it."""
    found: dict[type, StepFunction] = {}
    owners: tuple[Step | Undo, ...] = (*graph.steps.values(), *graph.undos.values())
    for owner in owners:
        for _, port in owner.signature.ports:
            found.setdefault(port, owner.function)
    return found


def _lacking(port: type, adapter: object) -> Iterator[Mistake]:
    kind = type(adapter)
    for name in dir(port):
        declared = inspect.getattr_static(port, name)
        if name.startswith("_") or not inspect.isfunction(declared):
            continue
        method = getattr(adapter, name, None)
        if not callable(method):
            words = f"{kind.__name__} stands behind {port.__name__}, and has no method {name}"
            yield Mistake(f"{words}: write it", kind)
        elif inspect.iscoroutinefunction(declared) and _is_plain(method):
            words = f"{kind.__name__}.{name} is a plain `def`, and {port.__name__}.{name} is async"
            yield Mistake(f"{words}: write `async def`", kind)


def _is_plain(method: object) -> bool:
    """Whether calling it surely gives no awaitable: a plain method whose annotation says so."""
    if not inspect.ismethod(method) or inspect.iscoroutinefunction(method):
        return False
    returned = getattr(method, "__annotations__", {}).get("return", "Awaitable")
    return not any(word in str(returned) for word in AWAITABLES)
