"""PURE: the open sagas of one tracker, kept encoded except for those that have changed lately."""

from collections.abc import Iterator
from itertools import islice

from consumers.tracker.records import decoded
from consumers.tracker.tracked import Tracked

# A decoded saga is folded at once; an encoded one takes a third of the memory.
DECODED_SAGAS_MAX = 1_000


class OpenSagas:
    """`stalled` has the ids of those that are, `paused` the paused steps of those that wait at one.

    Up to `decoded_most` of those that have not changed stay decoded.
    """

    def __init__(self, decoded_most: int = DECODED_SAGAS_MAX) -> None:
        self.stalled: set[str] = set()
        self.paused: dict[str, tuple[str, ...]] = {}
        self._decoded_most = decoded_most
        self._decoded: dict[str, Tracked] = {}
        self._encoded: dict[str, bytes] = {}
        self._changed: set[str] = set()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._encoded) + len(self._changed - self._encoded.keys())

    def __iter__(self) -> Iterator[str]:
        """The ids of all."""
        yield from self._encoded
        yield from self._changed - self._encoded.keys()

    def load(self, saga_id: str, encoded: bytes, tracked: Tracked) -> None:
        """Take one as the state topic has it."""
        self.drop(saga_id)
        self._encoded[saga_id] = encoded
        self._note_standing(saga_id, tracked)

    def find(self, saga_id: str) -> Tracked | None:
        """The saga, or None where none of that id is open. `touch` it after a change."""
        tracked = self._decoded.get(saga_id)
        if tracked is None and saga_id in self._encoded:
            found = decoded(self._encoded[saga_id])
            tracked = found if isinstance(found, Tracked) else None
        return tracked

    def touch(self, saga_id: str, tracked: Tracked) -> None:
        """It has changed, or was opened: it stays decoded until `encoded` is asked for."""
        # The one that was changed last stands last.
        self._decoded.pop(saga_id, None)
        self._decoded[saga_id] = tracked
        self._changed.add(saga_id)
        self._note_standing(saga_id, tracked)

    def encoded(self, saga_id: str, record: bytes) -> None:
        """The changed saga is encoded so in the state topic."""
        self._encoded[saga_id] = record
        self._changed.discard(saga_id)

    def put_away(self) -> None:
        """Where too many are decoded, keep half as many: those that were changed last."""
        if len(self._decoded) > self._decoded_most:
            excess = len(self._decoded) - self._decoded_most // 2
            for saga_id in list(islice((one for one in self._decoded if one not in self._changed), excess)):
                del self._decoded[saga_id]

    def drop(self, saga_id: str) -> None:
        """It has ended."""
        self._decoded.pop(saga_id, None)
        self._encoded.pop(saga_id, None)
        self._changed.discard(saga_id)
        self.stalled.discard(saga_id)
        self.paused.pop(saga_id, None)

    def _note_standing(self, saga_id: str, tracked: Tracked) -> None:
        if tracked.stalled is not None:
            self.stalled.add(saga_id)
        else:
            self.stalled.discard(saga_id)
        if tracked.paused:
            self.paused[saga_id] = tuple(tracked.paused)
        else:
            self.paused.pop(saga_id, None)
