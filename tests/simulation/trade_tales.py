"""Trades, and what must be true of each: what the first end in the log says stands, or nothing of it does."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from schemas.status import FINAL_STATES
from tests.simulation.loop import Deadlock
from tests.simulation.trade import BUYER, DESK, SELLER, Bell, Far, trade_graph
from tests.simulation.world import World

SAGA = "t-1"
AFTERWARDS_SECONDS = 30.0


@dataclass(frozen=True)
class TradeTale:
    """How long the far side takes, how slowly who hears the events, when it is due, and when it is cancelled.

    A repeated call takes as long as the first one, or as long as `again` says.
    """

    name: str
    takes: dict[str, float] = field(default_factory=dict)
    again: dict[str, float] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    due_seconds: float = 600.0
    firm: bool = True
    cancelled_after: str = ""
    fails: dict[str, int] = field(default_factory=dict)


class FarSide:
    """Goes on with what it was asked for, whichever worker dies meanwhile; forgets what it has undone."""

    def __init__(self, world: "TradeWorld") -> None:
        self._world = world
        self._called: set[str] = set()

    async def do(self, what: str, key: str) -> None:
        world = self._world
        answered: asyncio.Future[None] = world.loop.create_future()
        world.loop.spawn(None, self._done(what, key, answered))
        await answered

    async def _done(self, what: str, key: str, answered: "asyncio.Future[None]") -> None:
        world = self._world
        takes = world.told.again if key in self._called else {}
        self._called.add(key)
        seconds = takes.get(what, world.told.takes.get(what, 0.0))
        await asyncio.sleep(seconds + world.random.uniform(0.0001, 0.002))
        world.changes += 1
        failed = world.fails.get(what, 0) > 0
        if failed:
            world.fails[what] -= 1
        else:
            world.standing.add((what, key))
        if not answered.done():
            if failed:
                answered.set_exception(ConnectionError(f"{what}: no answer"))
            else:
                answered.set_result(None)

    async def undo(self, what: str, key: str) -> None:
        await asyncio.sleep(self._world.random.uniform(0.0001, 0.002))
        self._world.changes += 1
        self._world.standing.discard((what, key))

    async def ring(self) -> None:
        await asyncio.sleep(self._world.random.uniform(0.0, 0.03))


class TradeWorld(World):
    """A world in which one trade runs."""

    def __init__(self, told: TradeTale, seed: int = 0) -> None:
        self.told, self.changes = told, 0
        self.due_at = 0.0
        self.paid_when_cancelled = False
        self.standing: set[tuple[str, str]] = set()
        self.fails = dict(told.fails)
        super().__init__(trade_graph(), _ports, seed)
        self.slow = {(who, self.topics.events): seconds for who, seconds in told.slow.items()}

    def outside_mutations(self) -> int:
        return self.changes


def _ports(world: World) -> dict[type, object]:
    assert isinstance(world, TradeWorld)
    far = FarSide(world)
    return {Far: far, Bell: far}


def tell(world: TradeWorld) -> None:
    """Run the trade until it has ended, and the far side has done all it was asked for."""
    told = world.told
    world.due_at = world.loop.time() + told.due_seconds
    due_at = datetime.fromtimestamp(world.due_at, UTC).isoformat()
    world.publish("trade.open", SAGA, {"firm": told.firm, "due_at": due_at}, "open")
    world.start_worker()
    waiting = [told.cancelled_after] if told.cancelled_after else []

    def ended() -> bool:
        if waiting and waiting[0] in world.types(SAGA):
            waiting.clear()
            world.paid_when_cancelled = "trade.price.paid" in world.types(SAGA)
            world.publish("trade.cancel", SAGA, {}, "cancel")
        # Too many deaths end it before anybody has a reason to cancel.
        return world.state(SAGA) in FINAL_STATES

    world.run_until(ended)
    until = world.loop.time() + AFTERWARDS_SECONDS
    try:
        world.loop.run_until(lambda: world.loop.time() >= until)
    except Deadlock:
        # Nothing is left that could change anything.
        return


def broken(world: TradeWorld) -> Iterator[str]:
    """What the tale breaks of the promises."""
    said_at = {kind: record.at for kind, record in reversed(world.events(SAGA))}
    types = world.types(SAGA)
    # Two brokers' clocks are so far apart at most.
    paid_at = said_at.get("trade.price.paid", float("inf")) + 2 * world.broker_seconds_off
    if "trade.expired" in said_at and paid_at < min(world.due_at, said_at["trade.expired"]):
        yield f"expired, and was paid before it was due: {types}"
    if "trade.cancelled" in said_at and world.told.firm and world.paid_when_cancelled:
        yield f"cancelled, and was paid before anybody asked: {types}"
    twice = [words for words in world.said_twice() if words[0] == SAGA]
    if twice:
        yield f"said twice: {twice}"
    if world.loop.errors:
        yield f"an error nobody caught: {world.loop.errors[0]}"
    first = next(kind for kind in types if kind in world.graph.schema.events() and _is_end(world, kind))
    standing = Counter(what for what, key in world.standing if key.startswith(f"{SAGA}/"))
    wanted = {"goods": 1, "price": 1} if first == "trade.completed" else {}
    if dict(standing) != wanted:
        yield f"{first} stands first in the log, and there stands {dict(standing)}: {types}"
    undone = [kind for kind in types if kind in ("trade.goods.returned", "trade.price.refunded")]
    if first == "trade.completed" and undone:
        yield f"completed, and undone: {undone}"


def _is_end(world: World, kind: str) -> bool:
    return kind in ("trade.completed", "trade.cancelled", "trade.expired", "trade.step.failed")


TALES = (
    TradeTale("trade"),
    TradeTale("trade due", takes={"price": 3.0}, due_seconds=1.0),
    TradeTale(
        "trade paid before it is due, heard of later",
        takes={"price": 2.3, "goods": 4.5},
        slow={DESK: 2.0},
        due_seconds=3.0,
    ),
    TradeTale(
        "trade cancelled too late, heard of later",
        takes={"price": 1.3, "goods": 3.0},
        slow={DESK: 1.0},
        cancelled_after="trade.price.paid",
    ),
    *(
        TradeTale(f"trade cancelled while it closes, {number}", firm=False, cancelled_after=after, slow=slow)
        for number, (after, slow) in enumerate(
            (
                ("trade.goods.delivered", {}),
                ("trade.price.paid", {}),
                ("trade.goods.delivered", {BUYER: 0.01}),
                ("trade.price.paid", {BUYER: 0.02}),
            )
        )
    ),
    TradeTale("trade cancelled while the goods are under way", takes={"goods": 3.0}, cancelled_after="trade.opened"),
    *(
        TradeTale(
            f"trade whose goods are slow at first, and quick when asked again, {number}",
            takes={"goods": 4.5},
            again={"goods": 0.05},
            firm=False,
            cancelled_after=after,
        )
        for number, after in enumerate(("trade.price.paid", "trade.goods.delivered"))
    ),
    TradeTale(
        "trade whose end is read late",
        takes={"price": 4.6, "goods": 2.5},
        fails={"goods": 1},
        slow={SELLER: 4.4},
        firm=False,
        cancelled_after="trade.price.paid",
    ),
    TradeTale(
        "trade cancelled while the goods fail",
        takes={"goods": 0.5},
        fails={"goods": 1},
        firm=False,
        cancelled_after="trade.price.paid",
    ),
)
