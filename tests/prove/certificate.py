"""PURE: the last line of the proof, from what its parts have told, and what in it is wrong."""

from collections.abc import Iterable
from typing import Any

from tests.prove.parts import Outcome

CAUGHT_SHARE_MIN = 0.95
MUTANTS_MIN = 60
NOT_SIMULATED = (
    "reader, kafka_transport, participant, transactions: the simulation has a broker of its own; the real faults prove"
    " them"
)
# What each part must have told. Where it has told nothing, the figures are missing from the certificate as well.
FIGURES = {
    "long tests": ("long_tests", "long_tests_failed"),
    "simulation": ("schedules", "crash_points", "crash_points_covered", "violations"),
    "mutants": (
        "mutants",
        "mutants_caught",
        "mutants_survived",
        "mutants_caught_by",
        "mutants_equivalent",
        "mutant_seed",
        "written_bugs",
        "written_bugs_caught",
    ),
    "real faults": (
        "real_faults",
        "real_sagas",
        "lost",
        "said_twice",
        "undone_twice",
        "stuck_without_cause",
        "clickhouse_difference",
        "views_difference",
        "undo_order",
        "real_records",
        "real_faults_by_kind",
    ),
    "cluster faults": ("cluster_faults", "cluster_failures", "cluster_sagas", "cluster_faults_by_kind"),
    "fuzz": ("fuzzed", "fuzz_failures"),
}
# Of each of these none may be found.
NONE_OF = (
    "long_tests_failed",
    "violations",
    "lost",
    "said_twice",
    "undone_twice",
    "stuck_without_cause",
    "clickhouse_difference",
    "views_difference",
    "undo_order",
    "cluster_failures",
    "fuzz_failures",
)


def certificate(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """All figures in one object; `failed` says what is wrong, part by part, and is empty where all is proved."""
    chosen = list(outcomes)
    told: dict[str, Any] = {}
    for outcome in chosen:
        told |= {name: outcome.told[name] for name in FIGURES[outcome.name] if name in outcome.told}
    failed = {outcome.name: found for outcome in chosen if (found := list(wrong(outcome)))}
    seconds = {outcome.name: round(outcome.seconds) for outcome in chosen}
    return told | {"not_simulated": NOT_SIMULATED, "seconds": seconds, "failed": failed}


def wrong(outcome: Outcome) -> Iterable[str]:
    """What is wrong with one part."""
    told = outcome.told
    if outcome.failure:
        yield outcome.failure
    yield from (f"{name} is missing" for name in FIGURES[outcome.name] if name not in told)
    yield from (f"{name}: {told[name]}" for name in NONE_OF if name in FIGURES[outcome.name] and told.get(name))
    covered, points = told.get("crash_points_covered", 0), told.get("crash_points", 0)
    if covered != points:
        yield f"{covered} of {points} crash points were hit"
    tried, caught = told.get("mutants", 0), told.get("mutants_caught", 0)
    if outcome.name == "mutants" and tried < MUTANTS_MIN:
        yield f"{tried} mutants were tried, not {MUTANTS_MIN}"
    if caught < CAUGHT_SHARE_MIN * tried:
        yield f"{caught} of {tried} mutants were caught"
    if told.get("written_bugs_caught", 0) != told.get("written_bugs", 0):
        yield f"{told.get('written_bugs_caught', 0)} of {told.get('written_bugs')} written bugs were caught"
