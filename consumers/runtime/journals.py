"""PURE: where the journals of one lane are kept, and which of them have changed since the last snapshot."""

from consumers.runtime.journal import Journal, decoded
from consumers.runtime.limits import Sizes
from consumers.runtime.quarantine import Faults, encoded
from consumers.runtime.shelf import Shelf

# A decoded journal is heard at once; an encoded one takes a fourth of the memory.
DECODED_JOURNALS_MAX = 1_000


class Journals:
    """`decoded` has those that are at work, and up to `decoded_most` idle ones; the others are kept encoded.

    Of a saga that has ended nothing is kept, unless `keeps_ended`.
    """

    def __init__(self, decoded_most: int, keeps_ended: bool, faults: Faults) -> None:
        self._faults = faults
        self.sizes = Sizes()
        self.decoded: dict[str, Journal] = {}
        self._decoded_most, self._keeps_ended = decoded_most, keeps_ended
        self._shelf = Shelf()
        self._touched: dict[str, None] = {}

    def load(self, saga_id: str, record: bytes | None) -> None:
        """Take one state record; it replaces the one before. None forgets the journal."""
        self.decoded.pop(saga_id, None)
        self._shelf.drop(saga_id)
        self.sizes.encoded(saga_id, len(record or b""))
        if record is not None:
            journal = decoded(record)
            if not self._shelf.put(journal, record, len(self.decoded) >= self._decoded_most):
                self.decoded[saga_id] = journal

    def find(self, saga_id: str) -> Journal | None:
        """The saga's journal; one that was kept encoded is to be put into `decoded` by whoever changes it."""
        return self.decoded.get(saga_id) or self._shelf.journal(saga_id)

    def touch(self, saga_id: str) -> None:
        """It has changed; the next snapshot has it."""
        self._touched[saga_id] = None

    def is_touched(self) -> bool:
        """Whether any has changed since the last snapshot."""
        return bool(self._touched)

    def forget(self, ended_before: float) -> None:
        """Forget those of sagas that ended before that time, in seconds of the broker's clock."""
        for saga_id in self._shelf.forget(ended_before):
            self.touch(saga_id)

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
            state[saga_id] = record = encoded(self._faults, saga_id, journal)
            self.sizes.encoded(saga_id, len(record))
            if self._shelf.put(journal, record, len(self.decoded) > self._decoded_most):
                del self.decoded[saga_id]
        self._touched = {}
        return state
