"""`python -m tests.prove`: the whole proof in parts, simulated and real; its last line is the certificate.

The exit code is 1 where a promise was broken, a deliberate bug was not found, or a part came to no end. Whatever
becomes of a part, the next one runs, and the certificate is printed.
"""

import argparse
import json
import sys

from tests.prove.certificate import FIGURES, MUTANTS_MIN, certificate
from tests.prove.parts import Part, all_run, stoppable
from tests.prove.progress import tell

LIMIT_SECONDS = 58 * 60.0


def parts(chosen: argparse.Namespace) -> list[Part]:
    """The parts in their order, each with the longest time it may take."""
    seed, real_seconds = str(chosen.seed), chosen.minutes_most * 60
    simulated = ("--seconds", str(chosen.seconds), "--seed", seed)
    errands = ("--sagas", str(chosen.sagas), "--faults", str(chosen.faults), "--seconds", str(real_seconds))
    return [
        Part("long tests", "tests.prove.long_tests", (), 900.0),
        Part("simulation", "tests.simulation.prove", simulated, 240.0 + 1.5 * chosen.seconds),
        Part("mutants", "tests.simulation.mutating", ("--tried", str(chosen.mutants), "--seconds", "780"), 840.0),
        Part("real faults", "tests.prove.proof", (*errands, "--seed", seed), 360.0 + real_seconds),
        Part("cluster faults", "tests.prove.cluster_proof", (), 540.0),
        Part("fuzz", "tests.prove.fuzzing", ("--records", str(chosen.records), "--seed", seed), 420.0),
    ]


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("--sagas", type=int, default=50_000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--minutes-most", type=float, default=17.0, help="how long sagas are started and faults done")
    parser.add_argument("--seconds", type=float, default=150.0, help="of random schedules in the simulated part")
    parser.add_argument("--mutants", type=int, default=MUTANTS_MIN, help="how many made mutants are tried")
    parser.add_argument("--records", type=int, default=100_000, help="how many hostile records are published")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=FIGURES, help="run this part only; may be given again")
    chosen = parser.parse_args()
    # The part that runs is asked to stop as well.
    stoppable()
    wanted = [part for part in parts(chosen) if not chosen.only or part.name in chosen.only]
    told = certificate(all_run(wanted, LIMIT_SECONDS, tell))
    for name, found in told["failed"].items():
        tell(f"FAILED {name}: {'; '.join(found)}")
    print(json.dumps(told), flush=True)
    return 1 if told["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
