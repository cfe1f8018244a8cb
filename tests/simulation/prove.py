"""`python -m tests.simulation.prove`: the simulated half of the proof, with a certificate as its last line."""

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.simulation.proving import Proof, proved, run, tales
from tests.simulation.schedules import Schedule
from tests.simulation.trying import TRIED_AT_ONCE, DoesNotApply, Verdict, kept, tried


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove, or run one schedule again; the exit code is 1 where a promise is broken or a mutant survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.prove", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to explore random schedules")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--story", choices=sorted(tales()), help="run this story only")
    parser.add_argument("--kill-at", type=int, action="append", help="the worker's callback before which it dies")
    parser.add_argument("--overlap", type=int, default=0, help="how long its successor runs beside it, in callbacks")
    parser.add_argument("--fail", action="append", metavar="NUMBER:FAULT", help="the commit that fails, and how")
    parser.add_argument("--without-mutants", action="store_true", help="leave out the deliberate bugs")
    chosen = parser.parse_args(arguments)
    if chosen.story is not None:
        named = [one.partition(":") for one in chosen.fail or ()]
        faults = tuple((int(number), fault) for number, _, fault in named)
        return replayed(Schedule(chosen.story, chosen.seed, tuple(chosen.kill_at or ()), chosen.overlap, faults))
    proof = proved(chosen.seconds, chosen.seed)
    bugs = [] if chosen.without_mutants else kept()
    caught = found_among(bugs)
    print(json.dumps(certificate(proof, len(bugs), caught)))
    return 1 if proof.violations or caught < len(bugs) else 0


def found_among(bugs: list[tuple[str, str]]) -> int:
    """How many of these deliberate bugs the simulation finds."""
    caught = 0
    with ThreadPoolExecutor(TRIED_AT_ONCE) as pool:
        for name, verdict in zip((name for name, _ in bugs), pool.map(tried_if_it_applies, bugs), strict=True):
            caught += verdict.is_caught
            fate = "caught" if verdict.is_caught else "NOT CAUGHT"
            print(f"{fate} {name} in {verdict.seconds:.1f} s: {verdict.words[:160]}", file=sys.stderr, flush=True)
    return caught


def tried_if_it_applies(bug: tuple[str, str]) -> Verdict:
    """What became of it; one that no longer applies proves nothing, and so is not caught."""
    try:
        return tried(*bug)
    except DoesNotApply as error:
        return Verdict(bug[0], False, str(error), 0.0)


def replayed(schedule: Schedule) -> int:
    """Run one schedule again and tell what it breaks."""
    _, broken = run(schedule)
    for words in broken:
        print(words, file=sys.stderr)
    told = {"story": schedule.tale, "seed": schedule.seed, "deaths": schedule.deaths, "faults": schedule.faults}
    print(json.dumps({**told, "broken": broken}))
    return 1 if broken else 0


def certificate(proof: Proof, mutants: int, caught: int) -> dict[str, Any]:
    """What the last line says."""
    return {
        "schedules": proof.schedules,
        "crash_points": proof.crash_points,
        "crash_points_covered": proof.crash_points_covered,
        "violations": len(proof.violations),
        "mutants": mutants,
        "mutants_caught": caught,
        "seeds": [min(proof.seeds), max(proof.seeds)],
    }


if __name__ == "__main__":
    sys.exit(main())
