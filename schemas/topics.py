"""The catalogue of topics, derived from the message classes. No topic name stands anywhere else as a literal."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import NamedTuple, NoReturn

from . import __path__ as package_path
from .engine import engine_messages
from .message import Command, Event, Message, Opening


class SagaTopics(NamedTuple):
    """The four topics of one saga kind; equal partition counts, keyed by saga id."""

    commands: str
    events: str
    status: str
    dead: str

    @classmethod
    def of(cls, saga: str) -> "SagaTopics":
        """The topics of the saga kind `saga`."""
        return cls(f"{saga}.commands", f"{saga}.events", f"{saga}.status", f"{saga}.dead")


def state_topic(participant: str) -> str:
    """The compacted topic in which the participant keeps its journals and its position."""
    return f"{participant}.state"


def messages_in(module: ModuleType) -> dict[str, type[Message]]:
    """Every message class that a schema module declares, by wire type."""
    return {
        value.wire_type: value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Message)
        and value.wire_type
        and value.__module__ == module.__name__
    }


class SagaSchema(NamedTuple):
    """All that can be said in one saga kind: by wire type, the engine's own events included."""

    saga: str
    topics: SagaTopics
    messages: dict[str, type[Message]]

    def commands(self) -> dict[str, type[Command]]:
        """The commands of this saga, by wire type."""
        return {name: kind for name, kind in self.messages.items() if issubclass(kind, Command)}

    def events(self) -> dict[str, type[Event]]:
        """The events of this saga, by wire type."""
        return {name: kind for name, kind in self.messages.items() if issubclass(kind, Event)}


def schema_of(saga: str, module: ModuleType) -> SagaSchema:
    """The schema of a saga kind whose own messages are declared in `module`."""
    return SagaSchema(saga, SagaTopics.of(saga), messages_in(module) | engine_messages(saga))


class Catalogue(dict[str, SagaSchema]):
    """The schemas by the name of their saga."""

    def __missing__(self, saga: str) -> NoReturn:
        known = ", ".join(sorted(self))
        raise LookupError(f"there is no saga {saga}: schemas/{saga}.py must declare an Opening; there are {known}")


def catalogue() -> dict[str, SagaSchema]:
    """Every saga kind that ships, by name: each module of this package that declares an `Opening` is one."""
    modules = {found.name: import_module(f".{found.name}", __package__) for found in iter_modules(package_path)}
    return Catalogue(
        (name, schema_of(name, module))
        for name, module in modules.items()
        if any(issubclass(kind, Opening) for kind in messages_in(module).values())
    )
