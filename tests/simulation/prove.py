"""`python -m tests.simulation.prove`: the simulated half of the proof, with a certificate as its last line."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from tests.simulation.conditions import NAMES
from tests.simulation.proving import Proof, proved, run, tales
from tests.simulation.schedules import Schedule


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove, or run one schedule again; the exit code is 1 where a promise is broken."""
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
    parser.add_argument("--with", dest="conditions", action="append", choices=NAMES, help="a condition of the world")
    chosen = parser.parse_args(arguments)
    if chosen.story is not None:
        named = [one.partition(":") for one in chosen.fail or ()]
        faults = tuple((int(number), fault) for number, _, fault in named)
        deaths, stopped = tuple(chosen.kill_at or ()), tuple(chosen.stop or ())
        conditions = tuple(chosen.conditions or ())
        return replayed(Schedule(chosen.story, chosen.seed, deaths, chosen.overlap, faults, stopped, conditions))
    proof = proved(chosen.seconds, chosen.seed)
    print(json.dumps(certificate(proof)))
    return 1 if proof.violations else 0


def replayed(schedule: Schedule) -> int:
    """Run one schedule again and tell what it breaks."""
    broken = run(schedule).broken
    for words in broken:
        print(words, file=sys.stderr)
    told = {"story": schedule.tale, "seed": schedule.seed, "deaths": schedule.deaths, "faults": schedule.faults}
    print(json.dumps({**told, "broken": broken}))
    return 1 if broken else 0


def certificate(proof: Proof) -> dict[str, Any]:
    """What the last line says."""
    return {
        "schedules": proof.schedules,
        "crash_points": len(proof.crash_points),
        "crash_points_covered": len(proof.crash_points_covered),
        "violations": len(proof.violations),
        "seeds": [min(proof.seeds), max(proof.seeds)],
    }


if __name__ == "__main__":
    sys.exit(main())
