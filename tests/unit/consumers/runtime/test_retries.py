"""When the next attempt is due."""

import pytest

from consumers.runtime.retries import wait_seconds
from consumers.runtime.steps import Retry, in_seconds

RETRY = Retry(attempts=20, first="200ms", most="30s")


def test_the_first_wait_is_as_declared_and_each_further_one_is_twice_as_long() -> None:
    assert [wait_seconds(RETRY, attempt) for attempt in range(1, 5)] == [0.2, 0.4, 0.8, 1.6]


@pytest.mark.parametrize("attempt", [9, 50, 2_000, 1_000_000])
def test_no_wait_is_longer_than_the_most_however_many_attempts_there_were(attempt: int) -> None:
    assert wait_seconds(RETRY, attempt) == 30


def test_a_wait_does_not_depend_on_other_retries_asked_for_before() -> None:
    slow = Retry(first="10s", most="1m")
    assert [wait_seconds(slow, 1), wait_seconds(RETRY, 1), wait_seconds(slow, 1)] == [10, 0.2, 10]


@pytest.mark.parametrize(
    ("duration", "seconds"), [("200ms", 0.2), ("1.5s", 1.5), ("5m", 300), ("2h", 7_200), ("1d", 86_400)]
)
def test_a_duration_is_read_with_its_unit(duration: str, seconds: float) -> None:
    assert in_seconds(duration) == seconds
