"""The worker's clock follows the broker's, and no step of its own machine's clock."""

import pytest

from consumers.runtime.broker_clock import TOLD_SECONDS, BrokerClock


class Times:
    """A machine's two clocks."""

    def __init__(self) -> None:
        self.wall, self.monotonic = 1_800_000_000.0, 50.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def clock(times: Times) -> BrokerClock:
    return BrokerClock(lambda: times.wall, lambda: times.monotonic)


def test_before_any_answer_it_is_the_machines_clock(times: Times, clock: BrokerClock) -> None:
    times.pass_by(10)
    assert clock() == times.wall


@pytest.mark.parametrize("step", [-3_600.0, 3_600.0])
def test_a_step_of_the_machines_clock_changes_nothing(times: Times, clock: BrokerClock, step: float) -> None:
    before = clock()
    times.wall += step
    times.pass_by(1)
    assert clock() == before + 1


@pytest.mark.parametrize("ahead", [-7_200.0, -0.5, 0.5, 7_200.0])
def test_an_answer_of_the_broker_corrects_it_as_far_as_the_answer_can_tell(
    times: Times, clock: BrokerClock, ahead: float
) -> None:
    asked = clock.monotonic()
    times.pass_by(0.01)
    at = times.wall + ahead
    times.pass_by(0.01)
    clock.observe(at, asked, clock.monotonic())
    assert abs(clock() - (times.wall + ahead)) <= 0.02 + TOLD_SECONDS


def test_an_answer_that_agrees_with_it_changes_nothing(times: Times, clock: BrokerClock) -> None:
    asked, before = clock.monotonic(), clock()
    clock.observe(before + 0.004, asked, asked + 0.01)
    assert clock() == before
