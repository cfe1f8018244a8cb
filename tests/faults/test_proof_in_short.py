"""`make prove`, its real half, in short: every kind of fault may come, and nothing may be wrong afterwards."""

import json
import subprocess
import sys

SAGAS, FAULTS = 600, 8


def test_a_short_proof_on_the_real_broker_finds_nothing() -> None:
    numbers = ["--sagas", str(SAGAS), "--faults", str(FAULTS)]
    command = [sys.executable, "-m", "tests.prove", "--only", "real faults", *numbers]
    ended = subprocess.run([*command, "--minutes-most", "2"], capture_output=True, text=True, timeout=280, check=False)
    assert ended.returncode == 0, ended.stderr[-3_000:]
    certificate = json.loads(ended.stdout.splitlines()[-1])
    promises = ("lost", "said_twice", "undone_twice", "undo_order", "stuck_without_cause")
    wrong = (*promises, "clickhouse_difference", "views_difference")
    assert {name: certificate[name] for name in wrong} == dict.fromkeys(wrong, 0)
    assert certificate["real_sagas"] == SAGAS
    assert certificate["real_faults"] >= FAULTS
