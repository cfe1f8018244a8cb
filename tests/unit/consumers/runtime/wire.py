"""A lane on the bench: its transport is a few lists, its clock and its loop are real."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import count

import msgspec

from consumers.runtime.finishing import Blocked, Outcome
from consumers.runtime.graph import Step, Undo
from consumers.runtime.lane import Host, Lane
from consumers.runtime.ledger import Ledger
from consumers.runtime.memory import Memory, Room, Work
from consumers.runtime.transport import POSITION_KEY, Clock, Log, Logs, Position
from consumers.runtime.view import view_of
from producers.headers import headers_for
from producers.records import Outgoing, Record
from schemas.message import Event, Message
from tests.unit.consumers.runtime.bench import type_in
from tests.unit.consumers.runtime.small_saga import ORDER

CLOCK_ASKED_MAX = 100_000

RunItem = Callable[[Work], Awaitable[Outcome]]


class Wire:
    """A transport that keeps what is committed; `before_commit` and `takes` may raise.

    The last `hidden` records of each topic are written, and perhaps heard, but not visible in the log.
    """

    def __init__(self, inputs: tuple[str, ...], state: dict[str, bytes] | None = None) -> None:
        self.state = state or {POSITION_KEY: msgspec.msgpack.encode(Position({}))}
        self.heard, self.stable = dict.fromkeys(inputs, 0), dict.fromkeys(inputs, 0)
        self.hidden, self.questions = 0, 0
        self.paused: set[str] = set()
        self.is_owned = True
        self.appended_at: float | None = None
        self.said: list[Outgoing] = []
        self.opened = self.closed = self.commits = 0
        self.before_commit: Callable[[int], None] = lambda number: None
        self.before_ends: Callable[[], None] = lambda: None
        self.before_logs: Callable[[], None] = lambda: None
        self.cluster_id, self.topic_ids, self.starts = "", dict[str, str](), dict[str, int]()
        self.gone, self.written_states, self.looks = set[str](), 0, 0
        self.out_of_range: Exception | None = None
        self.takes: Callable[[list[Outgoing], dict[str, bytes | None]], None] = lambda said, state: None

    async def open(self) -> None:
        # As over a network, the others have a turn: a lane that opens without end fails its test, and stops no loop.
        await asyncio.sleep(0)
        self.opened += 1

    async def restore(self) -> AsyncIterator[tuple[str, bytes | None]]:
        for key, value in list(self.state.items()):
            yield key, value

    async def logs(self) -> Logs:
        self.looks += 1
        self.before_logs()
        ends = self._written()
        inputs = {
            topic: Log(self.topic_ids.get(topic, ""), self.starts.get(topic, 0), ends[topic])
            for topic in self.heard
            if topic not in self.gone
        }
        state = Log(self.topic_ids.get("order.state", ""), self.starts.get("order.state", 0), self.written_states)
        return Logs(self.cluster_id, dict.fromkeys(self.heard) | inputs, "order.state", state)

    async def ends(self) -> dict[str, int]:
        self.before_ends()
        self.questions += 1
        return {topic: end - self.hidden for topic, end in (await self.written()).items()}

    async def written(self) -> dict[str, int]:
        # What is only forwarded is waited for by nothing.
        return {topic: end for topic, end in self._written().items() if "/" not in topic}

    def _written(self) -> dict[str, int]:
        return {topic: max(end, self.heard[topic]) for topic, end in self.stable.items()}

    def resets(self, position: Position) -> None:
        """Another client writes a position into the state topic."""
        self.state[POSITION_KEY] = msgspec.msgpack.encode(position)
        self.written_states += 1

    def positions(self) -> dict[str, int]:
        if self.out_of_range is not None:
            raise self.out_of_range
        return dict(self.heard)

    def seek(self, offsets: dict[str, int]) -> None:
        self.heard = dict(offsets)

    def pause(self, topics: Sequence[str]) -> None:
        self.paused |= set(topics)

    def resume(self, topics: Sequence[str]) -> None:
        self.paused -= set(topics)

    async def commit(self, said: list[Outgoing], state: dict[str, bytes | None]) -> float | None:
        self.commits += 1
        self.before_commit(self.commits)
        self.takes(said, state)
        await asyncio.sleep(0)
        self.said += said
        for key, value in state.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        return self.appended_at

    def owns(self) -> bool:
        return self.is_owned

    async def close(self) -> None:
        self.closed += 1

    @property
    def types(self) -> list[str]:
        """The types of the events said."""
        return [type_in(one) for one in self.said if one.topic == ORDER.schema.topics.events]

    @property
    def position(self) -> Position:
        """The last one that was committed."""
        return msgspec.msgpack.decode(self.state[POSITION_KEY], type=Position)


class Places(Room):
    """Room that a test opens and closes; `taken` counts the places in use, `downs` has the steps that wait."""

    def __init__(self, is_open: bool = True) -> None:
        self.is_open, self.taken = is_open, 0
        self.downs: dict[str, Blocked] = {}

    def has_room(self, owner: Step | Undo) -> bool:
        return self.is_open and owner.name not in self.downs

    def down(self, owner: Step | Undo) -> Blocked | None:
        return self.downs.get(owner.name)

    def enter(self, owner: Step | Undo) -> None:
        self.taken += 1

    def leave(self, owner: Step | Undo) -> None:
        self.taken -= 1


def clock_of_a_lane_that_rests() -> Clock:
    """The time, for a lane that waits between its turns: one that does not is lost over it, and hangs no test."""
    asked = count()

    def clock() -> float:
        assert next(asked) < CLOCK_ASKED_MAX, "the lane never rests"
        return time.time()

    return clock


class Line:
    """One running lane of `participant` over a wire; an async context manager that stops it.

    `former` is the wire of its former life: its state, and what its logs hold.
    """

    def __init__(
        self,
        participant: str,
        run_item: RunItem,
        room: Room | None = None,
        state: dict[str, bytes] | None = None,
        former: Wire | None = None,
    ) -> None:
        view = view_of(ORDER, participant)

        def remember() -> Memory:
            return Ledger(view, 0, 1, "acme")

        self.room = room or Places()
        self.wire = Wire(remember().inputs, state if former is None else former.state)
        self.wire.stable |= {} if former is None else former.heard
        self.lane = Lane(
            f"{participant}.0", Host("life", clock_of_a_lane_that_rests(), self.room), self.wire, remember, run_item
        )
        self.life: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Line":
        self.life = asyncio.create_task(self.lane.run())
        await until(lambda: self.lane.is_live)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.life is not None
        await self.lane.stop(0.0)
        await asyncio.wait({self.life}, timeout=5)

    def hears(self, message: Message, message_id: str, source: str = "") -> None:
        """Hand over one record, as Kafka would."""
        topics = ORDER.schema.topics
        topic = topics.events if isinstance(message, Event) else topics.commands
        wire_type = message.wire_type or f"order.{getattr(message, 'suffix', '')}"
        headers = headers_for(
            wire_type=wire_type, message_id=message_id, source=source, saga_id=message.saga_id, at=time.time()
        )
        body = message.model_dump_json().encode()
        record = Record(topic, 0, self.wire.heard[topic], time.time(), message.saga_id.encode(), body, headers)
        self.wire.heard[topic] += 1
        self.lane.push([record])


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Let others run until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)
