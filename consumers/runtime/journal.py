"""PURE: what one participant remembers of one saga, and what follows from a message. No I/O, no clock, no Kafka.

Every participant folds the same totally ordered log, so all come to the same end without a coordinator. The rules
stand one by one in `hearing.py` (what a message changes) and `finishing.py` (what an outcome leads to); this module
has the memory itself. Nothing in it can refer back to what holds it, so the collector of cycles need not look (`gc`).
"""

from typing import Literal

import msgspec

from producers.identity import digest

ItemState = Literal["joining", "ready", "running", "waiting", "delayed", "held", "stuck"]

# The latest version of a state record that this build can read. A record without a version is of the first one.
JOURNAL_VERSION_MAX = 1


class Fact(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A message as it stood in the log; `at` is the broker's timestamp in seconds, `causation` the key of its cause.

    `identity` is that of a command, where it is more than its id. Builds before it told commands apart by their ids:
    what they have begun keeps its names and its idempotency keys.
    """

    type: str
    id: str
    source: str
    body: bytes
    at: float
    causation: str = ""
    identity: str = ""

    @property
    def key(self) -> str:
        """What tells it from every other message of its saga."""
        return self.identity or self.id


class Item(msgspec.Struct, omit_defaults=True, gc=False):
    """One step, or one compensation, on one message.

    waiting: a timer the step asked for. delayed: backing off. held, stuck: a person must free it. `told` is the cause
    that StepDelayed last gave. `unknown_until`: the latest moment at which an attempt whose end this life did not see
    can still have an effect, in seconds of the broker's clock; 0 where there is none. `legs` has what a join has heard,
    by type: a deploy may change their places. `held_from` is set while no build fits: the state that it goes back to.
    The last four belong to a step that may kill its worker, see `suspects`.
    """

    id: str
    step: str
    message: Fact
    state: ItemState = "ready"
    attempt: int = 1
    budget: int = 1
    due: float | None = None
    legs: dict[str | int, Fact] = msgspec.field(default_factory=dict)
    command: bool = False
    undoes: str | None = None
    cause: str = ""
    told: str = ""
    unknown_until: float = 0.0
    held_from: ItemState | None = None
    started_at: float | None = None
    suspect: bool = False
    on_trial: bool = False
    is_alone: bool = False
    deaths: int = 0

    def leg(self, types: tuple[str, ...]) -> Fact | None:
        """Return what the join has heard of the leg with these alternatives, or None."""
        return next((self.legs[kind] for kind in types if kind in self.legs), None)


class Done(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The outcome of a step that has an undo: the event it emitted, or None where the step's effect is unknown.

    The undo starts no sooner than `unknown_until`, see `Item`.
    """

    item: str
    step: str
    message: Fact
    fact: Fact | None = None
    unknown_until: float = 0.0


class End(msgspec.Struct, frozen=True, gc=False):
    """The first end in the log. `failing` ends are undone."""

    type: str
    id: str
    failing: bool


class Standing(msgspec.Struct, frozen=True, gc=False):
    """A held or stuck item anywhere in the saga, as the log tells of it; `forward` if it is no compensation.

    `by_flow`: what holds it is the flow of the build.
    """

    participant: str
    step: str
    forward: bool = False
    by_flow: bool = False


class Hold(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Why a build cannot carry the saga in this participant; `parked` are the events that it has not applied, in order.

    `attempt` counts how often that was told. None of the saga's steps starts here meanwhile. A failing end ends the
    hold: nothing of what is parked has begun.
    """

    cause: str
    parked: tuple[Fact, ...] = ()
    attempt: int = 1


class Journal(msgspec.Struct, omit_defaults=True, gc=False):
    """What one participant remembers of one saga.

    `flow` is the fingerprint of the flow that it was last carried with, see `flow_record`.
    """

    saga_id: str
    tenant: str = ""
    correlation: str = ""
    traceparent: str = ""
    participants: tuple[str, ...] = ()
    graph: str = ""
    facts: dict[str, Fact] = msgspec.field(default_factory=dict)
    items: dict[str, Item] = msgspec.field(default_factory=dict)
    seen: list[str] = msgspec.field(default_factory=list)
    done: list[Done] = msgspec.field(default_factory=list)
    # The commands that are answered, by their keys; and by their ids, from a build that knew no more of them.
    answered: list[str] = msgspec.field(default_factory=list, name="answered_commands")
    answered_ids: list[str] = msgspec.field(default_factory=list, name="answered")
    awaiting: list[str] = msgspec.field(default_factory=list)
    standing: dict[str, Standing] = msgspec.field(default_factory=dict)
    end: End | None = None
    settled: list[str] = msgspec.field(default_factory=list)
    has_settled: bool = False
    undone: int = 0
    answered_at: float = 0.0
    closed_at: float | None = None
    flow: str = ""
    hold: Hold | None = None
    version: int = 1

    @property
    def is_open(self) -> bool:
        """Whether the Opening was heard and no end has closed the saga."""
        return bool(self.participants) and self.closed_at is None

    @property
    def is_failing(self) -> bool:
        """Whether a failing end stands first in the log."""
        return self.end is not None and self.end.failing

    def is_held_by_flow(self) -> bool:
        """Whether it, or an item of it, waits for a build that can carry it."""
        return self.hold is not None or any(item.held_from is not None for item in self.items.values())

    def park(self, fact: Fact) -> None:
        """Keep an event for when the hold ends; again the same one changes nothing."""
        if self.hold is not None and all(one.id != fact.id for one in self.hold.parked):
            self.hold = msgspec.structs.replace(self.hold, parked=(*self.hold.parked, fact))

    def is_void(self) -> bool:
        """Whether nothing was heard yet that is worth remembering."""
        kept = self.participants or self.items or self.awaiting or self.answered or self.answered_ids
        return not kept and self.closed_at is None

    def ended_at(self) -> float | None:
        """When the last thing happened to a saga with which nothing more can happen, or None while something can.

        Nothing can any more after the end, nor where a saga never began and its commands have been refused.
        """
        if self.items or self.awaiting or (self.participants and self.closed_at is None):
            return None
        return self.answered_at if self.closed_at is None else self.closed_at

    def close(self, at: float) -> None:
        """Shrink to a marker, kept so that a repeated command does not start the saga anew."""
        self.closed_at = at
        self.hold = None
        self.facts, self.standing = {}, {}
        self.seen, self.done, self.settled = [], [], []
        # A command that was heard must be answered, also by a saga that has ended.
        self.items = {item.id: item for item in self.items.values() if item.command}


class JournalUnreadable(ValueError):
    """The state record is none that this build can read."""


class VersionOnly(msgspec.Struct):
    """A state record of which only the version is looked at."""

    version: int = 1


def decoded(encoded: bytes) -> Journal:
    """Return the journal in a state record. Raises `JournalUnreadable` where this build cannot read it."""
    try:
        journal = msgspec.msgpack.decode(encoded, type=Journal)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise JournalUnreadable(_newer(encoded) or str(error)) from error
    if journal.version > JOURNAL_VERSION_MAX:
        raise JournalUnreadable(_newer(encoded))
    for item in journal.items.values():
        if any(isinstance(key, int) for key in item.legs):
            # Until version 0.1 the legs were kept by their places.
            item.legs = {fact.type: fact for fact in item.legs.values()}
    return journal


def loaded(saga_id: str, encoded: bytes) -> Journal:
    """Return the journal in the state record of a saga.

    Raises `JournalUnreadable` also for a record that contradicts itself.
    """
    journal = decoded(encoded)
    if journal.saga_id != saga_id:
        raise JournalUnreadable(f"it is of another saga, {journal.saga_id!r}")
    if any(item.id != key for key, item in journal.items.items()):
        raise JournalUnreadable("an item of it has two names")
    if any(fact.type != key for key, fact in journal.facts.items()):
        raise JournalUnreadable("an event of it has two types")
    return journal


def _newer(encoded: bytes) -> str:
    """That the record is of a later build, where it says so of itself."""
    try:
        version = msgspec.msgpack.decode(encoded, type=VersionOnly).version
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
    return f"it has version {version}, and this build reads up to {JOURNAL_VERSION_MAX}" if version > 1 else ""


def dues_of(journal: Journal) -> dict[str, float]:
    """When each item that waits for a time is due, by its id."""
    return {item.id: item.due for item in journal.items.values() if item.due is not None}


def idempotency_key(saga_id: str, step: str, message_key: str, round_number: int = 1) -> str:
    """The key a step and its undo hand to the outside world: the same on every attempt."""
    return digest(saga_id, step, str(round_number), message_key)
