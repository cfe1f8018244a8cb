"""What the judges are asked, and that a judge who comes to no end has caught nothing."""

import pytest

from tests.simulation import trying
from tests.simulation.bugs import Bug
from tests.simulation.trying import JUDGES, OWN_TESTS, SIMULATION, UNIT_TESTS, commands, tried

BUG = Bug("none", "consumers/runtime/suspects.py", "class Suspects:", "class Suspects:")


def test_the_unit_tests_of_the_module_come_before_all_others() -> None:
    (own,), (every,) = commands(OWN_TESTS, BUG), commands(UNIT_TESTS, BUG)
    assert JUDGES.index(OWN_TESTS) < JUDGES.index(UNIT_TESTS)
    assert own[-1] == "tests/unit/consumers/runtime/test_suspects.py"
    assert "tests/unit/consumers/runtime" in every


@pytest.mark.parametrize(
    ("code", "caught_by", "words"),
    [
        ("import time; time.sleep(60)", "", "came to no end"),
        ("print('a promise is broken'); raise SystemExit(1)", SIMULATION, "a promise is broken"),
        ("print('well')", "", "well"),
    ],
)
def test_only_a_judge_that_ends_and_finds_something_has_caught_the_mutant(
    code: str, caught_by: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "DECIDED_SECONDS", 1.5)
    monkeypatch.setattr(trying, "commands", lambda judge, bug: [("-c", code)])
    verdict = tried(BUG, [SIMULATION])
    assert (verdict.caught_by, verdict.words) == (caught_by, words)
