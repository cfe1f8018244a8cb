"""PURE: the sagas whose state record this build of the tracker cannot decode.

The saga itself goes on; only what the tracker knows of it is missing. Its record is kept byte for byte, with what is
heard of it meanwhile, and a build that can decode it applies that. Until then a stand-in shows the saga as held.
"""

import logging
from collections.abc import Iterator

from consumers.tracker.meanings import Meanings
from consumers.tracker.records import Heard, Unread, unread_of
from consumers.tracker.tracked import Tracked
from producers.records import Record

log = logging.getLogger(__name__)

# A state record takes eight times as much; what the engine itself says is kept beyond it.
HEARD_BYTES_MAX = 1024 * 1024
HEARD_MAX = 5_000
# Stands for the record among what stands still; no item of a step has this name.
RECORD = "record"


class UnreadSagas:
    """By saga id. `untold` are those whose status does not tell of it yet."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._sagas: dict[str, Unread] = {}
        self._causes: dict[str, str] = {}
        self._bytes: dict[str, int] = {}
        self.untold: dict[str, None] = {}

    def __contains__(self, saga_id: str) -> bool:
        return saga_id in self._sagas

    def load(self, saga_id: str, record: bytes, cause: str) -> None:
        """Take one as the state topic has it."""
        unread = unread_of(record)
        self._sagas[saga_id], self._causes[saga_id] = unread, cause
        self._bytes[saga_id] = sum(len(one.value or b"") for one in unread.heard)
        self.untold[saga_id] = None

    def drop(self, saga_id: str) -> None:
        """It can be decoded, or has ended."""
        self._sagas.pop(saga_id, None)
        self._causes.pop(saga_id, None)
        self._bytes.pop(saga_id, None)
        self.untold.pop(saga_id, None)

    def tell(self) -> None:
        """Log how many there are; on a rollback it may be all sagas."""
        if self._causes:
            saga_id, cause = next(iter(self._causes.items()))
            told = {"count": len(self._causes), "where": self._where, "first": saga_id, "cause": cause}
            log.error("tracker.records_unread", extra=told)

    def find(self, saga_id: str) -> Unread | None:
        """What is kept of it."""
        return self._sagas.get(saga_id)

    def stand_in(self, saga_id: str, meanings: Meanings, now: float) -> Tracked:
        """A saga of which nothing is known, held with the cause; it counts as told of."""
        self.untold.pop(saga_id, None)
        cause = f"this build cannot decode the record saga/{saga_id} of {self._where}: {self._causes[saga_id]}"
        return Tracked(
            started_at=now,
            updated_at=now,
            participants=meanings.participants,
            cause=f"{cause}. The saga itself goes on; a build that can decode the record shows all of it",
            standing={RECORD: "held"},
            last=f"{saga_id}/{RECORD}",
        )

    def hear(self, saga_id: str, record: Record, is_engine: bool) -> None:
        """Keep what is heard of it, for the build that can decode its record."""
        unread, size_bytes = self._sagas[saga_id], len(record.value or b"")
        is_full = self._bytes[saga_id] + size_bytes > HEARD_BYTES_MAX * (2 if is_engine else 1)
        if is_full or len(unread.heard) >= HEARD_MAX:
            unread.missed += 1
            return
        self._bytes[saga_id] += size_bytes
        headers = tuple((name, value or b"") for name, value in record.headers)
        unread.heard.append(Heard(record.offset, record.at, record.value, headers))

    def heard(self, saga_id: str, topic: str, partition: int) -> Iterator[Record]:
        """What was heard of it since its record could not be decoded, in order."""
        for one in self._sagas[saga_id].heard:
            yield Record(topic, partition, one.offset, one.at, saga_id.encode(), one.value, one.headers)
