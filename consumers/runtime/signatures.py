"""PURE: what the annotations of a step or compensation say. Every mistake in them is collected, not only the first."""

import inspect
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from consumers.runtime.steps import Call, Later, StepFunction
from schemas.engine import EngineEvent
from schemas.message import Command, Event, Message


@dataclass(frozen=True)
class Recall:
    """An earlier event that a step asks for: any of `types`, or None if `optional`."""

    parameter: str
    types: tuple[str, ...]
    optional: bool


@dataclass(frozen=True)
class Signature:
    """What a function must be called with, and what it may return; `kinds` are the message classes it names."""

    heard: tuple[str, ...]
    recalls: tuple[Recall, ...]
    ports: tuple[tuple[str, type], ...]
    call: str | None
    says: tuple[type[Event], ...]
    may_wait: bool
    may_be_silent: bool
    kinds: tuple[type[Message], ...] = ()


def signature_of(function: StepFunction, heard_parameters: int) -> Signature:
    """The function's signature; raises TypeError for a parameter or a result with no type or a wrong one."""
    signature, flaws = read_signature(function, heard_parameters)
    if flaws:
        raise TypeError(f"{function.__name__} {flaws[0]}")
    return signature


def read_signature(function: StepFunction, heard_parameters: int) -> tuple[Signature, list[str]]:
    """The signature as far as it can be read, and what is wrong with it, worded to follow the function's name."""
    hints, flaws = _hints_of(function)
    unknown = set(getattr(function, "__annotations__", {})) - set(hints)
    heard: list[str] = []
    recalls: list[Recall] = []
    ports: list[tuple[str, type]] = []
    calls: list[str] = []
    kinds: list[type[Message]] = []
    for name, parameter in inspect.signature(function).parameters.items():
        members = members_of(hints.get(name))
        named = [kind for kind in members if kind is not NoneType]
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD and parameter.kind is not parameter.KEYWORD_ONLY:
            flaws.append(f"takes {parameter}: the engine passes each parameter by its name, so write it out")
        elif name in unknown:
            continue
        elif not named:
            flaws.append(f"parameter {name} says nothing about its type: annotate it with a message, a port or Call")
        elif named == [Call]:
            calls.append(name)
        elif all(isinstance(kind, type) and issubclass(kind, Message) for kind in named):
            kinds.extend(named)
            if len(heard) < heard_parameters:
                heard.append(name)
                continue
            flaws.extend(_flaws_of_recall(name, named))
            recalls.append(Recall(name, tuple(kind.wire_type for kind in named), NoneType in members))
        elif len(named) == 1 and isinstance(named[0], type) and named[0].__module__ not in ("builtins", "datetime"):
            ports.append((name, named[0]))
        else:
            words = " | ".join(_name_of(kind) for kind in named)
            flaws.append(f"parameter {name}: {words} is neither a message, a port nor a Call")
    if len(calls) > 1:
        flaws.append(f"takes two calls, {' and '.join(calls)}: one parameter may be a Call")
    if len(heard) < heard_parameters:
        flaws.append(f"needs a parameter for each message it hears, {heard_parameters} in all, before all others")
    says, may_wait, may_be_silent = _result_of(function, hints, unknown, flaws)
    flaws.extend(_flaws_of_async(function))
    kinds.extend(says)
    call = calls[0] if calls else None
    signature = Signature(
        tuple(heard), tuple(recalls), tuple(ports), call, says, may_wait, may_be_silent, tuple(dict.fromkeys(kinds))
    )
    return signature, flaws


def parameter_kinds(function: StepFunction) -> list[set[Any]]:
    """The types each parameter may have, in order; an unknown annotation has none."""
    hints, _ = _hints_of(function)
    return [set(members_of(hints.get(parameter))) for parameter in inspect.signature(function).parameters]


def members_of(kind: Any) -> tuple[Any, ...]:
    """The alternatives of a union, or the one type."""
    if get_origin(kind) in (Union, UnionType):
        return get_args(kind)
    return () if kind is None else (kind,)


def _hints_of(function: StepFunction) -> tuple[dict[str, Any], list[str]]:
    try:
        return get_type_hints(function), []
    except Exception:
        return _hints_one_by_one(function)


def _hints_one_by_one(function: StepFunction) -> tuple[dict[str, Any], list[str]]:
    hints: dict[str, Any] = {}
    flaws: list[str] = []
    for name, annotation in function.__annotations__.items():
        holder = type("Holder", (), {"__annotations__": {name: annotation}})
        try:
            hints |= get_type_hints(holder, globalns=function.__globals__)
        except Exception as error:
            what = "returns" if name == "return" else f"parameter {name}:"
            flaws.append(f"{what} {annotation!r}, which cannot be resolved ({error}): import or define it")
    return hints, flaws


def _flaws_of_recall(name: str, kinds: list[type[Message]]) -> list[str]:
    found = []
    for kind in kinds:
        if issubclass(kind, Command):
            found.append(f"parameter {name} recalls the command {kind.__name__}: only events can be recalled")
        elif not kind.wire_type:
            found.append(f"parameter {name} recalls {_untyped(kind)}")
    return found


def _result_of(
    function: StepFunction, hints: dict[str, Any], unknown: set[str], flaws: list[str]
) -> tuple[tuple[type[Event], ...], bool, bool]:
    """What the function may say, whether it may wait, and whether it may be silent; adds to `flaws`."""
    if "return" not in hints:
        if "return" not in unknown:
            flaws.append("has no return annotation: write the events it says, such as `-> Paid | PaymentRefused`")
        return (), False, False
    returned = members_of(hints["return"])
    says: list[type[Event]] = []
    for kind in returned:
        if isinstance(kind, type) and issubclass(kind, Event):
            if kind.wire_type or issubclass(kind, EngineEvent):
                says.append(kind)
            else:
                flaws.append(f"returns {_untyped(kind)}")
        elif kind not in (Later, NoneType):
            flaws.append(f"returns {_name_of(kind)}: a step may return events, Later and None only")
    return tuple(says), Later in returned, NoneType in returned


def _flaws_of_async(function: StepFunction) -> list[str]:
    if inspect.isasyncgenfunction(function):
        return ["yields: a step returns the one event that it says"]
    if not inspect.iscoroutinefunction(function):
        return ["is a plain `def`: write `async def`"]
    return []


def _untyped(kind: type[Message]) -> str:
    return f"{kind.__name__}, which has no wire type of its own: name a class declared with type="


def _name_of(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")
