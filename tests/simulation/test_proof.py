"""The proof in short: schedules with several deaths, and deliberate bugs that have to be found.

`make prove` has the long version.
"""

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.conditions import NAMES, possible
from tests.simulation.proving import tales
from tests.simulation.schedules import COMMITS_MOST, FAULTS, FAULTS_MOST, OVERLAP_MOST, Schedule, broken_by
from tests.simulation.trying import applied, tried

SHORT = (
    "state outside the transaction",
    "a command is judged without a read barrier",
    "an unknown outcome is not waited for",
)
CALLBACKS = st.integers(1, 1_500)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(tales())),
    st.integers(0, 1_000_000),
    st.lists(CALLBACKS, max_size=3),
    st.one_of(st.just(0), st.integers(1, OVERLAP_MOST)),
    st.lists(st.tuples(st.integers(1, COMMITS_MOST), st.sampled_from(FAULTS)), max_size=FAULTS_MOST),
    st.lists(st.integers(1, 3), max_size=2),
    st.sets(st.sampled_from(NAMES)),
)
def test_no_schedule_breaks_a_promise(
    tale: str,
    seed: int,
    deaths: list[int],
    overlap: int,
    faults: list[tuple[int, str]],
    stopped: list[int],
    conditions: set[str],
) -> None:
    met = tuple(name for name in possible(tale) if name in conditions)
    schedule = Schedule(tale, seed, tuple(deaths), overlap, tuple(faults), tuple(stopped), met)
    assert broken_by(tales()[tale], schedule) == [], schedule.command()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_every_deliberate_bug_still_applies(bug: Bug) -> None:
    ast.parse(applied(bug))


@pytest.mark.parametrize("name", SHORT)
def test_the_simulation_finds_this_bug(name: str) -> None:
    assert tried(next(bug for bug in BUGS if bug.name == name)).is_caught
