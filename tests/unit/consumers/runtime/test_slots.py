"""A limit that what hangs does not use up."""

import asyncio
import time

import pytest

from consumers.runtime import lane as module
from consumers.runtime.lane import Host, Lane
from consumers.runtime.ledger import Ledger
from consumers.runtime.slots import Slots
from consumers.runtime.view import view_of
from producers.records import Outgoing
from tests.unit.consumers.runtime.small_saga import ORDER, STORE
from tests.unit.consumers.runtime.test_lane import prompt
from tests.unit.consumers.runtime.wire import Wire, until

GOES_ON_WITHIN_SECONDS = 10.0


async def most_at_once(slots: Slots) -> int:
    """How many of twenty get a slot at the same time."""
    inside = most = 0

    async def work() -> None:
        nonlocal inside, most
        async with slots.taken():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(20)))
    return most


async def test_no_more_than_so_many_have_a_slot_at_once() -> None:
    assert await most_at_once(Slots(2, 60.0)) == 2


async def test_what_hangs_gives_its_slot_back() -> None:
    slots, thaw = Slots(1, 0.01), asyncio.Event()

    async def hangs() -> None:
        async with slots.taken():
            await thaw.wait()

    hanging = [asyncio.create_task(hangs()) for _ in range(30)]
    await asyncio.sleep(0)
    async with asyncio.timeout(GOES_ON_WITHIN_SECONDS), slots.taken():
        assert slots.overdue == 30 and not any(one.done() for one in hanging)
    thaw.set()
    await asyncio.gather(*hanging)
    assert slots.overdue == 0 and await most_at_once(slots) == 1


async def test_the_more_hang_the_shorter_is_the_moment_of_the_next() -> None:
    slots = Slots(1, 3_600.0)
    slots.overdue = 3_600_000

    async def hang() -> None:
        async with slots.taken():
            await asyncio.Event().wait()

    hanging = asyncio.create_task(hang())
    await asyncio.sleep(0)
    async with asyncio.timeout(GOES_ON_WITHIN_SECONDS), slots.taken():
        assert not hanging.done()
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)


async def test_what_fails_gives_its_slot_back_once() -> None:
    slots = Slots(1, 60.0)
    for _ in range(3):
        with pytest.raises(OSError, match="no answer"):
            async with slots.taken():
                raise OSError("no answer")
    assert await most_at_once(slots) == 1


class Frozen(Wire):
    """The leader of this lane's partitions answers nothing."""

    hangs = 0

    async def commit(self, said: list[Outgoing], state: dict[str, bytes | None]) -> None:
        Frozen.hangs += 1
        await asyncio.Event().wait()


class FrozenState(Wire):
    """Its state partition's leader answers nothing."""

    async def open(self) -> None:
        Frozen.hangs += 1
        await asyncio.Event().wait()


@pytest.mark.parametrize("kind", [Frozen, FrozenState])
async def test_lanes_that_hang_at_a_broker_hold_up_no_lane_of_another(
    kind: type[Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMMIT_MOMENT_SECONDS", 0.01)
    monkeypatch.setattr(module, "OPENING_MOMENT_SECONDS", 0.01)
    Frozen.hangs = 0
    view, host = view_of(ORDER, STORE), Host("life", time.time)

    def lane(name: str, wire: Wire) -> Lane:
        return Lane(name, host, wire, lambda: Ledger(view, 0, 1, "acme"), prompt)

    frozen = [lane(f"frozen.{number}", kind(("order.events",))) for number in range(12)]
    wire = Wire(("order.events",))
    sound = lane("sound", wire)
    lives = [asyncio.create_task(one.run()) for one in frozen]
    await until(lambda: Frozen.hangs == 12)
    lives.append(asyncio.create_task(sound.run()))
    await until(lambda: sound.is_live and wire.commits)
    for life in lives:
        life.cancel()
    await asyncio.gather(*lives, return_exceptions=True)
    assert host.commits.overdue == host.openings.overdue == 0
