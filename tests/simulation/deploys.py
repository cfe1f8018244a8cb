"""A deploy in the middle of a trade, and back again: each life of the worker has the next build."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, repeat

from consumers.runtime.graph import Graph, graph_of
from consumers.runtime.steps import Call, StepFunction, join, on, undo
from schemas.message import Message
from schemas.status import FINAL_STATES
from tests.simulation.loop import Deadlock
from tests.simulation.trade import (
    FLOW,
    PATIENT,
    Bell,
    Far,
    GoodsDelivered,
    GoodsReturned,
    PricePaid,
    TradeCompleted,
    TradeOpened,
    refund_price,
    return_goods,
    trade_graph,
)
from tests.simulation.trade_tales import SAGA, TradeTale, TradeWorld, tell

# Long enough for every attempt of a trade, so that what has not ended by then stands still.
LIFE_SECONDS = 60.0
LIVES_MAX = 8
TALE = TradeTale("deployed", takes={"goods": 0.3, "price": 0.6})


class WeighedGoods(GoodsDelivered, type="trade.goods.delivered"):
    kilograms: int


def _build(
    steps: dict[str, StepFunction], undos: dict[str, StepFunction], kinds: tuple[type[Message], ...] = ()
) -> Graph:
    """The trade with these functions for those of their former names, and these classes for their types."""
    old = trade_graph()
    participants = tuple(
        replace(one, steps=tuple(steps.get(step.__name__, step) for step in one.steps)) for one in FLOW.participants
    )
    undoing = [undos.get(undo.__name__, undo) for undo in (return_goods, refund_price)]
    messages = old.schema.messages | {kind.wire_type: kind for kind in kinds}
    return graph_of(replace(FLOW, participants=participants), undoing, old.schema._replace(messages=messages))


def with_another_leg() -> Graph:
    """The trade closes only once its opening is heard as well."""

    @join(GoodsDelivered, PricePaid, TradeOpened, deadline="1h")
    async def close_trade(goods: GoodsDelivered, paid: PricePaid, opened: TradeOpened, bell: Bell) -> TradeCompleted:
        return TradeCompleted(saga_id=goods.saga_id)

    return _build({"close_trade": close_trade}, {})


def with_unknown_name() -> Graph:
    """The price is paid by a step of another name, which does not tell of its former one."""

    @on(TradeOpened, retry=PATIENT, timeout="5s")
    async def settle_price(opened: TradeOpened, far: Far, call: Call) -> PricePaid:
        await far.do("price", f"{call.saga_id}/{call.key}")
        return PricePaid(saga_id=opened.saga_id)

    return _build({"pay_price": settle_price}, {})


def with_former_names() -> Graph:
    """A step and a join have other names, and tell of their former ones."""

    @on(TradeOpened, retry=PATIENT, timeout="5s", formerly=("pay_price",))
    async def settle_price(opened: TradeOpened, far: Far, call: Call) -> PricePaid:
        await far.do("price", f"{call.saga_id}/{call.key}")
        return PricePaid(saga_id=opened.saga_id)

    @join(GoodsDelivered, PricePaid, deadline="1h", formerly=("close_trade",))
    async def end_trade(delivered: GoodsDelivered, paid: PricePaid, bell: Bell) -> TradeCompleted:
        await bell.ring()
        return TradeCompleted(saga_id=delivered.saga_id)

    return _build({"pay_price": settle_price, "close_trade": end_trade}, {})


def with_another_field() -> Graph:
    """The goods are weighed."""

    @on(TradeOpened, retry=PATIENT, timeout="5s")
    async def deliver_goods(opened: TradeOpened, far: Far, call: Call) -> WeighedGoods:
        await far.do("goods", f"{call.saga_id}/{call.key}")
        return WeighedGoods(saga_id=opened.saga_id, kilograms=3)

    @join(WeighedGoods, PricePaid, deadline="1h")
    async def close_trade(delivered: WeighedGoods, paid: PricePaid, bell: Bell) -> TradeCompleted:
        await bell.ring()
        return TradeCompleted(saga_id=delivered.saga_id)

    @undo(WeighedGoods)
    async def take_goods_back(delivered: WeighedGoods | None, far: Far, call: Call) -> GoodsReturned:
        await far.undo("goods", f"{call.saga_id}/{call.key}")
        return GoodsReturned(saga_id=call.saga_id)

    steps: dict[str, StepFunction] = {"deliver_goods": deliver_goods, "close_trade": close_trade}
    return _build(steps, {"return_goods": take_goods_back}, (WeighedGoods,))


class DeployWorld(TradeWorld):
    """A world in which each life of the worker has the next of these builds, and the last of them goes on.

    `visible` has the states and causes that a status showed at the end of each life.
    """

    def __init__(self, builds: Sequence[Graph], seed: int = 0) -> None:
        super().__init__(TALE, seed)
        self._builds = chain(builds, repeat(builds[-1]))
        self.visible: list[tuple[str, str]] = []

    def start_worker(self, kill_at: int | None = None) -> None:
        self.graph = next(self._builds)
        super().start_worker(kill_at)
        name = f"worker-{self.lives}"
        self.loop.call_later(LIFE_SECONDS, self._deploy, name, context=self._context)

    def _deploy(self, name: str) -> None:
        status = self.status(SAGA)
        if status is None or status["state"] in FINAL_STATES or self.loop.is_dead(name) or self.lives >= LIVES_MAX:
            return
        if name == f"worker-{self.lives}":
            self.visible.append((str(status["state"]), str(status["cause"] or "")))
            self._stop(name)


def deployed(new: Graph, stop_at: int | None, kill_at: int | None = None, seed: int = 0) -> DeployWorld:
    """A trade under old, new and old code in turn; the first worker is stopped, or dies, before that callback."""
    old = trade_graph()
    world = DeployWorld([old, new, old, new, old, new, old], seed)
    if stop_at is not None:
        world.loop.stop_at["worker-1"] = stop_at
    if kill_at is not None:
        world.loop.kill_at["worker-1"] = kill_at
    try:
        tell(world)
    except Deadlock:
        # It stands still for good: the caller looks at how.
        return world
    finally:
        world.loop.close()
    return world


def callbacks() -> int:
    """How many callbacks the first worker runs until the trade has ended."""
    world = deployed(trade_graph(), None)
    return world.loop.steps_of["worker-1"]
