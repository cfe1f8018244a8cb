"""A lane that is lost again and again waits longer and longer, finds the input that does it, and goes on without it."""

import asyncio
import json
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from consumers.runtime.finishing import Outcome, Spoke
from consumers.runtime.isolating import (
    FIRST_PAUSE_SECONDS,
    LOSSES_BEFORE_ISOLATING,
    PAUSE_SECONDS_MAX,
    TAKEN_AT_ONCE_MAX,
    WELL_AFTER_SECONDS,
    Isolation,
)
from consumers.runtime.memory import Work
from producers.errors import LaneLost, Uncommittable
from producers.records import Outgoing
from tests.unit.consumers.runtime.small_saga import STORE, TILL, LabelPrinted, StockReserved
from tests.unit.consumers.runtime.test_lane import opening
from tests.unit.consumers.runtime.wire import Line, until

# Until it begins to look, to find one among all that is taken at once, and to be sure.
ROUNDS_MAX = LOSSES_BEFORE_ISOLATING + TAKEN_AT_ONCE_MAX.bit_length() + 3


def refuses_poison(said: list[Outgoing], state: dict[str, bytes | None]) -> None:
    """Take no record with this word in it, as a broker takes none that is too large."""
    events = [one.value for one in said if one.topic != "order.dead"]
    if any(b"poison" in value for value in [*events, *state.values()] if value):
        raise Uncommittable("MessageSizeTooLarge")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.runtime.isolating.FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr("consumers.runtime.isolating.ISOLATING_PAUSE_SECONDS_MAX", 0.001)


async def prompt(work: Work) -> Outcome:
    saga = work.journal.saga_id
    shelf = "poison" if saga == "o-70" else "A1"
    found: dict[str, Any] = {
        "reserve_stock": StockReserved(saga_id=saga, shelf=shelf),
        "print_label": LabelPrinted(saga_id=saga),
    }
    return Spoke(found.get(work.owner.name))


def letters(line: Line) -> list[dict[str, Any]]:
    return [json.loads(one.value or b"") for one in line.wire.said if one.topic == "order.dead"]


async def fed(line: Line, count: int) -> None:
    """After each opening hand over what was not committed, as the reader does: each saga's opening, then an event."""
    opened = 0
    while True:
        if line.lane.is_live and line.wire.opened != opened:
            opened = line.wire.opened
            for offset in range(line.wire.heard["order.events"], 2 * count):
                number, is_second = divmod(offset, 2)
                if is_second:
                    shelf = "poison" if number == 70 and line.lane.name.startswith(TILL) else "A1"
                    line.hears(StockReserved(saga_id=f"o-{number}", shelf=shelf), f"reserved {number}", STORE)
                else:
                    line.hears(*opening(number))
        await asyncio.sleep(0)


async def test_the_record_that_cannot_be_committed_is_found_and_all_others_go_on(quick: None) -> None:
    till = Line(TILL, prompt)
    till.wire.takes = refuses_poison
    async with till:
        feeding = asyncio.create_task(fed(till, 100))
        await until(lambda: till.wire.position.offsets.get("order.events") == 200, seconds=20)
        feeding.cancel()
        (letter,) = letters(till)
        origin = {"topic": "order.events", "partition": 0, "offset": 141, "first_offset": None}
        assert letter["origin"] == origin
        assert "the lane could not go on with it: Uncommittable: MessageSizeTooLarge" in letter["reason"]
        assert till.wire.opened <= ROUNDS_MAX
        assert {f"saga/o-{number}" for number in range(100)} <= till.wire.state.keys()


async def test_the_item_whose_end_cannot_be_committed_fails_and_all_others_go_on(quick: None) -> None:
    store = Line(STORE, prompt)
    store.wire.takes = refuses_poison
    async with store:
        feeding = asyncio.create_task(fed(store, 100))
        await until(lambda: store.wire.types.count("order.step.failed"), seconds=20)
        await until(lambda: store.wire.types.count("order.stock.reserved") == 99, seconds=20)
        feeding.cancel()
        (letter,) = letters(store)
        assert (letter["saga_id"], letter["step"], letter["error"]) == ("o-70", "reserve_stock", "EngineFault")
        assert "Uncommittable" in letter["reason"]
        assert store.wire.types.count("order.label.printed") == 100
        assert store.wire.opened <= 2 * ROUNDS_MAX


async def test_a_lane_that_is_lost_over_what_it_reads_is_not_ready_says_why_and_is_well_again_in_time(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Line(STORE, prompt)

    def refuses_all_events(said: list[Outgoing], _: object) -> None:
        if said:
            raise Uncommittable("no")

    async with store:
        assert store.lane.is_ready and store.lane.trouble == ""
        store.wire.takes = refuses_all_events
        feeding = asyncio.create_task(fed(store, 1))
        await until(lambda: store.wire.opened > 3 and store.lane.is_live)
        feeding.cancel()
        assert not store.lane.is_ready
        assert "times over what it reads or says: Uncommittable: no" in store.lane.trouble
        store.wire.takes = lambda said, state: None
        monkeypatch.setattr("consumers.runtime.isolating.WELL_AFTER_SECONDS", 0.01)
        await until(lambda: store.lane.is_ready)


def test_the_pause_grows_to_some_seconds_and_differs_from_lane_to_lane() -> None:
    isolation, other = Isolation(lambda: 1.0), Isolation(lambda: 0.0)
    pauses = [isolation.lost(OSError("gone")) for _ in range(12)]
    assert pauses[0] == FIRST_PAUSE_SECONDS and pauses[-1] == PAUSE_SECONDS_MAX
    assert pauses == sorted(pauses)
    assert [other.lost(OSError("gone")) for _ in range(12)] == [pause / 2 for pause in pauses]


def test_an_opening_is_no_progress_a_commit_beyond_the_last_one_is() -> None:
    isolation = Isolation(lambda: 1.0)
    for _ in range(5):
        isolation.lost(OSError("gone"))
        isolation.begins()
        isolation.committed(is_progress=False)
    assert isolation.lost(OSError("gone")) > 1
    isolation.begins()
    isolation.committed(is_progress=True)
    assert isolation.lost(OSError("gone")) == FIRST_PAUSE_SECONDS


def test_a_mistake_over_an_input_is_forgotten_after_a_time_of_life_only() -> None:
    isolation = Isolation(lambda: 1.0)
    for _ in range(5):
        isolation.lost(KeyError("ours"))
        isolation.committed(is_progress=True)
    assert "KeyError" in isolation.cause
    isolation.lived(WELL_AFTER_SECONDS / 2)
    assert isolation.cause
    isolation.lived(WELL_AFTER_SECONDS * 2)
    assert not isolation.cause and isolation.lost(KeyError("ours")) == FIRST_PAUSE_SECONDS


@pytest.mark.parametrize("error", [OSError("gone"), TimeoutError(), LaneLost("fenced"), KafkaConnectionError("gone")])
def test_no_outage_makes_a_lane_take_less_at_once(error: Exception) -> None:
    isolation = Isolation()
    for _ in range(20):
        isolation.take(("order.events", 0, 1))
        isolation.lost(error)
    assert (isolation.at_once, isolation.refused, isolation.cause) == (None, {}, "")


def test_an_input_is_given_up_only_when_the_lane_was_lost_twice_over_it_alone() -> None:
    isolation = Isolation()
    for number in range(LOSSES_BEFORE_ISOLATING + 5):
        isolation.take(("order.events", 0, number))
        isolation.lost(KeyError("ours"))
    assert (isolation.at_once, isolation.refused) == (1, {})
    isolation.take(("order.events", 0, number))
    isolation.lost(KeyError("ours"))
    assert list(isolation.refused) == [("order.events", 0, number)]


def test_a_lane_that_gets_on_takes_more_and_more_again() -> None:
    isolation = Isolation()
    isolation.at_once = 1
    for _ in range(TAKEN_AT_ONCE_MAX.bit_length()):
        isolation.take(("order.events", 0, 1))
        isolation.begins()
        isolation.committed(is_progress=True)
    assert isolation.at_once is None
