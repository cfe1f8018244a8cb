"""`python -m tests.prove.proof`: errands under load and faults on the real broker, and what the witness says of it.

The last line has the figures.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaException

from tests.prove import witness
from tests.prove.faults import WEIGHTS, Faults
from tests.prove.load import Load
from tests.prove.parts import stoppable
from tests.prove.progress import tell
from tests.prove.running import RunningStack

OPEN_MOST = 400
READY_SECONDS = 120.0
SETTLED_WITHIN_SECONDS = 300.0
ANSWERS_WITHIN_SECONDS = 60.0
STORED_WITHIN_SECONDS = 180.0
BETWEEN_FAULTS_SECONDS = 0.5
SHOWN = 10
Result = TypeVar("Result")


@dataclass
class Findings:
    """What the witness has found; each list must be empty."""

    faults: int = 0
    sagas: int = 0
    records: int = 0
    by_fault: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    said_twice: list[str] = field(default_factory=list)
    undone_twice: list[str] = field(default_factory=list)
    undo_order: list[str] = field(default_factory=list)
    effects_wrong: list[str] = field(default_factory=list)
    stuck_without_cause: list[str] = field(default_factory=list)
    clickhouse_difference: list[str] = field(default_factory=list)
    views_difference: list[str] = field(default_factory=list)

    def broken(self) -> dict[str, list[str]]:
        """The promises that were broken, with what shows it."""
        return {name: found for name, found in vars(self).items() if isinstance(found, list) and found}


def figures(findings: Findings) -> dict[str, Any]:
    """The last line. `lost` counts errands that ended wrongly, and effects that were left or wrongly taken back."""
    named = ("said_twice", "undone_twice", "undo_order", "stuck_without_cause")
    compared = ("clickhouse_difference", "views_difference")
    return {
        "real_faults": findings.faults,
        "real_sagas": findings.sagas,
        "lost": len(findings.lost) + len(findings.effects_wrong),
        **{name: len(getattr(findings, name)) for name in (*named, *compared)},
        "real_records": findings.records,
        "real_faults_by_kind": findings.by_fault,
    }


def proved(sagas: int, faults: int, seconds_most: float, seed: int, kinds: tuple[str, ...]) -> Findings:
    """Run it all on a stack of its own, which goes with it where nothing is broken."""
    folder = TemporaryDirectory(prefix="soma-prove-", ignore_cleanup_errors=True)
    running = RunningStack(Path(folder.name) / "home")
    is_well = False
    try:
        findings = _exposed(running, Faults(running, seed, kinds), sagas, faults, seconds_most)
        is_well = not findings.broken()
        return findings
    finally:
        running.stop()
        if not is_well:
            folder._finalizer.detach()  # type: ignore[attr-defined]  # the evidence stays; 3.12 has `delete=False`
            tell(f"the evidence is kept in {folder.name}")


def _exposed(running: RunningStack, done: Faults, sagas: int, faults: int, seconds_most: float) -> Findings:
    began = time.monotonic()
    load = Load(running.kafka, sagas, OPEN_MOST, done.seed)
    told_at = began
    while (done.done < faults or len(load.wishes) < sagas) and time.monotonic() - began < seconds_most:
        if done.done * sagas <= faults * (load.ended + 1) and done.done < faults:
            done.next()
        time.sleep(BETWEEN_FAULTS_SECONDS)
        if time.monotonic() - told_at > 10:
            told_at = time.monotonic()
            tell(f"{told_at - began:.0f} s: {load.ended} of {len(load.wishes)} errands ended, {done.done} faults")
    load.stop_starting()
    # The last fault may have left it without a supervisor, or with a part that comes back elsewhere.
    running.stack.up(READY_SECONDS)
    all_ended = load.wait(SETTLED_WITHIN_SECONDS)
    load.close()
    tell(f"{'all' if all_ended else 'NOT all'} ended after {time.monotonic() - began:.0f} s: {dict(load.outcomes())}")
    findings = _found(running, load, done)
    for name, found in findings.broken().items():
        tell(f"BROKEN {name}: {len(found)}, e.g. {json.dumps(found[:SHOWN])}")
    return findings


def _found(running: RunningStack, load: Load, done: Faults) -> Findings:
    """What the witness sees."""
    states, causeless = _answered(lambda: witness.final_states(running.kafka()))
    evidence = _answered(lambda: witness.events_of(running.kafka()))
    wrongly_undone = [saga for saga in evidence.completed & evidence.undone if states.get(saga) == "completed"]
    unheard = [f"the load ended: {load.failure}"] if load.failure else []
    compared = _stored(running)
    return Findings(
        faults=done.done,
        sagas=len(load.wishes),
        records=compared.records,
        by_fault=dict(done.counts),
        lost=witness.lost(load.wishes, states) + [f"never written: {saga}" for saga in load.not_written] + unheard,
        said_twice=evidence.said_twice,
        undone_twice=evidence.undone_twice + [f"completed, and undone: {saga}" for saga in wrongly_undone],
        undo_order=witness.undo_order(witness.world_lines(running.world)),
        effects_wrong=witness.effects_wrong(witness.world_lines(running.world), states),
        stuck_without_cause=causeless,
        clickhouse_difference=compared.differing,
        views_difference=compared.views,
    )


def _answered(asked: Callable[[], Result]) -> Result:
    """Ask until there is an answer: each time at the address where the part is then."""
    deadline = time.monotonic() + ANSWERS_WITHIN_SECONDS
    while True:
        try:
            return asked()
        except (KafkaException, ClickHouseError, OSError) as error:
            if time.monotonic() > deadline:
                raise
            tell(f"asking again after {error!r}")
            time.sleep(1)


def _stored(running: RunningStack) -> witness.Stored:
    """What differs once the sink has had its time."""
    deadline = time.monotonic() + STORED_WITHIN_SECONDS
    while True:
        compared = _answered(lambda: witness.stored(running.kafka(), running.clickhouse()))
        if not (compared.differing or compared.views) or time.monotonic() > deadline:
            return compared
        time.sleep(2)


def main() -> int:
    """See the module; the exit code is 1 where not all of it could be done. What was found is in the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove.proof", description=__doc__)
    parser.add_argument("--sagas", type=int, default=50_000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=720.0, help="how long sagas are started and faults done")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=WEIGHTS, help="do this kind of fault only; may be repeated")
    chosen = parser.parse_args()
    stoppable()
    kinds = tuple(chosen.kind or WEIGHTS)
    findings = proved(chosen.sagas, chosen.faults, chosen.seconds, chosen.seed, kinds)
    print(json.dumps(figures(findings)))
    if findings.faults < chosen.faults or findings.sagas < chosen.sagas:
        tell(f"{findings.faults} of {chosen.faults} faults were done, and {findings.sagas} of {chosen.sagas} errands")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
