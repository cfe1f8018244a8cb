"""`python -m tests.simulation.budget`: a short, fixed exploration; the exit code is 1 at the first thing broken."""

import sys
from collections.abc import Iterator

from tests.simulation.conditions import possible
from tests.simulation.loop import Deadlock
from tests.simulation.proving import tales
from tests.simulation.schedules import FAULTS, Schedule, broken_by, calm_run, drawn

CRASHES_OF_EACH = 8
RANDOM_OF_EACH = 2
RACES_OF_EACH = 60
FAILING_COMMITS = range(1, 30, 2)


def schedules() -> Iterator[Schedule]:
    """Every tale as it is, under each condition, with deaths over its crash points, and with several at random."""
    names = list(tales())
    for name in names:
        yield Schedule(name)
        yield from (Schedule(name, conditions=(condition,)) for condition in possible(name))
    lengths = {}
    crashes = []
    for number, name in enumerate(names):
        try:
            points, lengths[name] = calm_run(tales()[name])
        except Deadlock:
            continue
        stride = max(1, len(points) // CRASHES_OF_EACH)
        # Each tale begins elsewhere, so that together they cover what they have in common.
        crashes.append([Schedule(name, 0, (point,)) for point in points[number % stride :: stride]])
    # A crash, and a life that is asked to stop while it reads its backlog: what the crash left unknown stays so.
    for name in names:
        if name in lengths:
            yield from (
                Schedule(name, 0, (lengths[name] * share // 6, early), stopped=(2,))
                for share in (2, 4)
                for early in (20,)
            )
    # A life that goes on after a commit that failed: what it had started is as unknown as after a crash.
    for name in names:
        if name.startswith("trade"):
            yield from (Schedule(name, faults=((commit, fault),)) for commit in FAILING_COMMITS for fault in FAULTS)
    for turn in range(max(map(len, crashes), default=0)):
        for row in crashes:
            yield from row[turn : turn + 1]
    for seed in range(1, RACES_OF_EACH + 1):
        yield from (Schedule(name, seed) for name in names if tales()[name].is_race)
    for seed in range(1, RANDOM_OF_EACH + 1):
        for name, length in lengths.items():
            yield drawn(name, length, seed)


def main() -> int:
    """Run them all, or up to the first that breaks a promise."""
    for schedule in schedules():
        broken = broken_by(tales()[schedule.tale], schedule)
        if broken:
            print(f"{schedule.command()}: {broken[0]}"[:2_000])
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
