"""How a step's function is called, and what becomes of every way it can end."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from consumers.runtime.calling import Caller, LeasedPort
from consumers.runtime.finishing import Blocked, Broke, Outcome, Spoke, Unfit, Waits
from consumers.runtime.journal import Item
from consumers.runtime.memory import Work
from consumers.runtime.metrics import ItemFigures
from consumers.runtime.steps import Call, Later, StepFunction
from producers.errors import DependencyDown
from schemas.engine import CommandRefused
from tests.unit.consumers.runtime.bench import BEGIN, SAGA, Bench
from tests.unit.consumers.runtime.small_saga import (
    DESK,
    ORDER,
    STORE,
    TILL,
    CancelOrder,
    CardCharged,
    Cards,
    CustomerGreeted,
    LabelPrinted,
    OrderCleared,
    OrderExpired,
    OrderOpened,
    ParcelShipped,
    Post,
    Printer,
    Shelves,
    StockReleased,
    StockReserved,
)

PORTS: dict[type, object] = {kind: object() for kind in (Shelves, Printer, Cards, Post)}


def called(work: Work, function: StepFunction, timeout_seconds: float = 5) -> Outcome:
    """How the item ends, were this the step's function."""
    owner = replace(work.owner, function=function, timeout_seconds=timeout_seconds)

    async def call() -> Outcome:
        return await asyncio.create_task(Caller(ORDER, PORTS, lambda: BEGIN)(Work(work.journal, work.item, owner)))

    return asyncio.run(call())


def work_of(participant: str, step: str) -> Work:
    """The step at work in a saga that has just begun; a till has the stock, a desk is asked to cancel."""
    bench = Bench(participant)
    bench.opens()
    if participant == TILL:
        bench.hears(StockReserved(saga_id=SAGA, shelf="B2"), "reserved")
    if step == "cancel_order":
        bench.starts()
        bench.ends("expire_order", Waits(BEGIN + 60))
        bench.hears(CancelOrder(saga_id=SAGA), "cancel")
    bench.starts()
    return bench.running[step]


def returning(result: object) -> StepFunction:
    async def returns(**_: Any) -> object:
        return result

    return returns


def raising(error: BaseException) -> StepFunction:
    async def raises(**_: Any) -> None:
        raise error

    return raises


def label(result: object) -> Outcome:
    """What becomes of this result of print_label."""
    return called(work_of(STORE, "print_label"), returning(result))


PRINTED = LabelPrinted(saga_id=SAGA)


def test_a_step_is_handed_what_it_hears_what_it_recalls_its_ports_and_its_call() -> None:
    found: dict[str, Any] = {}

    async def charge(**arguments: Any) -> CardCharged:
        found.update(arguments)
        return CardCharged(saga_id=SAGA)

    assert isinstance(called(work_of(TILL, "charge_card"), charge), Spoke)
    assert found["stock"] == StockReserved(saga_id=SAGA, shelf="B2")
    assert isinstance(found["opened"], OrderOpened)
    assert isinstance(found["cards"], LeasedPort)
    assert isinstance(found["call"], Call)
    assert (found["call"].attempt, found["call"].tenant, found["call"].message_id) == (1, "acme", "reserved")
    assert found["call"].now == datetime.fromtimestamp(BEGIN, UTC)


def test_a_join_is_handed_its_legs_in_the_order_of_its_parameters() -> None:
    desk = Bench(DESK)
    desk.opens()
    desk.starts()
    desk.ends("expire_order", Waits(BEGIN + 60))
    desk.hears(CardCharged(saga_id=SAGA, cents=5))
    desk.hears(LabelPrinted(saga_id=SAGA))
    desk.starts()
    found: dict[str, Any] = {}

    async def clear(**arguments: Any) -> OrderCleared:
        found.update(arguments)
        return OrderCleared(saga_id=SAGA)

    assert isinstance(called(desk.running["clear_order"], clear), Spoke)
    assert (found["label"], found["card"]) == (LabelPrinted(saga_id=SAGA), CardCharged(saga_id=SAGA, cents=5))


def test_a_recalled_fact_that_is_optional_is_none_until_it_was_said() -> None:
    found: list[Any] = []

    async def expire(cleared: object, **_: Any) -> OrderExpired:
        found.append(cleared)
        return OrderExpired(saga_id=SAGA)

    called(work_of(DESK, "expire_order"), expire)
    assert found == [None]


def test_a_fact_that_is_missing_spends_nothing_of_the_budget() -> None:
    work = work_of(TILL, "charge_card")
    del work.journal.facts["order.opened"]
    outcome = called(work, returning(CardCharged(saga_id=SAGA)))
    assert outcome == Unfit(f"{SAGA} has not heard order.opened")


def test_what_a_step_returns_is_said() -> None:
    outcome = label(PRINTED)
    assert outcome == Spoke(PRINTED)


@pytest.mark.parametrize(
    "result",
    [
        StockReserved(saga_id=SAGA),
        LabelPrinted(saga_id="another"),
        CommandRefused(saga_id=SAGA, command_id="x", reason="no"),
        "a label",
        Later(datetime.fromtimestamp(BEGIN + 5, UTC)),
        None,
        LabelPrinted,
    ],
    ids=["another event", "another saga", "a refusal", "no event", "a wait", "nothing", "a class"],
)
def test_what_a_step_does_not_declare_to_say_is_a_failure_no_retry_helps_against(result: object) -> None:
    outcome = label(result)
    assert isinstance(outcome, Broke)
    assert (outcome.error, outcome.permanent) == ("SaidUndeclared", True)


def test_a_step_that_declares_it_may_say_nothing_may() -> None:
    assert called(work_of(DESK, "expire_order"), returning(None)) == Spoke(None)


def test_a_step_that_declares_it_may_wait_may() -> None:
    later = Later(datetime.fromtimestamp(BEGIN + 5, UTC))
    assert called(work_of(DESK, "expire_order"), returning(later)) == Waits(BEGIN + 5)


@pytest.mark.parametrize("moment", [datetime.max, datetime.max.replace(tzinfo=UTC), datetime.min], ids=repr)
def test_a_step_that_waits_for_an_impossible_time_has_failed(moment: datetime) -> None:
    outcome = called(work_of(DESK, "expire_order"), returning(Later(moment)))
    assert isinstance(outcome, Broke)


def test_a_command_may_be_refused_by_its_step() -> None:
    refused = CommandRefused(saga_id=SAGA, command_id="cancel", reason="too late")
    assert called(work_of(DESK, "cancel_order"), returning(refused)) == Spoke(refused)


def test_a_step_that_takes_too_long_is_stopped_at_its_timeout() -> None:
    stopped = []

    async def sleeps(**_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(True)

    outcome = called(work_of(STORE, "print_label"), sleeps, timeout_seconds=0.01)
    assert outcome == Broke("StepTimedOut", "no answer in 0.01 s")
    assert stopped == [True]


class Panic(BaseException):
    """As pyo3's PanicException: not an Exception, and no wish to stop the program either."""


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("wrong"),
        SystemExit(3),
        asyncio.CancelledError(),
        Panic("rust"),
        GeneratorExit(),
        Unspeakable(),
        ExceptionGroup("both", [ValueError("a"), OSError("b")]),
        RecursionError(),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_step_raises_is_a_failed_attempt(error: BaseException) -> None:
    outcome = called(work_of(STORE, "print_label"), raising(error))
    assert isinstance(outcome, Broke)
    assert (outcome.error, outcome.permanent) == (type(error).__name__, False)
    assert outcome.cause


def test_a_cause_is_never_longer_than_people_read() -> None:
    outcome = called(work_of(STORE, "print_label"), raising(ValueError("x" * 1_000_000)))
    assert isinstance(outcome, Broke)
    assert len(outcome.cause) <= 2_000


def test_an_open_breaker_is_no_attempt() -> None:
    outcome = called(work_of(STORE, "print_label"), raising(DependencyDown("Printer", BEGIN + 5)))
    assert outcome == Blocked("Printer is down; its breaker is open", BEGIN + 5)


def test_a_lane_that_stops_its_step_is_not_told_an_outcome() -> None:
    work = work_of(STORE, "print_label")

    async def waits(**_: Any) -> None:
        await asyncio.Event().wait()

    async def stopped() -> bool:
        owner = replace(work.owner, function=waits)
        task = asyncio.create_task(Caller(ORDER, PORTS, lambda: BEGIN)(Work(work.journal, work.item, owner)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(stopped())


def keys_of(store: Bench, step: str) -> str:
    keys: list[str] = []

    async def note(call: Call, **_: Any) -> StockReserved | StockReleased:
        keys.append(call.key)
        return (StockReserved if step != "release_stock" else StockReleased)(saga_id=SAGA)

    store.ends(step, called(store.running[step], note))
    return keys[0]


def test_the_key_is_the_same_on_every_attempt_in_every_life_and_for_the_undo() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    first = called_key(store.running["reserve_stock"])
    store.breaks("reserve_stock")
    store.says("print_label", PRINTED)
    store.hears_itself()
    store = store.reopened()
    store.now += 60
    assert store.starts() == ["reserve_stock"]
    second = keys_of(store, "reserve_stock")
    store.expires()
    store.hears_settled(DESK, TILL)
    assert store.starts() == ["release_stock"]
    assert first == second == keys_of(store, "release_stock")


def called_key(work: Work) -> str:
    keys: list[str] = []

    async def note(call: Call, **_: Any) -> LabelPrinted:
        keys.append(call.key)
        raise ConnectionError

    called(work, note)
    return keys[0]


def test_two_steps_on_one_message_have_two_keys() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    assert called_key(store.running["reserve_stock"]) != called_key(store.running["print_label"])


def test_a_renamed_step_keeps_its_key_and_its_undo_has_the_same() -> None:
    store = Bench(STORE)
    store.opens()
    item = store.item("reserve_stock")
    store.journal.items = {item.id: Item(item.id, "book_stock", item.message, budget=3)}
    assert store.starts() == ["book_stock"]
    first = keys_of(store, "book_stock")
    store.expires()
    store.hears_settled(DESK, TILL)
    assert store.starts() == ["release_stock"]
    assert first == keys_of(store, "release_stock")


def undoing(fact_was_said: bool) -> Work:
    store = Bench(STORE)
    store.opens()
    store.starts()
    if fact_was_said:
        store.says("reserve_stock", StockReserved(saga_id=SAGA, shelf="C3"))
    else:
        store.breaks("reserve_stock")
    store.running.pop("print_label")
    store.ledger.finish(SAGA, store.item("print_label"), Broke("x", "y", permanent=True), store.now)
    store.expires()
    store.hears_settled(DESK, TILL)
    while "release_stock" not in store.running:
        (step,) = store.starts()
        if step == "tear_label":
            store.says(step, ORDER.undos[step].signature.says[0](saga_id=SAGA))
    return store.running["release_stock"]


@pytest.mark.parametrize("said", [True, False])
def test_an_undo_is_handed_the_fact_it_takes_back_or_none_where_none_was_said(said: bool) -> None:
    found: list[Any] = []

    async def release(reserved: object, **_: Any) -> StockReleased:
        found.append(reserved)
        return StockReleased(saga_id=SAGA)

    assert isinstance(called(undoing(said), release), Spoke)
    assert found == [StockReserved(saga_id=SAGA, shelf="C3") if said else None]


def test_an_undo_that_says_nothing_has_failed() -> None:
    outcome = called(undoing(True), returning(None))
    assert isinstance(outcome, Broke)


def test_a_step_of_the_flow_itself_runs_as_it_stands() -> None:
    class PostOffice:
        async def ship(self, key: str) -> None:
            shipped.append(key)

    shipped: list[str] = []
    till = Bench(TILL)
    till.opens()
    till.hears(OrderCleared(saga_id=SAGA))
    till.hears(CardCharged(saga_id=SAGA))
    till.starts()
    outcomes: dict[str, Outcome] = {}
    caller: Callable[[Work], Any] = Caller(ORDER, PORTS | {Post: PostOffice()}, lambda: BEGIN)
    for name, work in till.running.items():
        outcomes[name] = asyncio.run(caller(work))
    assert outcomes["ship_parcel"] == Spoke(ParcelShipped(saga_id=SAGA))
    assert outcomes["greet_customer"] == Spoke(CustomerGreeted(saga_id=SAGA))
    assert len(shipped) == 1


def test_a_step_that_returns_what_has_no_repr_has_failed() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise ValueError("no words")

    assert isinstance(label(Mute()), Broke)


async def test_a_step_that_blocks_the_event_loop_is_named_in_the_log_and_in_the_metric(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    monkeypatch.setattr("consumers.runtime.promptly.monotonic", lambda: now)

    async def blocks(opened: OrderOpened, printer: Printer, call: Call) -> LabelPrinted:
        nonlocal now
        now += 0.3
        await asyncio.sleep(0)
        now += 2
        return LabelPrinted(saga_id=call.saga_id)

    registry = CollectorRegistry()
    figures = ItemFigures(registry)
    work = work_of(STORE, "print_label")
    owner = replace(work.owner, function=blocks)
    outcome = await Caller(ORDER, PORTS, lambda: BEGIN, figures.blocked)(Work(work.journal, work.item, owner))
    assert isinstance(outcome, Spoke)
    told = [record.__dict__ for record in caplog.records if record.getMessage() == "step.blocked_the_loop"]
    assert [one["seconds"] for one in told] == [0.3, 2.0]
    assert {(one["participant"], one["step"], one["saga_id"]) for one in told} == {(STORE, "print_label", SAGA)}
    labels = {"participant": STORE, "step": "print_label"}
    assert registry.get_sample_value("soma_step_blocked_seconds_total", labels) == pytest.approx(2.3)


async def test_a_step_that_waits_for_long_blocks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def waits(opened: OrderOpened, printer: Printer, call: Call) -> LabelPrinted:
        await asyncio.sleep(0)
        return LabelPrinted(saga_id=call.saga_id)

    registry = CollectorRegistry()
    figures = ItemFigures(registry)
    work = work_of(STORE, "print_label")
    owner = replace(work.owner, function=waits)
    await Caller(ORDER, PORTS, lambda: BEGIN, figures.blocked)(Work(work.journal, work.item, owner))
    labels = {"participant": STORE, "step": "print_label"}
    assert registry.get_sample_value("soma_step_blocked_seconds_total", labels) is None
