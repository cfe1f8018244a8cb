"""`python -m tests.prove`: the whole proof, simulated and real; its last line is the certificate.

The exit code is 1 where a promise was broken or a deliberate bug was not found.
"""

import argparse
import json
import subprocess
import sys
from typing import Any

from tests.prove.proof import Findings, proved, tell

NOTHING: dict[str, Any] = {
    "schedules": 0,
    "crash_points": 0,
    "crash_points_covered": 0,
    "violations": 0,
    "mutants": 0,
    "mutants_caught": 0,
    "mutants_survived": [],
    "mutant_seed": 0,
}
CAUGHT_SHARE_MIN = 0.95


def simulated(seconds: float, seed: int) -> dict[str, Any]:
    """The certificate of the simulated half."""
    command = [sys.executable, "-m", "tests.simulation.prove", "--seconds", str(seconds), "--seed", str(seed)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if not ended.stdout.strip():
        raise SystemExit(f"the simulated half ended with {ended.returncode} and no certificate")
    told: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    return told


def certificate(simulation: dict[str, Any], findings: Findings) -> dict[str, Any]:
    """The last line. `lost` counts errands that ended wrongly, and effects that were left or wrongly taken back."""
    return {name: simulation[name] for name in NOTHING} | {
        "real_faults": findings.faults,
        "real_sagas": findings.sagas,
        "lost": len(findings.lost) + len(findings.effects_wrong),
        "said_twice": len(findings.said_twice),
        "undone_twice": len(findings.undone_twice),
        "stuck_without_cause": len(findings.stuck_without_cause),
        "clickhouse_difference": len(findings.clickhouse_difference),
        "real_records": findings.records,
        "real_seconds": round(findings.seconds),
        "real_faults_by_kind": findings.by_fault,
    }


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("--sagas", type=int, default=50_000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--minutes-most", type=float, default=25.0, help="how long sagas are started and faults done")
    parser.add_argument("--seconds", type=float, default=240.0, help="of random schedules in the simulated half")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only-real", action="store_true", help="leave the simulated half out")
    chosen = parser.parse_args()
    simulation = NOTHING if chosen.only_real else simulated(chosen.seconds, chosen.seed)
    findings = proved(chosen.sagas, chosen.faults, chosen.minutes_most * 60, chosen.seed)
    tell(f"real half: {findings.sagas} sagas, {findings.faults} faults, {findings.records} records")
    told = certificate(simulation, findings)
    print(json.dumps(told))
    is_caught = told["mutants_caught"] >= CAUGHT_SHARE_MIN * told["mutants"]
    is_whole = is_caught and told["crash_points_covered"] == told["crash_points"]
    return 1 if findings.broken() or told["violations"] or not is_whole else 0


if __name__ == "__main__":
    sys.exit(main())
