"""A deploy in the middle: what another build cannot carry is held with verbs that work, and all sagas end."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from consumers.in_flight import KindInFlight
from consumers.runtime.gone import GONE, item_of
from consumers.runtime.graph import Graph
from consumers.runtime.journal import decoded
from consumers.runtime.steps import Retry
from deploy.cli.stuck import standing_in
from producers.headers import read
from producers.records import Outgoing
from schemas.status import SagaStatus
from tests.simulation.world import World
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL

SECONDS_MOST = 8_000.0
SAGAS = [f"o-{number}" for number in range(5)]
PATIENT = replace(ORDER.steps["print_label"], retry=Retry(attempts=500, first="1s", most="10s"))
BUILD = replace(ORDER, steps=ORDER.steps | {"print_label": PATIENT})


class Outside:
    """The shop's dependencies; the printer may be down."""

    def __init__(self) -> None:
        self.is_down = True

    async def print(self, key: str) -> None:
        await asyncio.sleep(0.1)
        if self.is_down:
            raise ConnectionError("the printer does not answer")

    async def reserve(self, key: str) -> str:
        return "A1"

    async def charge(self, key: str) -> int:
        return 100

    async def ship(self, key: str) -> None:
        await asyncio.sleep(0.1)


class Shop(World):
    """The small saga in a world in which one build follows another."""

    def __init__(self, graph: Graph, seed: int) -> None:
        self.outside = Outside()
        kinds = (order.Shelves, order.Printer, order.Cards, order.Post)
        super().__init__(graph, lambda _: dict.fromkeys(kinds, self.outside), seed)

    def deploy(self, graph: Graph, is_killed: bool = False) -> None:
        """Let the worker end, and start one of this build."""
        before, self.graph = self.lives, graph
        worker = f"worker-{before}"
        if is_killed:
            self.loop.kill(worker)
        else:
            self._stop(worker)
        self.run_until(lambda: self.lives > before)

    def standing(self, saga_id: str) -> list[tuple[str, str, str]]:
        """Participant, step and item of all that stands still, as `soma stuck list` shows it."""
        found = standing_in(SagaStatus.model_validate(self.status(saga_id)))
        return [(one.participant, one.step, one.item) for one in found]

    def items(self, participant: str, saga_id: str) -> list[str]:
        """The steps of the items that the participant's state has of the saga."""
        records = self.broker.committed(f"{participant}.state", 1)
        last = [record.value for record in records if record.key == f"saga/{saga_id}".encode()][-1]
        return [item.step for item in decoded(last).items.values()] if last else []

    def concerned(self, graph: Graph) -> int:
        """How many sagas `soma worker --check` of a build with this flow would count."""
        kind = KindInFlight(graph)
        kind.begin()
        for topic in kind.topics:
            for record in self.broker.committed(topic, 1):
                kind.take(record)
        kind.end()
        assert kind.open == len(SAGAS)
        return kind.concerned

    def asks(self, saga_id: str, verb: str, message_id: str, **words: str) -> str:
        """Free the one item that stands still; returns the type of the door's answer."""
        ((participant, step, item),) = self.standing(saga_id)
        body = {"participant": participant, "step": step, "item": item} | words
        self.publish(f"order.item.{verb}", saga_id, body, message_id)
        return self.answer(message_id)

    def answer(self, message_id: str) -> str:
        """The type of the event that the command has led to."""

        def answers() -> list[str]:
            return [kind for kind, record in self.events() if read(record, "").causation == message_id]

        self.run_until(lambda: bool(answers()), SECONDS_MOST)
        (found,) = answers()
        return found

    def reaches(self, state: str, *sagas: str) -> None:
        """Run until these sagas are in this state."""
        self.run_until(lambda: {self.state(saga_id) for saga_id in sagas} == {state}, SECONDS_MOST)


NewShop = Callable[..., Shop]


@pytest.fixture
def new_shop() -> Iterator[NewShop]:
    shops: list[Shop] = []

    def make(graph: Graph = BUILD, seed: int = 0, expires_in_seconds: float = 3_600.0) -> Shop:
        shop = Shop(graph, seed)
        expires_at = datetime.fromtimestamp(shop.loop.time() + expires_in_seconds, UTC).isoformat()
        shops.append(shop)
        shop.start_worker()
        for saga_id in SAGAS:
            shop.publish("order.place", saga_id, {"item": "tulip", "expires_at": expires_at})
        return shop

    yield make
    for shop in shops:
        shop.loop.close()


def without(*names: str) -> Graph:
    return replace(BUILD, steps={name: step for name, step in BUILD.steps.items() if name not in names})


def renamed(former: str, name: str, formerly: tuple[str, ...] = ()) -> Graph:
    step = replace(BUILD.steps[former], name=name, formerly=formerly)
    steps = [step if one.name == former else one for one in BUILD.steps.values()]
    return replace(BUILD, steps={one.name: one for one in steps})


def in_print(shop: Shop) -> bool:
    """Whether every saga waits for the printer."""
    statuses = [shop.status(saga_id) for saga_id in SAGAS]
    return all(status is not None and _delayed(status) for status in statuses)


def _delayed(status: dict[str, Any]) -> bool:
    return any(step["name"] == "print_label" and step["state"] == "delayed" for step in status["steps"])


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_a_rollback_holds_the_sagas_inside_a_step_that_it_lacks_and_every_verb_works(
    new_shop: NewShop, is_killed: bool
) -> None:
    shop = new_shop()
    shop.run_until(lambda: in_print(shop))
    assert (shop.concerned(BUILD), shop.concerned(without("print_label"))) == (0, len(SAGAS))
    shop.deploy(without("print_label"), is_killed)
    shop.reaches("held", *SAGAS)
    for saga_id in SAGAS:
        status = shop.status(saga_id) or {}
        assert status["cause"] == f"flow changed: no step of {STORE} is called print_label"
        assert [(who, step) for who, step, _ in shop.standing(saga_id)] == [(STORE, "print_label")]
    kept, cancelled, skipped, *others = SAGAS
    assert shop.asks(kept, "retry", "retry") == "order.item.resumed"
    shop.reaches("held", kept)
    shop.publish("order.cancel", cancelled, {}, "cancel")
    assert shop.answer("cancel") == "order.cancelled"
    # The label may have been printed, and this build cannot tear it.
    shop.reaches("stuck", cancelled)
    assert shop.asks(cancelled, "resolve", "resolve", evidence="torn by hand") == "order.item.resolved"
    shop.reaches("cancelled", cancelled)
    assert shop.asks(skipped, "skip", "skip", reason="no label is needed") == "order.item.skipped"
    shop.run_until(lambda: not shop.items(STORE, skipped), SECONDS_MOST)
    shop.deploy(BUILD)
    shop.outside.is_down = False
    shop.reaches("completed", kept, *others)
    # What was skipped prints nothing, and so its order cannot be cleared before it expires.
    shop.reaches("expired", skipped)
    assert shop.said_twice() == []


def test_a_renamed_step_without_formerly_holds_its_sagas_and_formerly_lets_them_go_on(new_shop: NewShop) -> None:
    shop = new_shop()
    shop.run_until(lambda: in_print(shop))
    assert shop.concerned(renamed("print_label", "print_sticker")) == len(SAGAS)
    shop.deploy(renamed("print_label", "print_sticker"))
    shop.reaches("held", *SAGAS)
    assert shop.concerned(renamed("print_label", "print_sticker", formerly=("print_label",))) == 0
    shop.deploy(renamed("print_label", "print_sticker", formerly=("print_label",)))
    shop.reaches("running", *SAGAS)
    shop.outside.is_down = False
    shop.reaches("completed", *SAGAS)
    names = {step["name"] for saga_id in SAGAS for step in (shop.status(saga_id) or {})["steps"]}
    assert "print_sticker" in names and "print_label" not in names
    assert shop.said_twice() == []


def test_a_timer_whose_step_was_renamed_holds_its_sagas_at_once_and_not_at_its_deadline(new_shop: NewShop) -> None:
    shop = new_shop(expires_in_seconds=90.0)
    shop.run_until(lambda: in_print(shop))
    assert shop.concerned(renamed("expire_order", "expire_late")) == len(SAGAS)
    shop.deploy(renamed("expire_order", "expire_late"))
    shop.reaches("held", *SAGAS)
    assert [(who, step) for who, step, _ in shop.standing(SAGAS[0])] == [(DESK, "expire_order")]
    shop.deploy(renamed("expire_order", "expire_late", formerly=("expire_order",)))
    shop.reaches("expired", *SAGAS)
    assert shop.said_twice() == []


def test_a_participant_that_a_deploy_has_removed_leaves_no_saga_compensating(new_shop: NewShop) -> None:
    shop = new_shop()
    shop.run_until(lambda: in_print(shop))
    steps = {name: step for name, step in BUILD.steps.items() if step.participant != TILL}
    shop.deploy(replace(BUILD, steps=steps, participants=(DESK, STORE)))
    shop.reaches("held", *SAGAS)
    answered, back, *others = SAGAS
    for saga_id in SAGAS:
        shop.publish("order.cancel", saga_id, {}, f"cancel {saga_id}")
    shop.reaches("stuck", *SAGAS)
    assert shop.standing(answered) == [(TILL, GONE, item_of(TILL))]
    assert shop.asks(answered, "retry", "retry") == "order.command.refused"
    assert shop.asks(answered, "resolve", "resolve", evidence="refunded by hand") == "order.item.resolved"
    for saga_id in others:
        assert shop.asks(saga_id, "skip", f"skip {saga_id}", reason="nothing was charged") == "order.item.skipped"
    shop.reaches("cancelled", answered, *others)
    shop.deploy(BUILD)
    shop.reaches("cancelled", back)
    assert shop.said_twice() == []


def test_a_state_record_of_the_tracker_that_cannot_be_read_holds_a_status_and_no_saga(new_shop: NewShop) -> None:
    shop = new_shop()
    shop.run_until(lambda: in_print(shop))
    for saga_id in SAGAS[:2]:
        shop.broker.append(Outgoing("order.tracker.state", 0, f"saga/{saga_id}".encode(), b"\x7e garbage"))
    shop.deploy(BUILD)
    shop.reaches("held", *SAGAS[:2])
    assert {shop.state(saga_id) for saga_id in SAGAS[2:]} == {"running"}
    shop.outside.is_down = False
    shop.reaches("completed", *SAGAS)
    assert shop.said_twice() == []
