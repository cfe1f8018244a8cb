"""`python -m tests.prove.cluster_proof`: errands on three brokers, whose nodes are killed, frozen and rolled.

Replication 3, `min.insync.replicas` 2. All errands must end, nothing may be said or done twice, and ClickHouse must be
equal in the end. The last line has the figures.
"""

import argparse
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deploy.local.ports import choose_port
from tests.faults.broker_faults import EVENTS, Trial
from tests.faults.cluster import NODES
from tests.prove import witness
from tests.prove.errand.world import WORLD_FILE
from tests.prove.parts import stoppable
from tests.prove.progress import tell

WARM_SECONDS, CALM_SECONDS = 3.0, 8.0
# Longer than the brokers' session of 9 s: others lead what the node led, before it is back.
DOWN_SECONDS = FROZEN_SECONDS = 15.0
QUORUM_LOST_SECONDS = 30.0
STAYS_SECONDS = 10.0
STORED_WITHIN_SECONDS = 60.0
# After these no lane may have been lost more than once.
GENTLE = ("elect preferred leaders", "roll")


class Case(NamedTuple):
    """A fault, and what chooses the node that it happens to."""

    name: str
    fault: Callable[[int], None]
    node: Callable[[], int]


def cases(trial: Trial) -> Iterator[Case]:
    """All of them, in their order."""
    cluster = trial.cluster

    def killed(node: int) -> None:
        cluster.kill(node)
        time.sleep(DOWN_SECONDS)
        cluster.start(node)

    def frozen(node: int) -> None:
        cluster.freeze(node)
        time.sleep(FROZEN_SECONDS)
        cluster.thaw(node)

    def two_down(node: int) -> None:
        others = [other for other in NODES if other != node]
        for other in others:
            cluster.kill(other)
        time.sleep(QUORUM_LOST_SECONDS)
        for other in others:
            cluster.start(other)

    def leader() -> int:
        return cluster.leaders(EVENTS)[0]

    def coordinator() -> int:
        return trial.coordinators().most_common(1)[0][0]

    yield Case("kill a leader", killed, leader)
    yield Case("elect preferred leaders", lambda node: cluster.elect_preferred(), leader)
    yield Case("kill a coordinator", killed, coordinator)
    yield Case("kill the controller", killed, cluster.controller)
    yield Case("freeze a leader", frozen, leader)
    yield Case("freeze the controller", frozen, cluster.controller)
    yield Case("workers join and leave", lambda node: come_and_go(trial), leader)
    yield Case("two of three down", two_down, leader)
    yield Case("roll", lambda node: cluster.roll(), leader)


def come_and_go(trial: Trial) -> None:
    """A second worker joins, and leaves in good order; a third one is killed."""
    for name, ends in (("second", subprocess.Popen.terminate), ("third", subprocess.Popen.kill)):
        joined = _started(trial, name, "-m", "tests.prove.carrier", name, trial.cluster.bootstrap_servers)
        time.sleep(STAYS_SECONDS)
        ends(joined)
        joined.wait(60)


def _started(trial: Trial, name: str, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
    named = trial.environment | environment
    with (trial.folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen([sys.executable, *arguments], env=named, stdout=log, stderr=log)


class Stored:
    """Store and sink beside the trial's worker; a context manager that ends them."""

    def __init__(self, trial: Trial) -> None:
        self._trial, self._port = trial, choose_port([], set())
        self.url = f"http://127.0.0.1:{self._port}"
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Stored":
        main = ("-m", "deploy.cli.main")
        self._running.append(_started(self._trial, "store", *main, "store", "--port", str(self._port)))
        self._running.append(_started(self._trial, "sink", *main, "sink", CLICKHOUSE_URL=self.url))
        return self

    def __exit__(self, *_: object) -> None:
        for program in reversed(self._running):
            program.terminate()
            try:
                program.wait(30)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    def difference(self) -> list[str]:
        """What ClickHouse does not have as Kafka has it, once the sink has had its time."""
        deadline = time.monotonic() + STORED_WITHIN_SECONDS
        while True:
            try:
                compared = witness.stored(self._trial.cluster.bootstrap_servers, self.url)
                found = compared.differing + compared.views
            except Exception as error:
                # The store may not have made its tables yet.
                found = [f"ClickHouse could not be compared: {error!r}"]
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(2)


def failures_of(case: dict[str, Any]) -> list[str]:
    """What is wrong with one case by itself."""
    if case["case"] in GENTLE and case["lost_at_most"] > 1:
        return [f"{case['case']}: a lane was lost {case['lost_at_most']} times"]
    return []


def proved(trial: Trial, store: Stored, until: float, only: Sequence[str]) -> dict[str, Any]:
    """Let one fault after the other happen while there is time, let all end, and look at what came of it."""
    done, failures = dict[str, int](), list[str]()
    for case in cases(trial):
        if only and case.name not in only:
            continue
        if time.monotonic() > until:
            failures.append(f"there was no time for: {case.name}")
            continue
        met = trial.meet(case.name, case.fault, case.node(), WARM_SECONDS, CALM_SECONDS)
        tell(json.dumps(met))
        done[case.name] = done.get(case.name, 0) + 1
        failures += failures_of(met)
    ended = trial.finish()
    tell(json.dumps(ended))
    servers = trial.cluster.bootstrap_servers
    states, causeless = witness.final_states(servers)
    lines = list(witness.world_lines(trial.folder / WORLD_FILE))
    evidence = witness.events_of(servers)
    found = {
        "not ended": [saga for saga in trial.load.started if states.get(saga) != "completed"],
        "stuck without a cause": causeless,
        "said twice": evidence.said_twice,
        "undone": sorted(evidence.undone),
        "effects": witness.effects_wrong(lines, states) + witness.undo_order(lines),
        "clickhouse": store.difference(),
    }
    failures += [f"{name}: {len(wrong)}, e.g. {wrong[:3]}" for name, wrong in found.items() if wrong]
    return {
        "cluster_faults": sum(done.values()),
        "cluster_failures": failures,
        "cluster_sagas": len(trial.load.started),
        "cluster_faults_by_kind": done,
    }


def main() -> int:
    """See the module; the exit code is 0 whatever was found, for the figures say it."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove.cluster_proof", description=__doc__)
    parser.add_argument("--seconds", type=float, default=330.0, help="no fault begins later than that")
    parser.add_argument("--only", action="append", default=[], help="let this fault happen only; may be given again")
    chosen = parser.parse_args()
    stoppable()
    logging.basicConfig(level=logging.CRITICAL)
    until = time.monotonic() + chosen.seconds
    folder = Path(tempfile.mkdtemp(prefix="soma-brokers-"))
    with Trial(folder) as trial, Stored(trial) as store:
        told = proved(trial, store, until, chosen.only)
    if told["cluster_failures"]:
        tell(f"the evidence is kept in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
