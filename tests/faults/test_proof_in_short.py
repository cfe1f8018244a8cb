"""`make prove`, its real half, in short: every kind of fault may come, and nothing may be wrong afterwards."""

import json
import subprocess
import sys

SAGAS, FAULTS = 600, 8


def test_a_short_proof_on_the_real_broker_finds_nothing() -> None:
    command = [sys.executable, "-m", "tests.prove", "--only-real", "--sagas", str(SAGAS), "--faults", str(FAULTS)]
    ended = subprocess.run([*command, "--minutes-most", "2"], capture_output=True, text=True, timeout=280, check=False)
    assert ended.returncode == 0, ended.stderr[-3_000:]
    certificate = json.loads(ended.stdout.splitlines()[-1])
    wrong = ("lost", "said_twice", "undone_twice", "stuck_without_cause", "clickhouse_difference", "violations")
    assert {name: certificate[name] for name in wrong} == dict.fromkeys(wrong, 0)
    assert certificate["real_sagas"] == SAGAS
    assert certificate["real_faults"] >= FAULTS
