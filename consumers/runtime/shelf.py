"""PURE: journals with nothing left to do, as they stand in the state topic: a hundred thousand of them cost little."""

import msgspec

from consumers.runtime.journal import Journal


class Shelf:
    """Sagas that have ended, and sagas of which only refused commands are known; oldest first."""

    def __init__(self) -> None:
        self._journals: dict[str, tuple[float, bytes]] = {}

    def put(self, journal: Journal, encoded: bytes) -> bool:
        """Keep the journal in its encoded form if nothing is left to do for it; whether it is kept here."""
        ended_at = journal.ended_at()
        if ended_at is None:
            return False
        kept = self._journals.get(journal.saga_id)
        if kept is not None and kept[0] != ended_at:
            # Whoever is answered anew goes to the end, or all behind it would be kept as long as it.
            del self._journals[journal.saga_id]
        self._journals[journal.saga_id] = (ended_at, encoded)
        return True

    def journal(self, saga_id: str) -> Journal | None:
        """The journal, decoded; changes of it come back by `put`."""
        kept = self._journals.get(saga_id)
        return None if kept is None else msgspec.msgpack.decode(kept[1], type=Journal)

    def drop(self, saga_id: str) -> None:
        """Forget this one."""
        self._journals.pop(saga_id, None)

    def forget(self, before: float) -> list[str]:
        """Forget those that have ended before that time; returns their ids."""
        forgotten: list[str] = []
        for saga_id, (ended_at, _) in self._journals.items():
            if ended_at >= before:
                break
            forgotten.append(saga_id)
        for saga_id in forgotten:
            del self._journals[saga_id]
        return forgotten
