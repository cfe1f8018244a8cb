"""A breaker around a port: when it opens, and how it finds out that the port is there again."""

import asyncio

import pytest

from consumers.runtime.breakers import FAILURES_IN_A_ROW, OPEN_SECONDS, Breaker, guarded
from consumers.runtime.steps import Declined
from producers.errors import DependencyDown
from tests.unit.consumers.runtime.bench import BEGIN


class NotHere(Declined):
    pass


class Dependency:
    """A port of which the test says how it answers."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.error: Exception | None = ConnectionError("refused")
        self.calls = 0
        self.hold: asyncio.Event | None = None
        self.breaker = Breaker("printer", lambda: self.now)

    async def answer(self, word: str = "done") -> str:
        self.calls += 1
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        return word

    async def call(self) -> str:
        return str(await self.breaker.calling(self.answer))

    async def fails(self, times: int) -> None:
        for _ in range(times):
            with pytest.raises((ConnectionError, NotHere)):
                await self.call()


@pytest.fixture
def port() -> Dependency:
    return Dependency()


async def test_what_the_port_returns_and_raises_is_passed_on(port: Dependency) -> None:
    with pytest.raises(ConnectionError, match="refused"):
        await port.call()
    port.error = None
    assert await port.breaker.calling(port.answer, word="ready") == "ready"


async def test_it_opens_after_so_many_failures_in_a_row_and_keeps_calls_away(port: Dependency) -> None:
    await port.fails(FAILURES_IN_A_ROW - 1)
    assert not port.breaker.is_open
    await port.fails(1)
    assert port.breaker.is_open
    with pytest.raises(DependencyDown) as down:
        await port.call()
    assert port.calls == FAILURES_IN_A_ROW
    assert (down.value.dependency, down.value.retry_at) == ("printer", BEGIN + OPEN_SECONDS)


async def test_it_names_the_error_that_opened_it_until_it_closes(port: Dependency) -> None:
    await port.fails(FAILURES_IN_A_ROW)
    words = "printer (ConnectionError: refused) is down; its breaker is open"
    with pytest.raises(DependencyDown) as first:
        await port.call()
    # The cause does not change with every probe: ten thousand sagas tell of it.
    port.now += OPEN_SECONDS
    port.error = ConnectionError("another")
    await port.fails(1)
    with pytest.raises(DependencyDown) as second:
        await port.call()
    assert str(first.value) == str(second.value) == words
    # Once it has closed, it is opened by what comes then.
    port.now += OPEN_SECONDS
    port.error = None
    await port.call()
    port.error = ConnectionError("x" * 1_000)
    await port.fails(FAILURES_IN_A_ROW)
    with pytest.raises(DependencyDown, match=r"printer \(ConnectionError: x{100,200}\) is down"):
        await port.call()


async def test_a_success_in_between_begins_the_row_anew(port: Dependency) -> None:
    await port.fails(FAILURES_IN_A_ROW - 1)
    port.error = None
    await port.call()
    port.error = ConnectionError()
    await port.fails(FAILURES_IN_A_ROW - 1)
    assert not port.breaker.is_open


async def test_a_port_that_answers_no_does_not_open_it(port: Dependency) -> None:
    port.error = NotHere("not this text")
    await port.fails(3 * FAILURES_IN_A_ROW)
    assert not port.breaker.is_open


async def test_it_is_opened_by_our_clock_not_by_the_wall(port: Dependency) -> None:
    await port.fails(FAILURES_IN_A_ROW)
    port.error = None
    port.now += OPEN_SECONDS - 0.01
    with pytest.raises(DependencyDown):
        await port.call()
    port.now += 0.02
    assert await port.call() == "done"
    assert not port.breaker.is_open


async def test_one_probe_at_a_time_is_let_through(port: Dependency) -> None:
    await port.fails(FAILURES_IN_A_ROW)
    port.now += OPEN_SECONDS
    port.error, port.hold = None, asyncio.Event()
    probe = asyncio.create_task(port.call())
    await asyncio.sleep(0)
    for _ in range(3):
        with pytest.raises(DependencyDown) as down:
            await port.call()
        assert down.value.retry_at > port.now
    port.hold.set()
    assert await probe == "done"
    assert await port.call() == "done"


async def test_a_probe_that_fails_keeps_it_open_for_as_long_again(port: Dependency) -> None:
    await port.fails(FAILURES_IN_A_ROW)
    port.now += OPEN_SECONDS
    await port.fails(1)
    with pytest.raises(DependencyDown) as down:
        await port.call()
    assert down.value.retry_at == BEGIN + 2 * OPEN_SECONDS
    port.now += OPEN_SECONDS
    port.error = None
    assert await port.call() == "done"


async def test_a_probe_that_is_cut_off_lets_another_one_through_in_time(port: Dependency) -> None:
    await port.fails(FAILURES_IN_A_ROW)
    port.now += OPEN_SECONDS
    port.hold = asyncio.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await port.call()
    port.now += OPEN_SECONDS
    port.hold, port.error = None, None
    assert await port.call() == "done"


async def test_calls_that_are_cut_off_by_their_timeouts_open_it(port: Dependency) -> None:
    port.hold = asyncio.Event()
    for _ in range(FAILURES_IN_A_ROW):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await port.call()
    assert port.breaker.is_open


async def test_every_port_has_a_breaker_of_its_own() -> None:
    class Shelf:
        colour = "red"

        async def put(self) -> None:
            raise ConnectionError

        def label(self) -> str:
            return "A1"

    class Lamp(Shelf):
        pass

    ports, breakers = guarded({Shelf: Shelf(), Lamp: Lamp()}, lambda: BEGIN)
    shelf = ports[Shelf]
    for _ in range(FAILURES_IN_A_ROW):
        with pytest.raises(ConnectionError):
            await shelf.put()  # type: ignore[attr-defined]
    with pytest.raises(DependencyDown):
        await shelf.put()  # type: ignore[attr-defined]
    assert (breakers[Shelf].is_open, breakers[Lamp].is_open) == (True, False)
    assert (shelf.label(), shelf.colour) == ("A1", "red")  # type: ignore[attr-defined]


def test_a_port_that_two_saga_kinds_share_has_one_breaker() -> None:
    class Shelf:
        pass

    class Lamp:
        pass

    _, first = guarded({Shelf: Shelf()}, lambda: BEGIN)
    _, second = guarded({Shelf: Shelf(), Lamp: Lamp()}, lambda: BEGIN, first)
    assert second[Shelf] is first[Shelf]
    assert second[Lamp] is not first[Shelf]
