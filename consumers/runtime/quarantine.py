"""PURE: what goes wrong with one saga is that saga's, and no other's.

Every change of a journal by a message or an outcome is an `Attempt`. One that raises is taken back whole: the journal
is as it was before, and nothing of it is emitted. It is counted as a fault of the engine and logged; the caller says
what becomes of the saga. A participant that cannot apply an event holds the saga: it keeps the event as an item that
stands stuck, starts none of the saga's steps, and applies the event again when an operator retries the item.
"""

import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

import msgspec

from consumers.runtime.journal import Fact, Item, Journal
from consumers.runtime.utterances import Utterance, compensation_stuck
from consumers.runtime.view import View
from producers.records import Outgoing
from schemas.engine import EngineCommand, ItemResumed
from schemas.message import Message

log = logging.getLogger(__name__)

# Told as the step of an event that could not be applied.
QUARANTINE = "quarantine"
ENGINE_FAULT = "EngineFault"
CAUSE_CHARACTERS_MAX = 2_000

# Called with the participant and the call that failed; both are few, and so may be labels of a counter.
CountFault = Callable[[str, str], None]

_encode = msgspec.msgpack.Encoder().encode


def uncounted(participant: str, call: str) -> None:
    """Count nothing."""


class Faults:
    """What went wrong in the engine itself, for one participant."""

    def __init__(self, participant: str, count: CountFault = uncounted) -> None:
        self._participant, self._count = participant, count

    def note(self, call: str, saga_id: str, error: Exception) -> None:
        """A call for this saga has raised."""
        self._count(self._participant, call)
        # Inside of its own handler the error has its traceback.
        named = {"participant": self._participant, "call": call, "saga_id": saga_id, "error": words_of(error)}
        log.error("engine.fault", extra=named, exc_info=error)


def words_of(error: BaseException) -> str:
    """The error as a text that every encoding can carry."""
    return encodable(repr(error))[:CAUSE_CHARACTERS_MAX]


def encodable(text: str) -> str:
    """The text with its lone surrogates spelt out, which UTF-8 has no bytes for."""
    return text.encode(errors="backslashreplace").decode()


class Attempt:
    """One change of what is held of a saga, as a context manager: its error is kept in `error`, the change taken back.

    `items` are those of a journal: they stay the same objects. `emitted` grows by what is said.
    """

    __slots__ = ("_before", "_count", "_emitted", "_held", "_items", "_named", "error")

    def __init__(
        self,
        faults: Faults,
        call: str,
        saga_id: str,
        held: msgspec.Struct,
        emitted: list[Outgoing],
        items: Iterable[Item] = (),
    ) -> None:
        self._named = faults, call, saga_id
        self._held, self._items = held, tuple(items)
        self._emitted, self._count = emitted, len(emitted)
        # Encoding takes a fourth of the time that copying takes, and nearly every change succeeds.
        self._before = encoded(faults, saga_id, held)
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        self.error = error
        faults, call, saga_id = self._named
        faults.note(call, saga_id, error)
        _put_back(self._held, msgspec.msgpack.decode(self._before, type=type(self._held)))
        if isinstance(self._held, Journal):
            for item in self._items:
                # What runs is known by its item's identity.
                _put_back(item, self._held.items[item.id])
                self._held.items[item.id] = item
        del self._emitted[self._count :]
        return True


def _put_back(held: msgspec.Struct, before: msgspec.Struct) -> None:
    for name in held.__struct_fields__:
        setattr(held, name, getattr(before, name))


def hold(journal: Journal, view: View, fact: Fact, event: Message | None, error: Exception) -> list[Utterance]:
    """Keep an event that could not be applied, and tell of it; of a saga that is not open, only its opening is."""
    if not journal.is_open and (journal.closed_at is not None or fact.type not in view.openings):
        return []
    cause = f"{view.participant} could not apply {fact.type}: {words_of(error)}"
    item = journal.items.get(event.item) if isinstance(event, ItemResumed) else None
    if item is None:
        # Several participants may be unable to apply the same event, and the log knows an item by its id alone.
        item = Item(f"{QUARANTINE}/{view.participant}/{fact.id}", QUARANTINE, fact, state="stuck")
        journal.items[item.id] = item
    else:
        item.attempt += 1
    item.cause = cause
    if fact.id in journal.awaiting:
        # The door must go on to hear the command that retries it.
        journal.awaiting.remove(fact.id)
    return [compensation_stuck(journal, view, item, cause)]


def is_quarantined(journal: Journal) -> bool:
    """Whether an event of the saga could not be applied here."""
    return any(item.step == QUARANTINE for item in journal.items.values())


def frees(view: View, item: Item) -> bool:
    """Whether the item is a command that the engine answers, such as the one that frees what stands still."""
    asked = view.graph.schema.messages.get(item.message.type)
    return item.command and asked is not None and issubclass(asked, EngineCommand)


def encoded(faults: Faults, saga_id: str, held: msgspec.Struct) -> bytes:
    """The state record of a saga; what cannot be encoded is left out of it, and is a fault."""
    try:
        return _encode(held)
    except Exception as error:
        faults.note("encode", saga_id, error)
    for name in held.__struct_fields__:
        kept = getattr(held, name)
        if isinstance(kept, dict):
            setattr(held, name, {key: one for key, one in kept.items() if _is_encodable((key, one))})
        elif isinstance(kept, list):
            setattr(held, name, [one for one in kept if _is_encodable(one)])
        elif isinstance(kept, str):
            setattr(held, name, encodable(kept))
        elif not _is_encodable(kept):
            setattr(held, name, None)
    return _encode(held)


def _is_encodable(one: object) -> bool:
    try:
        _encode(one)
    except Exception:
        return False
    return True
