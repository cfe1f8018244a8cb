"""`make prove`, its real half, in short: every kind of fault may come, and nothing may be wrong afterwards."""

import json
import subprocess
import sys

import pytest

SAGAS, FAULTS = 300, 5
SEED_OF_ONE_OF_EACH = "0"


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


@pytest.mark.long
@pytest.mark.timeout(400)
def test_the_proof_follows_the_broker_and_the_store_to_other_ports() -> None:
    kinds = ["--kind", "move store", "--kind", "move broker"]
    # With this seed the first two faults are one of each kind.
    numbers = ["--sagas", "300", "--faults", "2", "--seconds", "150", "--seed", SEED_OF_ONE_OF_EACH]
    command = [sys.executable, "-m", "tests.prove.proof", *kinds, *numbers]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=380, check=False)
    assert ended.returncode == 0, ended.stderr[-3_000:]
    figures = json.loads(ended.stdout.splitlines()[-1])
    assert figures.pop("real_faults_by_kind") == {"move store": 1, "move broker": 1}
    assert (figures.pop("real_sagas"), figures.pop("real_faults"), figures.pop("real_records") > 300) == (300, 2, True)
    assert set(figures.values()) == {0}
