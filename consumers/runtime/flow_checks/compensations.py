"""PURE: each compensation says what it takes back, and their order has no cycle."""

from collections.abc import Iterator

from consumers.runtime.flow_checks.mistake import Mistake
from consumers.runtime.flow_model import Graph
from schemas.message import CompensatingEvent, Completion, Event, FailingEnd, Opening


def events(graph: Graph) -> Iterator[Mistake]:
    """A compensation says exactly the event that takes back what it undoes."""
    for undo in graph.undos.values():
        said = undo.signature.says
        fact: type[Event] | None = graph.schema.events().get(undo.fact)
        if fact is not None and issubclass(fact, Completion | FailingEnd | Opening):
            words = f"{undo.name} undoes {undo.fact}, which opens or ends the saga: undo the event of an effect"
            yield Mistake(words, undo.function)
        takes_back = [kind for kind in said if getattr(kind, "undoes", None) is fact and fact is not None]
        if len(said) != 1 or not takes_back or not issubclass(said[0], CompensatingEvent):
            words = f"{undo.name} must say exactly the event that takes back {undo.fact}"
            name = fact.__name__ if fact else "…"
            yield Mistake(f"{words}: one CompensatingEvent declared with undoes={name}", undo.function)
        if undo.signature.may_be_silent:
            words = f"{undo.name} may return None: a compensation cannot refuse, so let it return its event or raise"
            yield Mistake(words, undo.function)


def orders(graph: Graph) -> Iterator[Mistake]:
    """A compensation waits for participants that there are."""
    for undo in graph.undos.values():
        for unknown in sorted(undo.waits_for - set(graph.participants)):
            words = f"{undo.name} waits for {unknown}, which is no participant"
            yield Mistake(f"{words}: there are {', '.join(graph.participants)}", undo.function)


def cycles(graph: Graph) -> Iterator[Mistake]:
    """No participant waits, directly or not, until it has settled itself."""
    waits: dict[str, set[str]] = {}
    for undo in graph.undos.values():
        waits.setdefault(undo.participant, set()).update(undo.waits_for)
    for participant in waits:
        if participant in _reachable(waits, participant):
            about = next(undo for undo in graph.undos.values() if undo.participant == participant and undo.waits_for)
            words = f"a cycle of compensations: {participant} would wait for itself to settle"
            remedy = "move a step so that events flow one way between participants, or opt out with after=(…)"
            yield Mistake(f"{words}; {remedy}", about.function)


def _reachable(waits: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(waits.get(start, ()))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(waits.get(name, ()))
    return found
