"""What a lane asks of the memory it carries: the ledger of a participant, or the tracker's view of all sagas."""

from dataclasses import dataclass
from typing import Protocol

from consumers.runtime.finishing import Outcome
from consumers.runtime.graph import Step, Undo
from consumers.runtime.journal import Item, Journal
from producers.records import Outgoing, Record


@dataclass(frozen=True)
class Snapshot:
    """What one transaction writes: records to say, and state records by key (None forgets the key)."""

    said: list[Outgoing]
    state: dict[str, bytes | None]


@dataclass(frozen=True)
class Work:
    """An item to run, with the step or compensation that owns it."""

    journal: Journal
    item: Item
    owner: Step | Undo


class Memory(Protocol):
    """The pure side of a lane. All times are seconds of the broker's clock."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The topics to hear."""

    def load(self, key: str, value: bytes | None) -> None:
        """Take one state record, in order."""

    def reopen(self, died: bool, now: float) -> None:
        """All is loaded; `died` if the former life ended without a farewell."""

    def hear(self, record: Record, now: float, suspects: bool = False) -> None:
        """Fold one input record; never raises for what stands in it."""

    def fire(self, now: float) -> None:
        """Wake what is due."""

    def next_due(self) -> float | None:
        """When something will be due."""

    def unmarked(self) -> list[tuple[str, str]]:
        """Items that need a read barrier and have none yet."""

    def mark(self, marks: list[tuple[str, str]], ends: dict[str, int]) -> None:
        """The barrier of these items: the input positions that must be reached."""

    def heard_up_to(self, positions: dict[str, int]) -> None:
        """The input positions reached."""

    def startable(self, now: float, most: int) -> list[Work]:
        """Items to start."""

    def finish(self, saga_id: str, item: Item, outcome: Outcome, now: float) -> None:
        """How an item ended."""

    def is_waiting(self) -> bool:
        """Whether items wait for their barrier."""

    def has_suspects(self) -> bool:
        """Whether items wait to be acquitted before they may start."""

    def acquit(self, all_of_them: bool) -> tuple[str, str] | None:
        """Let all suspects start, or the most suspicious one, which is returned."""

    def release(self, mark: tuple[str, str]) -> None:
        """The item has run long enough to be above suspicion."""

    def is_suspect(self, mark: tuple[str, str]) -> bool:
        """Whether the item has not yet ended since it came under suspicion."""

    def has_news(self) -> bool:
        """Whether something is to be said soon."""

    def is_touched(self) -> bool:
        """Whether anything has changed since the last snapshot."""

    def take(self) -> Snapshot:
        """The snapshot of all changes since the last one."""
