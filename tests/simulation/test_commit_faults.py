"""A commit that fails although no process dies: undecided, or decided with its answer lost. No promise is broken."""

import pytest

from tests.simulation.proving import tales
from tests.simulation.schedules import FAULTS, Schedule, broken_by

TALES = [name for name in tales() if name.startswith("trade")]
COMMITS = 30


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("tale", TALES)
def test_no_commit_that_fails_breaks_a_promise(tale: str, fault: str) -> None:
    for number in range(1, COMMITS + 1, 2):
        schedule = Schedule(tale, 0, faults=((number, fault),))
        assert broken_by(tales()[tale], schedule) == [], schedule.command()
