"""The certificate can fail: each figure that is wrong, missing or too small is named with its part."""

from typing import Any

import pytest

from tests.prove.certificate import FIGURES, NONE_OF, certificate
from tests.prove.parts import Outcome

WELL: dict[str, Any] = {
    name: [] if name in ("mutants_survived", "long_tests_failed", "cluster_failures", "fuzz_failures") else 0
    for names in FIGURES.values()
    for name in names
} | {
    "crash_points": 9,
    "crash_points_covered": 9,
    "mutants": 60,
    "mutants_caught": 57,
    "written_bugs": 20,
    "written_bugs_caught": 20,
}


def outcomes(**changed: Any) -> list[Outcome]:
    told = WELL | changed
    return [Outcome(part, {name: told[name] for name in names}, 1.4) for part, names in FIGURES.items()]


def test_where_all_is_well_nothing_has_failed_and_every_figure_is_there() -> None:
    told = certificate(outcomes())
    assert told["failed"] == {}
    assert {name: told[name] for name in WELL} == WELL
    assert told["seconds"] == dict.fromkeys(FIGURES, 1)


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        *(({name: 1}, next(part for part, names in FIGURES.items() if name in names)) for name in NONE_OF),
        ({"crash_points_covered": 8}, "simulation"),
        ({"mutants": 59, "mutants_caught": 59}, "mutants"),
        ({"mutants_caught": 56}, "mutants"),
        ({"written_bugs_caught": 19}, "mutants"),
    ],
)
def test_one_wrong_figure_is_named_with_its_part(changed: dict[str, Any], part: str) -> None:
    failed = certificate(outcomes(**changed))["failed"]
    assert list(failed) == [part]
    assert len(failed[part]) == 1


def test_a_part_that_told_nothing_has_failed_and_the_others_have_their_figures() -> None:
    told = certificate([*outcomes()[:-1], Outcome("fuzz", {}, 3.0, "it ended with 1")])
    assert told["failed"] == {"fuzz": ["it ended with 1", "fuzzed is missing", "fuzz_failures is missing"]}
    assert told["mutants"] == 60


def test_a_part_that_failed_keeps_what_it_told() -> None:
    (part, *_), (outcome, *_) = list(FIGURES), outcomes()
    told = certificate([Outcome(part, outcome.told, 1.0, "it ended with 2")])
    assert told["failed"] == {part: ["it ended with 2"]}
    assert told["long_tests"] == 0
