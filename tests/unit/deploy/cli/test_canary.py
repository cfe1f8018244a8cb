"""In which order letters are replayed, and when no more of them are; in virtual time."""

import asyncio

import pytest

from deploy.cli.canary import Replayed, in_canary_order
from deploy.cli.outcomes import Outcome
from producers.errors import TimedOut
from tests.simulation.loop import SimulatedLoop

PASSED, FAILED, REFUSED = Outcome("passed", "well"), Outcome("failed", "again"), Outcome("refused", "no")
UNKNOWN, BEFORE = Outcome("unknown", "nothing yet"), Outcome("before", "long ago")


class Replays:
    """Each replay takes `seconds` and ends as the test says; remembers what was begun and ended, and when."""

    def __init__(self, ends: dict[str, Outcome | Exception], seconds: float = 0.0) -> None:
        self._ends, self._seconds = ends, seconds
        self.loop = SimulatedLoop(0.0)  # type: ignore[abstract]  # it has of a loop what asyncio's tasks call
        self.begun: list[tuple[str, float]] = []
        self.ended: list[str] = []

    async def replay(self, name: str) -> Outcome:
        self.begun.append((name, round(self.loop.time(), 6)))
        await asyncio.sleep(self._seconds)
        self.ended.append(name)
        end = self._ends.get(name, PASSED)
        if isinstance(end, Exception):
            raise end
        return end

    def of(self, names: str, per_second: float = 10.0) -> Replayed[str]:
        """Replay all of these; nobody has let an error pass unseen."""
        task = self.loop.spawn(None, in_canary_order(names, self.replay, per_second))
        try:
            self.loop.run_until(task.done)
            done: Replayed[str] = task.result()
            return done
        finally:
            self.loop.close()
            assert self.loop.errors == []

    @property
    def names(self) -> str:
        return "".join(name for name, _ in self.begun)


def told(done: Replayed[str]) -> tuple[list[tuple[str, str]], str]:
    return [(name, outcome.kind) for name, outcome in done.outcomes], "".join(done.not_tried)


def test_the_first_has_passed_before_the_second_is_begun_and_the_rest_follow_at_the_rate() -> None:
    replays = Replays({}, seconds=5.0)
    done = replays.of("abcd", per_second=4.0)
    assert replays.begun == [("a", 0.0), ("b", 5.0), ("c", 5.25), ("d", 5.5)]
    assert told(done) == ([(name, "passed") for name in "abcd"], "")
    assert not done.is_stopped
    assert replays.loop.time() == 10.5


def test_nobody_waits_once_the_last_has_come_to_its_outcome() -> None:
    replays = Replays({})
    replays.of("ab", per_second=0.01)
    assert replays.loop.time() == 0.0


def test_nothing_is_replayed_where_nothing_is_wanted() -> None:
    assert told(Replays({}).of("")) == ([], "")


@pytest.mark.parametrize("end", [FAILED, UNKNOWN], ids=lambda end: end.kind)
def test_no_other_is_tried_when_the_first_does_not_pass(end: Outcome) -> None:
    replays = Replays({"a": end})
    done = replays.of("abc")
    assert (told(done), done.is_stopped, replays.names) == (([("a", end.kind)], "bc"), True, "a")


@pytest.mark.parametrize("end", [REFUSED, BEFORE], ids=lambda end: end.kind)
def test_one_that_tells_nothing_of_the_others_gives_its_place_to_the_next(end: Outcome) -> None:
    replays = Replays({"a": end, "b": end, "d": FAILED}, seconds=5.0)
    done = replays.of("abcdef", per_second=0.1)
    assert replays.begun == [("a", 0.0), ("b", 5.0), ("c", 10.0), ("d", 15.0)]
    assert told(done) == ([("a", end.kind), ("b", end.kind), ("c", "passed"), ("d", "failed")], "ef")


def test_all_may_be_refused() -> None:
    done = Replays({"a": REFUSED, "b": REFUSED}).of("ab")
    assert (told(done), done.is_stopped) == (([("a", "refused"), ("b", "refused")], ""), False)


@pytest.mark.parametrize("end", [FAILED, UNKNOWN], ids=lambda end: end.kind)
def test_no_further_one_is_begun_after_a_failure_and_those_under_way_are_told(end: Outcome) -> None:
    replays = Replays({"b": end}, seconds=2.5)
    done = replays.of("abcdef", per_second=1.0)
    # The second is begun at 2.5 and fails at 5: two more have been begun by then.
    assert replays.begun == [("a", 0.0), ("b", 2.5), ("c", 3.5), ("d", 4.5)]
    assert told(done) == ([("a", "passed"), ("b", end.kind), ("c", "passed"), ("d", "passed")], "ef")
    assert done.is_stopped


def test_a_refusal_among_the_rest_stops_nothing() -> None:
    done = Replays({"b": REFUSED}).of("abc")
    assert told(done) == ([("a", "passed"), ("b", "refused"), ("c", "passed")], "")


@pytest.mark.parametrize("lost", ["a", "b", "bcd"])
def test_where_kafka_is_lost_no_further_one_is_begun_and_those_under_way_come_to_an_end(lost: str) -> None:
    replays = Replays({name: TimedOut(f"gone at {name}") for name in lost}, seconds=2.5)
    with pytest.raises(TimedOut, match=f"gone at {lost[0]}"):
        replays.of("abcdef", per_second=1.0)
    assert replays.names == "".join(replays.ended) == ("a" if lost == "a" else "abcd")
