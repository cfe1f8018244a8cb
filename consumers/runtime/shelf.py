"""PURE: the journals as they stand in the state topic, and so at little cost."""

from consumers.runtime.journal import Journal, decoded


class Shelf:
    """Sagas that have ended and sagas of which only refused commands are known, oldest first; and open ones."""

    def __init__(self) -> None:
        self._ended: dict[str, tuple[float, bytes]] = {}
        self._open: dict[str, bytes] = {}

    def put(self, journal: Journal, encoded: bytes) -> bool:
        """Keep the journal in its encoded form; whether nothing is left to do for it."""
        saga_id, ended_at = journal.saga_id, journal.ended_at()
        kept = self._ended.get(saga_id)
        if ended_at is None:
            if kept is not None:
                del self._ended[saga_id]
            self._open[saga_id] = encoded
            return False
        self._open.pop(saga_id, None)
        if kept is not None and kept[0] != ended_at:
            # One that is answered again goes to the end, or all behind it would be kept as long as it.
            del self._ended[saga_id]
        self._ended[saga_id] = (ended_at, encoded)
        return True

    def journal(self, saga_id: str) -> Journal | None:
        """The journal, decoded; changes of it come back by `put`."""
        kept = self._ended.get(saga_id)
        encoded = self._open.get(saga_id) if kept is None else kept[1]
        return None if encoded is None else decoded(encoded)

    def drop(self, saga_id: str) -> None:
        """Forget this one."""
        self._ended.pop(saga_id, None)
        self._open.pop(saga_id, None)

    def forget(self, before: float) -> list[str]:
        """Forget those that have ended before that time; returns their ids."""
        forgotten: list[str] = []
        for saga_id, (ended_at, _) in self._ended.items():
            if ended_at >= before:
                break
            forgotten.append(saga_id)
        for saga_id in forgotten:
            del self._ended[saga_id]
        return forgotten
