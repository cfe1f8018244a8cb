"""PURE: how much of what a lane holds waits to be started, in bytes; by that it takes more from Kafka, or does not."""

from collections.abc import Callable

from consumers.runtime.journal import Item, Journal

# What an item, its journal and its decoded message cost beside the message's body, roughly.
ITEM_BYTES = 4_000


class Backlog:
    """Kept saga by saga. `is_paused` tells whether the step of that name is: what it holds is not counted.

    That a paused step goes on must be heard first, and a full lane would not hear it.
    """

    def __init__(self, is_paused: Callable[[str], bool]) -> None:
        self._is_paused = is_paused
        self._by_saga: dict[str, int] = {}
        self._waiting_bytes = self._fresh_bytes = 0

    @property
    def size_bytes(self) -> int:
        """All of it."""
        return self._waiting_bytes + self._fresh_bytes

    def __contains__(self, saga_id: str) -> bool:
        """Whether something of the saga is counted."""
        return saga_id in self._by_saga

    def heard(self, body_bytes: int) -> None:
        """Something was heard, and nobody has looked yet for what may start."""
        self._fresh_bytes += ITEM_BYTES + body_bytes

    def looked(self) -> None:
        """Somebody has: what waits is weighed."""
        self._fresh_bytes = 0

    def weigh(self, journal: Journal) -> None:
        """Count what waits to be started, and will be without anything further being heard."""
        weight = sum(ITEM_BYTES + len(item.message.body) for item in journal.items.values() if self._is_coming(item))
        before = self._by_saga.pop(journal.saga_id, 0)
        if weight:
            self._by_saga[journal.saga_id] = weight
        self._waiting_bytes += weight - before

    def _is_coming(self, item: Item) -> bool:
        is_coming = item.state in ("ready", "delayed") or (item.state == "waiting" and item.due is not None)
        return is_coming and not self._is_paused(item.step)
