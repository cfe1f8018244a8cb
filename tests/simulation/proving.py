"""The proof over the code as it is: every crash point of every tale, then random schedules while there is time."""

import itertools
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

from tests.simulation.loop import Deadlock
from tests.simulation.schedules import Run, Schedule, Tale, calm_run, campaign_tales, drawn, run_of, trade_tales

WORKERS = 2
SHOWN_EVERY_SECONDS = 5.0


@dataclass
class Proof:
    """What was explored, and what was found."""

    schedules: int = 0
    crash_points: set[tuple[str, int]] = field(default_factory=set)
    crash_points_covered: set[tuple[str, int]] = field(default_factory=set)
    seeds: set[int] = field(default_factory=set)
    violations: list[tuple[Schedule, list[str]]] = field(default_factory=list)

    def note(self, run: Run) -> None:
        """Count one run."""
        self.schedules += 1
        self.seeds.add(run.schedule.seed)
        if len(run.schedule.deaths) == 1 and not run.schedule.faults and not run.schedule.overlap:
            points = {(run.schedule.tale, death) for death in run.died_at}
            self.crash_points_covered |= points & self.crash_points
        if run.broken:
            self.violations.append((run.schedule, run.broken))
            print(f"VIOLATION {run.schedule.command()}\n  {run.broken}", file=sys.stderr, flush=True)


@cache
def tales() -> dict[str, Tale]:
    """All that is told, by name."""
    return campaign_tales() | trade_tales()


def run(schedule: Schedule) -> Run:
    """Run one schedule; the same in every process."""
    return run_of(tales()[schedule.tale], schedule)


def survey(tale: str, seed: int) -> tuple[str, list[int], int]:
    """The crash points of a tale and the length of its first worker's life; none where it comes to no end."""
    try:
        return tale, *calm_run(tales()[tale], seed)
    except Deadlock:
        return tale, [], 0


def proved(seconds: float, seed: int, names: Iterable[str] | None = None) -> Proof:
    """Cover all crash points, however long that takes, then explore random schedules for about so many seconds."""
    proof, chosen = Proof(), list(names or tales())
    with multiprocessing.Pool(WORKERS) as pool:
        surveys = pool.starmap(survey, [(name, seed) for name in chosen])
        lengths = {name: length for name, _, length in surveys}
        crashes = [Schedule(name, seed, (point,)) for name, points, _ in surveys for point in points]
        proof.crash_points = {(name, point) for name, points, _ in surveys for point in points}
        for one in _shown(pool.imap_unordered(run, [*_calm(chosen, seed), *crashes], 4), proof):
            proof.note(one)
        until = time.monotonic() + seconds
        for batch in _batches(lengths, seed):
            if time.monotonic() >= until:
                break
            for one in _shown(pool.imap_unordered(run, batch), proof):
                proof.note(one)
    return proof


def _calm(names: list[str], seed: int) -> list[Schedule]:
    return [Schedule(name, seed) for name in names]


def _batches(lengths: dict[str, int], first_seed: int) -> Iterator[list[Schedule]]:
    """Endlessly many random schedules, each tale once in every batch."""
    for seed in itertools.count(first_seed + 1):
        yield [drawn(name, length, seed) for name, length in lengths.items()]


def _shown(runs: Iterable[Run], proof: Proof) -> Iterator[Run]:
    shown_at = time.monotonic()
    for one in runs:
        yield one
        if time.monotonic() - shown_at > SHOWN_EVERY_SECONDS:
            shown_at = time.monotonic()
            covered = f"{len(proof.crash_points_covered)} of {len(proof.crash_points)} crash points"
            told = f"{proof.schedules} schedules, {covered}, {len(proof.violations)} violations"
            print(told, file=sys.stderr, flush=True)
