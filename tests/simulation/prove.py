"""`python -m tests.simulation.prove`: the simulated half of the proof, with a certificate as its last line."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from tests.simulation.proving import Proof, proved, run, tales
from tests.simulation.schedules import Schedule


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove, or run one schedule again; the exit code is 1 where a promise is broken or a mutant survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.prove", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to explore random schedules")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--story", choices=sorted(tales()), help="run this story only")
    parser.add_argument("--kill-at", type=int, action="append", help="the worker's callback before which it dies")
    parser.add_argument("--overlap", type=int, default=0, help="how long its successor runs beside it, in callbacks")
    parser.add_argument("--without-mutants", action="store_true", help="leave out the deliberate bugs")
    chosen = parser.parse_args(arguments)
    if chosen.story is not None:
        return replayed(Schedule(chosen.story, chosen.seed, tuple(chosen.kill_at or ()), chosen.overlap))
    proof = proved(chosen.seconds, chosen.seed)
    print(json.dumps(certificate(proof, 0, 0)))
    return 1 if proof.violations else 0


def replayed(schedule: Schedule) -> int:
    """Run one schedule again and tell what it breaks."""
    _, broken = run(schedule)
    for words in broken:
        print(words, file=sys.stderr)
    print(json.dumps({"story": schedule.tale, "seed": schedule.seed, "deaths": schedule.deaths, "broken": broken}))
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
