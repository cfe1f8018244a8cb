"""PURE: how large a journal may grow, measured as it is encoded, so that its record always fits into the state topic.

Above `JOURNAL_BYTES_MAX` no input is accepted that may be refused. The rest of the record is room for what may not: the
ends, the engine's own events, what the door has said itself, and what running steps say.
"""

import msgspec

from consumers.runtime.graph import Step
from consumers.runtime.journal import Fact, Journal
from consumers.runtime.view import View

JOURNAL_BYTES_MAX = 4 * 1024 * 1024
FULL_BYTES_MAX = 6 * 1024 * 1024
# Each of these is looked through at every event of its saga.
COMMANDS_WAITING_MAX = 200
ITEMS_MAX = 500
STARTED_MAX = 2_000
# Below this no journal's size is kept.
SMALL_BYTES = 64 * 1024
# What a fact takes beside its body and its names.
FACT_BYTES = 200
CAUSE_CHARACTERS_IN_FULL = 200


class Sizes:
    """How large the state records of one lane are, at most: as they were encoded last, and what was added since.

    A journal is encoded to be measured only where it seems to be full, and something of it has ended since.
    """

    def __init__(self) -> None:
        self._encoded: dict[str, int] = {}
        self._added: dict[str, int] = {}
        self._shrunk: set[str] = set()

    def encoded(self, saga_id: str, size_bytes: int) -> None:
        """Its record has this size."""
        self._added.pop(saga_id, None)
        self._shrunk.discard(saga_id)
        if size_bytes > SMALL_BYTES:
            self._encoded[saga_id] = size_bytes
        else:
            self._encoded.pop(saga_id, None)

    def add(self, saga_id: str, size_bytes: int) -> None:
        """So much has come to it."""
        self._added[saga_id] = self._added.get(saga_id, 0) + size_bytes

    def ended(self, saga_id: str) -> None:
        """Something of it has ended, so that it may be smaller than it seems."""
        self._shrunk.add(saga_id)

    def bytes_at_most(self, saga_id: str) -> int:
        """How large its record may be."""
        return self._encoded.get(saga_id, SMALL_BYTES) + self._added.get(saga_id, 0)

    def has_room(self, journal: Journal, more_bytes: int, limit_bytes: int) -> bool:
        """Whether so much more may come to it."""
        saga_id = journal.saga_id
        if self.bytes_at_most(saga_id) + more_bytes <= limit_bytes:
            return True
        if saga_id not in self._shrunk:
            return False
        self.encoded(saga_id, len(msgspec.msgpack.encode(journal)))
        return self.bytes_at_most(saga_id) + more_bytes <= limit_bytes


def bytes_of(view: View, fact: Fact) -> int:
    """What an event takes in a journal, which keeps it as a fact, and as the message of each item."""
    return view.copies.get(fact.type, 0) * bytes_once(fact)


def full_of_events(journal: Journal, more_bytes: int, sizes: Sizes) -> str:
    """Why the saga can take no event that adds so much, or nothing."""
    if not sizes.has_room(journal, more_bytes, JOURNAL_BYTES_MAX):
        return _too_large(journal, sizes)
    if len(journal.seen) >= STARTED_MAX or len(journal.items) >= ITEMS_MAX:
        return f"the saga has {len(journal.items)} items of {len(journal.seen)} started, and may have no more"
    if journal.hold is not None and len(journal.hold.parked) >= ITEMS_MAX:
        return f"the saga is held, and {ITEMS_MAX} events wait for it already: {journal.hold.cause}"
    return ""


def full_of_commands(journal: Journal, fact: Fact, sizes: Sizes) -> str:
    """Why the saga can take no such command now, or nothing."""
    if len(journal.items) >= COMMANDS_WAITING_MAX:
        waiting = sum(item.command for item in journal.items.values())
        if waiting >= COMMANDS_WAITING_MAX:
            return f"{waiting} commands of this saga wait already; publish it again when they are answered"
    return "" if sizes.has_room(journal, bytes_once(fact), JOURNAL_BYTES_MAX) else _too_large(journal, sizes)


def bytes_once(fact: Fact) -> int:
    """What a message takes in a journal, kept once."""
    # A character has four bytes at most.
    return (
        FACT_BYTES
        + len(fact.body)
        + 4 * (2 * (len(fact.id) + len(fact.identity)) + len(fact.source) + len(fact.causation))
    )


def _too_large(journal: Journal, sizes: Sizes) -> str:
    there = sizes.bytes_at_most(journal.saga_id)
    return f"the saga has {there} bytes of state already, and may have {JOURNAL_BYTES_MAX}"


def keeps_fact(step: Step | None, wire_type: str) -> bool:
    """Whether what the step says is kept to be undone."""
    return step is not None and step.undo is not None and step.undo.fact == wire_type
