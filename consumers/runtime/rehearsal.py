"""What would come of a dead letter now: the current code is asked, and nothing is changed.

A step is called with the real ports that only look; the first method of any other port that it calls ends the
rehearsal before anything is done. Up to there it has passed: what the world would answer is not known.
"""

import copy
import inspect
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from consumers.runtime.calling import Caller
from consumers.runtime.finishing import Blocked, Broke, Spoke, Unfit, Waits
from consumers.runtime.graph import Graph, Step
from consumers.runtime.hearing import lacks_legs
from consumers.runtime.intake import known_command, of_bearable_size, validated
from consumers.runtime.journal import Journal
from consumers.runtime.judging import missing_legs
from consumers.runtime.memory import Work
from consumers.runtime.steps import ReadOnly
from consumers.runtime.transport import Clock
from consumers.runtime.unfit import changed, missing
from consumers.runtime.view import View, view_of
from producers.errors import Unreadable
from producers.headers import iso_time, read
from producers.records import Record

EVENTS_STAY = (
    "an event is a fact at its place in the log, and whoever could read it has acted on it there;"
    " mend the saga with a command instead"
)


@dataclass(frozen=True)
class Verdict:
    """`refused`: it would not even be tried, because of how its saga stands or what it is."""

    kind: Literal["passes", "fails", "refused"]
    words: str


class FirstEffect(BaseException):
    """Ends a rehearsal. No Exception, so that no step takes it for an answer of its port."""


class CapturedPort:
    """A port that does nothing: the first method called is noted, and is as far as the rehearsal goes."""

    def __init__(self, name: str, port: object, called: list[str]) -> None:
        self._name, self._port, self._called = name, port, called

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        if not callable(found):
            return found

        def capture(*args: Any, **named: Any) -> NoReturn:
            self._called.append(f"{self._name}.{method}")
            raise FirstEffect(method)

        async def capture_later(*args: Any, **named: Any) -> NoReturn:
            capture()

        return capture_later if inspect.iscoroutinefunction(found) else capture


def captured(ports: dict[type, object], called: list[str]) -> dict[type, object]:
    """The same ports, of which all that could change something are captured; `called` tells what was called."""
    return {
        kind: port if ReadOnly in kind.__mro__ else CapturedPort(kind.__name__, port, called)
        for kind, port in ports.items()
    }


def rehearsed_record(graph: Graph, record: Record) -> Verdict:
    """Whether the current code can read a record that nobody could. PURE."""
    if record.topic != graph.schema.topics.commands:
        return Verdict("refused", EVENTS_STAY)
    view = view_of(graph, graph.door)
    try:
        heard = read(record, "")
        of_bearable_size(heard)
        known_command(view, heard)
        validated(view.graph.schema.messages[heard.type], heard)
    except Unreadable as unreadable:
        return Verdict("fails", str(unreadable))
    return Verdict("passes", f"it can be read now, as {heard.type}")


async def rehearsed_item(
    graph: Graph, participant: str, ports: dict[type, object], journal: Journal | None, item_id: str, clock: Clock
) -> Verdict:
    """Whether the step would pass if the item were retried now; `journal` is what its participant remembers."""
    view = view_of(graph, participant)
    if journal is None:
        return Verdict("refused", f"{participant} knows nothing of this saga")
    refusal = _refusal(view, journal, item_id)
    if refusal is not None:
        return Verdict("refused", refusal)
    # A copy: the journal may be the memory of somebody who goes on with it.
    journal = copy.deepcopy(journal)
    item = journal.items[item_id]
    owner = view.undos.get(item.step) if item.undoes else view.steps.get(item.step)
    if owner is None:
        return Verdict("fails", changed(missing(journal, view, item)))
    if isinstance(owner, Step) and lacks_legs(item, owner):
        return Verdict("fails", f"JoinTimedOut: {missing_legs(view, item)}")
    item.attempt += 1
    called: list[str] = []
    outcome = await Caller(graph, captured(ports, called), clock)(Work(journal, item, owner))
    if called:
        return Verdict("passes", f"passes as far as its first effect {called[0]}")
    match outcome:
        case Spoke():
            said = type(outcome.event).__name__ if outcome.event is not None else "nothing"
            return Verdict("passes", f"says {said}")
        case Waits():
            return Verdict("passes", f"waits until {iso_time(outcome.until)}")
        case Blocked():
            return Verdict("fails", outcome.cause)
        case Broke():
            return Verdict("fails", f"{outcome.error}: {outcome.cause}")
        case Unfit():
            return Verdict("fails", changed(outcome.sentence))


def _refusal(view: View, journal: Journal, item_id: str) -> str | None:
    item = journal.items.get(item_id)
    if item is not None and item.state in ("held", "stuck"):
        return None
    if journal.closed_at is not None:
        return f"{view.graph.saga} {journal.saga_id} has ended"
    if journal.end is not None:
        return f"{view.graph.saga} {journal.saga_id} has ended: {journal.end.type}"
    return "it is under way" if item is not None else "nothing stands still under its item"
