"""PURE: the message classes of a saga, as its schema module declares them."""

import re
import sys
from collections.abc import Iterator
from typing import get_args

from consumers.runtime.field_types import fields_of
from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.flow_model import Graph
from schemas.engine import EngineCommand, EngineEvent, engine_messages
from schemas.message import Command, CompensatingEvent, EndState, Event, FailingEnd, Message, Question


def own_messages(graph: Graph) -> dict[str, type[Message]]:
    """The saga's own message classes, by wire type; the engine's are left out."""
    kinds = graph.schema.messages.items()
    return {name: kind for name, kind in kinds if not issubclass(kind, EngineEvent | EngineCommand)}


def modules_of(graph: Graph) -> frozenset[str]:
    """The names of the modules that declare the saga's messages."""
    return frozenset(kind.__module__ for kind in own_messages(graph).values())


def _declared(graph: Graph) -> Iterator[type[Message]]:
    """Every message class of the schema's modules, those included that the schema could not take."""
    for name in dict.fromkeys(kind.__module__ for kind in own_messages(graph).values()):
        module = sys.modules.get(name)
        values = list(vars(module).values()) if module is not None else []
        kinds = [kind for kind in values if isinstance(kind, type) and issubclass(kind, Message)]
        yield from dict.fromkeys(kind for kind in kinds if kind.__module__ == name)


def types(graph: Graph) -> Iterator[Mistake]:
    """A wire type begins with the saga's name."""
    saga = graph.schema.saga
    form = re.compile(rf"{re.escape(saga)}(\.[a-z0-9_]+)+")
    for name, kind in own_messages(graph).items():
        if not form.fullmatch(name):
            below = re.sub(r"[^a-z0-9_.]", "_", name.lower().removeprefix(f"{saga}.")).strip(".")
            words = f"{kind.__name__} has the type {name!r}, and belongs to the saga {saga}"
            yield Mistake(f'{words}: write type="{saga}.{below}"', kind)


def field_names(graph: Graph) -> Iterator[Mistake]:
    """A field is read by its own name, whatever former names it has beside it: that is how it is written."""
    for kind in own_messages(graph).values():
        for field in fields_of(kind):
            if field.name not in field.read_as:
                words = f"the field {field.name} of {kind.__name__} is written by its name, and read by others only"
                names = ", ".join(f'"{name}"' for name in (field.name, *field.read_as))
                yield Mistake(f"{words}: write validation_alias=AliasChoices({names})", kind)


def classes(graph: Graph) -> Iterator[Mistake]:
    """Each class has a wire type of its own, and is a command or an event."""
    first: dict[str, type[Message]] = {}
    for kind in _declared(graph):
        if not kind.wire_type:
            if not kind.__subclasses__():
                words = f'{kind.__name__} has no wire type: write class {kind.__name__}(…, type="{graph.saga}.…")'
                yield Mistake(words, kind)
            continue
        if not issubclass(kind, Command | Event):
            yield Mistake(f"{kind.__name__} is neither a Command nor an Event: derive it from one of them", kind)
        other = first.setdefault(kind.wire_type, kind)
        if other is not kind:
            words = f"{other.__name__} and {kind.__name__} have one wire type, {kind.wire_type}"
            yield Mistake(f"{words}: give each a type of its own", kind)


def engine_types(graph: Graph) -> Iterator[Mistake]:
    """The engine's own types are taken."""
    taken = engine_messages(graph.saga)
    for kind in _declared(graph):
        if kind.wire_type in taken:
            yield Mistake(f"{kind.__name__} has a type of the engine, {kind.wire_type}: choose another", kind)


def compensating_events(graph: Graph) -> Iterator[Mistake]:
    """A compensating event names the event that it takes back."""
    for kind in own_messages(graph).values():
        if not issubclass(kind, CompensatingEvent):
            continue
        undone = getattr(kind, "undoes", None)
        if undone is None:
            yield Mistake(f"{kind.__name__} does not say which event it takes back: write undoes=ThatEvent", kind)
        elif not (isinstance(undone, type) and issubclass(undone, Event)) or issubclass(undone, CompensatingEvent):
            yield Mistake(f"{kind.__name__} takes back {undone!r}, which is no event of a step", kind)
        elif undone.__module__ not in modules_of(graph) and undone.wire_type not in graph.schema.messages:
            yield Mistake(f"{kind.__name__} takes back {undone.__name__}, which {graph.saga} does not declare", kind)


def final_states(graph: Graph) -> Iterator[Mistake]:
    """The state in which a failing end leaves the saga is one of those that the status knows."""
    known = get_args(EndState)
    for kind in own_messages(graph).values():
        if issubclass(kind, FailingEnd) and (kind.ends_as not in known or kind.ends_as == "completed"):
            allowed = ", ".join(name for name in known if name != "completed")
            yield Mistake(f"{kind.__name__} ends as {kind.ends_as!r}: write one of {allowed}", kind)


def questions(graph: Graph) -> Iterator[Mistake]:
    """A question says what it waits for; an answer names a question."""
    for kind in own_messages(graph).values():
        if issubclass(kind, Question) and not kind.waiting_for:
            yield Mistake(
                f'{kind.__name__} does not say what it waits for: write waiting_for="approve or reject"', kind
            )
        answered = kind.answers if issubclass(kind, Event) else None
        if answered is not None and not (isinstance(answered, type) and issubclass(answered, Question)):
            yield Mistake(f"{kind.__name__} answers {answered!r}, which is no Question", kind)
