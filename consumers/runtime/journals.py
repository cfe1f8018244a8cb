"""PURE: where the journals of one lane are kept, and which of them have changed since the last snapshot."""

from consumers.runtime.journal import Journal, loaded
from consumers.runtime.limits import Sizes
from consumers.runtime.quarantine import Faults, encoded
from consumers.runtime.shelf import Shelf

# A decoded journal is changed at once; an encoded one takes a fourth of the memory.
DECODED_JOURNALS_MAX = 1_000


class Journals:
    """`decoded` has those of which an item runs or that have changed, and up to `decoded_most` others.

    All others are kept encoded, whatever they wait for. Of a saga that has ended nothing is kept, unless `keeps_ended`.
    `flow` is the fingerprint of the flow that this build carries them with.
    """

    def __init__(self, decoded_most: int, keeps_ended: bool, faults: Faults, flow: str = "") -> None:
        self._faults, self._flow = faults, flow
        self.sizes = Sizes()
        self.decoded: dict[str, Journal] = {}
        self._decoded_most, self._keeps_ended = decoded_most, keeps_ended
        self._shelf = Shelf()
        self._touched: dict[str, None] = {}

    def load(self, saga_id: str, record: bytes | None) -> Journal | None:
        """Take one state record; it replaces the one before. None forgets the journal.

        Returns the journal; a change of it must be followed by `touch`. Raises `JournalUnreadable`.
        """
        self._shelf.drop(saga_id)
        self.sizes.encoded(saga_id, len(record or b""))
        if record is None:
            return None
        journal = loaded(saga_id, record)
        self._shelf.put(journal, record)
        return journal

    def find(self, saga_id: str) -> Journal | None:
        """The saga's journal. One that is kept encoded is decoded for the caller: `touch` it after a change."""
        return self.decoded.get(saga_id) or self._shelf.journal(saga_id)

    def touch(self, journal: Journal) -> None:
        """It has changed: it stays decoded until the next snapshot, which has it."""
        saga_id = journal.saga_id
        if saga_id not in self._touched or self.decoded.get(saga_id) is not journal:
            self._touched[saga_id] = None
            # The one that was changed last stands last.
            self.decoded.pop(saga_id, None)
            self.decoded[saga_id] = journal

    def is_touched(self) -> bool:
        """Whether any has changed since the last snapshot."""
        return bool(self._touched)

    def forget(self, ended_before: float) -> None:
        """Forget those of sagas that ended before that time, in seconds of the broker's clock."""
        for saga_id in self._shelf.forget(ended_before):
            self._touched[saga_id] = None

    def take(self) -> dict[str, bytes | None]:
        """The state records of all that was touched since the last time; None where nothing is to be kept."""
        state: dict[str, bytes | None] = {}
        for saga_id in self._touched:
            journal = self.decoded.get(saga_id)
            if journal is None or journal.is_void() or (journal.ended_at() is not None and not self._keeps_ended):
                self.decoded.pop(saga_id, None)
                self._shelf.drop(saga_id)
                state[saga_id] = None
                self.sizes.encoded(saga_id, 0)
                continue
            if journal.flow != self._flow and not journal.is_held_by_flow():
                # It was carried with this flow, whichever it began with.
                journal.flow = self._flow
            state[saga_id] = record = encoded(self._faults, saga_id, journal)
            self.sizes.encoded(saga_id, len(record))
            if self._shelf.put(journal, record):
                del self.decoded[saga_id]
        self._touched = {}
        if len(self.decoded) > self._decoded_most:
            self._put_away()
        return state

    def _put_away(self) -> None:
        """Keep half as many decoded: those without work have been waiting longest, those with work start soonest."""
        excess = len(self.decoded) - self._decoded_most // 2
        waiting: list[str] = []
        ready: list[str] = []
        for saga_id, journal in self.decoded.items():
            states = {item.state for item in journal.items.values()} if journal.items else ()
            if "running" not in states:
                (ready if "ready" in states else waiting).append(saga_id)
                if len(waiting) == excess:
                    break
        for saga_id in (*waiting, *reversed(ready))[:excess]:
            del self.decoded[saga_id]
