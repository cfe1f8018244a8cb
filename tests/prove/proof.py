"""The real half of the proof: errands under load and faults on the real broker, and what the witness says of it."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.prove import witness
from tests.prove.faults import Faults
from tests.prove.load import Load
from tests.prove.running import RunningStack

OPEN_MOST = 400
SETTLED_WITHIN_SECONDS = 420.0
STORED_WITHIN_SECONDS = 240.0
BETWEEN_FAULTS_SECONDS = 0.5
SHOWN = 10


@dataclass
class Findings:
    """What the witness has found; each list must be empty."""

    faults: int = 0
    sagas: int = 0
    records: int = 0
    seconds: float = 0.0
    by_fault: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    said_twice: list[str] = field(default_factory=list)
    undone_twice: list[str] = field(default_factory=list)
    effects_wrong: list[str] = field(default_factory=list)
    stuck_without_cause: list[str] = field(default_factory=list)
    clickhouse_difference: list[str] = field(default_factory=list)

    def broken(self) -> dict[str, list[str]]:
        """The promises that were broken, with what shows it."""
        return {name: found for name, found in vars(self).items() if isinstance(found, list) and found}


def proved(sagas: int, faults: int, seconds_most: float, seed: int) -> Findings:
    """Run it all on a stack of its own, which goes with it where nothing is broken."""
    folder = TemporaryDirectory(prefix="soma-prove-", ignore_cleanup_errors=True)
    running = RunningStack(Path(folder.name) / "home")
    is_well = False
    try:
        findings = _exposed(running, sagas, faults, seconds_most, seed)
        is_well = not findings.broken()
        return findings
    finally:
        running.stop()
        if not is_well:
            folder._finalizer.detach()  # type: ignore[attr-defined]  # the evidence stays; 3.12 has `delete=False`
            tell(f"the evidence is kept in {folder.name}")


def _exposed(running: RunningStack, sagas: int, faults: int, seconds_most: float, seed: int) -> Findings:
    began = time.monotonic()
    load = Load(running.kafka, sagas, OPEN_MOST, seed)
    done = Faults(running, seed)
    told_at = began
    while (done.done < faults or len(load.wishes) < sagas) and time.monotonic() - began < seconds_most:
        if done.done * sagas <= faults * (load.ended + 1) and done.done < faults:
            done.next()
        time.sleep(BETWEEN_FAULTS_SECONDS)
        if time.monotonic() - told_at > 10:
            told_at = time.monotonic()
            tell(f"{told_at - began:.0f} s: {load.ended} of {len(load.wishes)} errands ended, {done.done} faults")
    load.stop_starting()
    all_ended = load.wait(SETTLED_WITHIN_SECONDS)
    load.close()
    tell(f"{'all' if all_ended else 'NOT all'} ended after {time.monotonic() - began:.0f} s: {dict(load.outcomes())}")
    states, causeless = witness.final_states(running.kafka)
    evidence = witness.events_of(running.kafka)
    wrongly_undone = [f"completed, and undone: {saga}" for saga in evidence.completed & evidence.undone]
    findings = Findings(
        faults=done.done,
        sagas=len(load.wishes),
        seconds=time.monotonic() - began,
        by_fault=dict(done.counts),
        lost=witness.lost(load.wishes, states) + [f"never written: {saga}" for saga in load.not_written],
        said_twice=evidence.said_twice,
        undone_twice=evidence.undone_twice
        + [saga for saga in wrongly_undone if states.get(saga.rpartition(" ")[2]) == "completed"],
        effects_wrong=witness.effects_wrong(witness.world_lines(running.world), states),
        stuck_without_cause=causeless,
    )
    findings.records, findings.clickhouse_difference = _in_the_end(
        lambda: witness.clickhouse_difference(running.kafka, running.clickhouse)
    )
    for name, found in findings.broken().items():
        tell(f"BROKEN {name}: {len(found)}, e.g. {json.dumps(found[:SHOWN])}")
    return findings


def _in_the_end(compare: Callable[[], tuple[int, list[str]]]) -> tuple[int, list[str]]:
    """What differs once the sink has had its time."""
    deadline = time.monotonic() + STORED_WITHIN_SECONDS
    while True:
        count, differing = compare()
        if not differing or time.monotonic() > deadline:
            return count, differing
        time.sleep(2)


def tell(words: str) -> None:
    """Words for whoever watches."""
    print(words, file=sys.stderr, flush=True)
