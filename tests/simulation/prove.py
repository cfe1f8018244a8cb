"""`python -m tests.simulation.prove`: the simulated half of the proof, with a certificate as its last line."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

from tests.simulation.bugs import BUGS
from tests.simulation.mutating import judged, sampled
from tests.simulation.proving import Proof, proved, run, tales
from tests.simulation.schedules import Schedule
from tests.simulation.trying import Verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove, or run one schedule again; the exit code is 1 where a promise is broken or a mutant survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.prove", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to explore random schedules")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--story", choices=sorted(tales()), help="run this story only")
    parser.add_argument("--kill-at", type=int, action="append", help="the worker's callback before which it dies")
    parser.add_argument("--overlap", type=int, default=0, help="how long its successor runs beside it, in callbacks")
    parser.add_argument("--fail", action="append", metavar="NUMBER:FAULT", help="the commit that fails, and how")
    parser.add_argument(
        "--stop", type=int, action="append", metavar="LIFE", help="a life that is asked to stop instead"
    )
    parser.add_argument("--without-mutants", action="store_true", help="leave out the deliberate bugs")
    parser.add_argument("--mutants", type=int, default=40, help="how many made mutants are tried")
    parser.add_argument("--mutant-seed", type=int, help="draw the same made mutants again")
    chosen = parser.parse_args(arguments)
    if chosen.story is not None:
        named = [one.partition(":") for one in chosen.fail or ()]
        faults = tuple((int(number), fault) for number, _, fault in named)
        deaths, stopped = tuple(chosen.kill_at or ()), tuple(chosen.stop or ())
        return replayed(Schedule(chosen.story, chosen.seed, deaths, chosen.overlap, faults, stopped))
    proof = proved(chosen.seconds, chosen.seed)
    # The sample is drawn by the clock: a fixed one would come to be caught by construction.
    seed = time.time_ns() if chosen.mutant_seed is None else chosen.mutant_seed
    sample = list(islice(sampled(seed), chosen.mutants))
    written = [] if chosen.without_mutants else judged(list(BUGS), told)
    made = [] if chosen.without_mutants else judged(sample, told)
    print(json.dumps(certificate(proof, written, made, seed)))
    is_proved = not proof.violations and all(verdict.is_caught for verdict in written)
    return 0 if is_proved else 1


def told(words: str) -> None:
    """Show how far it is."""
    print(words, file=sys.stderr, flush=True)


def replayed(schedule: Schedule) -> int:
    """Run one schedule again and tell what it breaks."""
    broken = run(schedule).broken
    for words in broken:
        print(words, file=sys.stderr)
    told = {"story": schedule.tale, "seed": schedule.seed, "deaths": schedule.deaths, "faults": schedule.faults}
    print(json.dumps({**told, "broken": broken}))
    return 1 if broken else 0


def certificate(proof: Proof, written: list[Verdict], made: list[Verdict], seed: int) -> dict[str, Any]:
    """What the last line says."""
    verdicts = [*written, *made]
    return {
        "schedules": proof.schedules,
        "crash_points": len(proof.crash_points),
        "crash_points_covered": len(proof.crash_points_covered),
        "violations": len(proof.violations),
        "mutants": len(verdicts),
        "mutants_caught": sum(verdict.is_caught for verdict in verdicts),
        "mutants_survived": [verdict.name for verdict in verdicts if not verdict.is_caught],
        "mutant_seed": seed,
        "seeds": [min(proof.seeds), max(proof.seeds)],
    }


if __name__ == "__main__":
    sys.exit(main())
