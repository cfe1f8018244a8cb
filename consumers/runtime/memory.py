"""What a lane asks of the memory it carries: the ledger of a participant, or the tracker's view of all sagas."""

from typing import Protocol

import msgspec

from consumers.runtime.finishing import Blocked, Outcome
from consumers.runtime.former_life import Ending
from consumers.runtime.graph import Step, Undo
from consumers.runtime.journal import Item, Journal
from consumers.runtime.lease import ALWAYS, Lease
from consumers.runtime.timers import Mark
from producers.records import Headers, Outgoing, Record
from schemas.message import Message

# More than any lane starts at once.
PLACES_MAX = 1_000_000


class Snapshot(msgspec.Struct, frozen=True):
    """What one transaction writes: records to say, and state records (None forgets the key).

    `state` has those of sagas, by saga id; `others` has all others of the memory, by their keys.
    """

    said: list[Outgoing]
    state: dict[str, bytes | None]
    others: dict[str, bytes | None] = {}


class Work(msgspec.Struct):
    """An item to run, with the step or compensation that owns it; `message` where it is decoded already.

    It may act only while the lane's `lease` is held.
    """

    journal: Journal
    item: Item
    owner: Step | Undo
    message: Message | None = None
    lease: Lease = ALWAYS


class Room(Protocol):
    """How much may run at once beside what a lane itself allows: the places at each dependency."""

    def has_room(self, owner: Step | Undo) -> bool:
        """Whether one more item of this step may start now."""

    def down(self, owner: Step | Undo) -> Blocked | None:
        """What an item of this step waits for while a circuit breaker of its dependencies is open; None otherwise.

        The step then has room for one probe at a time, from `until` on.
        """
        return None

    def places(self, owner: Step | Undo) -> int:
        """How many more items of this step may be under way now at its dependencies that are not down."""
        return PLACES_MAX

    def enter(self, owner: Step | Undo) -> None:
        """One more starts."""

    def leave(self, owner: Step | Undo) -> None:
        """One has ended."""


class Unlimited(Room):
    """Room for everything."""

    def has_room(self, owner: Step | Undo) -> bool:
        return True

    def enter(self, owner: Step | Undo) -> None:
        return

    def leave(self, owner: Step | Undo) -> None:
        return


UNLIMITED = Unlimited()


class Memory(Protocol):
    """The pure side of a lane. All times are seconds of the broker's clock."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The topics to hear."""

    @property
    def deferrable(self) -> tuple[str, ...]:
        """Those of them that may be left unread for a while: nothing that counts in `backlog_bytes` waits for them."""

    def ignores(self, headers: Headers) -> bool:
        """Whether a record with these headers certainly changes nothing; for a look before anything is decoded."""

    def load_other(self, key: str, value: bytes | None) -> None:
        """Take one state record that is no saga's; all of them come before those of sagas."""
        return

    def load(self, key: str, value: bytes | None) -> None:
        """Take the state record of one saga, in order; a later one replaces an earlier one."""

    def reopen(self, ending: Ending, now: float) -> None:
        """All is loaded; `ending` is how the lane's former life ended."""

    def hear(self, record: Record, now: float, ending: Ending = "clean") -> None:
        """Apply one input record; `ending` is that of a former life that may have read it before."""

    def refuse(self, record: Record, reason: str, now: float) -> None:
        """Make a dead letter of the record, which could not be applied or committed."""

    def condemn(self, mark: Mark, cause: str) -> None:
        """This item's end cannot be committed: it fails when it is to start next."""

    def paused(self) -> dict[str, str]:
        """The steps that start no more until somebody resumes them, and why."""

    def pause(self, causes: dict[str, str], ends: dict[str, int]) -> None:
        """These steps stood still in the former life, and so ended the last items of each."""

    def ends_of_steps(self) -> dict[str, int]:
        """How the last items of each step have ended, as `pause` takes it."""

    def is_held_back(self) -> bool:
        """Whether something could start soon without being woken, had it room."""

    def fire(self, now: float) -> None:
        """Wake what is due."""

    def next_due(self) -> float | None:
        """When something will be due, or a dependency that is down may be probed."""

    def unmarked(self) -> list[Mark]:
        """Items that need a read barrier and have none yet."""

    def mark(self, marks: list[Mark], ends: dict[str, int]) -> None:
        """The barrier of these items: the input positions that must be reached."""

    def heard_up_to(self, positions: dict[str, int]) -> None:
        """The input positions reached."""

    def startable(self, now: float, most: int, room: Room = UNLIMITED) -> list[Work]:
        """Items to start, each of which has entered the room."""

    def finish(self, saga_id: str, item: Item, outcome: Outcome, now: float) -> None:
        """How an item ended."""

    def backlog_bytes(self) -> int:
        """How much could start without further input, in encoded bytes."""

    def is_waiting(self) -> bool:
        """Whether items wait for their barrier."""

    def has_suspects(self) -> bool:
        """Whether suspects wait until they may start."""

    def try_suspects(self, all_of_them: bool, in_turn: bool) -> list[Mark]:
        """Let all suspects start, or half of the most suspicious ones; returns those that may start now.

        `in_turn`: no other lane of the worker lets suspects start meanwhile.
        """

    def release(self, mark: Mark) -> None:
        """The item has run long enough to be above suspicion."""

    def is_suspect(self, mark: Mark) -> bool:
        """Whether the item is a suspect that runs or is about to, and has neither ended nor been released."""

    def has_news(self) -> bool:
        """Whether something is to be said soon."""

    def is_touched(self) -> bool:
        """Whether anything has changed since the last snapshot."""

    def take(self) -> Snapshot:
        """The snapshot of all changes since the last one."""
