"""A fresh sample of mutants of the engine, drawn by a seed: what no judge catches is a gap in the proof.

`python -m tests.simulation.mutating [--seed N]` tries the bugs written by hand and one sample, and shows the survivors.
Its last line is the certificate.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, zip_longest
from typing import Any

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.equivalents import EQUIVALENT
from tests.simulation.mutants import Mutant, mutants
from tests.simulation.trying import JUDGES, QUICK_JUDGES, ROOT, TRIED_AT_ONCE, DoesNotApply, Verdict, tried

MODULES = (
    "journal",
    "hearing",
    "finishing",
    "judging",
    "former_life",
    "ledger",
    "lane",
    "barriers",
    "timers",
    "suspects",
)
# Nothing is changed: where a judge finds something here, it finds it everywhere.
CONTROL = Bug("nothing is changed", "consumers/runtime/lane.py", "class Lane:\n", "class Lane:\n")


def made(module: str) -> Iterator[Mutant]:
    """Every mutant of a module of the runtime."""
    path = f"consumers/runtime/{module}.py"
    yield from mutants(path, (ROOT / path).read_text())


def sampled(seed: object) -> Iterator[Mutant]:
    """Mutants in an order that the seed determines, the modules taking turns."""
    rows = []
    for module in MODULES:
        row = list(made(module))
        random.Random(f"{module}/{seed}").shuffle(row)
        rows.append(row)
    for turn in zip_longest(*rows):
        yield from (mutant for mutant in turn if mutant is not None)


def bug_of(mutant: Mutant) -> Bug:
    """The mutant as a replacement of its whole module."""
    return Bug(f"{mutant.change} (line {mutant.line})", mutant.path, (ROOT / mutant.path).read_text(), mutant.text)


def judged(
    bugs: Iterable[Bug],
    tell: Callable[[str], None],
    until: float = float("inf"),
    judges: Sequence[str] = JUDGES,
) -> list[Verdict]:
    """What becomes of each, up to the first for which there is no time; one that no longer applies is not caught."""

    def verdict_of(bug: Bug) -> Verdict | None:
        if time.monotonic() > until:
            return None
        try:
            verdict = tried(bug, judges)
        except DoesNotApply as error:
            verdict = Verdict(bug.name, "", str(error), 0.0)
        fate = f"caught by the {verdict.caught_by}" if verdict.is_caught else "SURVIVED"
        tell(f"{fate} in {verdict.seconds:.1f} s: {verdict.name}: {verdict.words[:160]}")
        return verdict

    with ThreadPoolExecutor(TRIED_AT_ONCE) as pool:
        return [verdict for verdict in pool.map(verdict_of, bugs) if verdict is not None]


def certificate(written: list[Verdict], sample: list[Verdict], equivalent: list[str], seed: int) -> dict[str, Any]:
    """What the last line says; equivalent mutants are neither tried nor counted as caught."""
    return {
        "mutants": len(sample),
        "mutants_caught": sum(verdict.is_caught for verdict in sample),
        "mutants_caught_by": Counter(verdict.caught_by for verdict in sample if verdict.is_caught),
        "mutants_survived": [verdict.name for verdict in sample if not verdict.is_caught],
        "mutants_equivalent": len(equivalent),
        "mutant_seed": seed,
        "written_bugs": len(written),
        "written_bugs_caught": sum(verdict.is_caught for verdict in written),
    }


def main() -> int:
    """See the module; the exit code is 1 where nothing can be judged: a judge finds fault with the code as it is."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutating", description=__doc__)
    # The sample is drawn by the clock: a fixed one would come to be caught by construction.
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--tried", type=int, default=60, help="how many made mutants are tried")
    parser.add_argument("--seconds", type=float, default=3_600.0, help="no mutant is begun later than that")
    parser.add_argument("--without-written", action="store_true", help="leave out the bugs that are written by hand")
    chosen = parser.parse_args()
    until = time.monotonic() + chosen.seconds
    equivalent: list[str] = []

    def differing() -> Iterator[Mutant]:
        for mutant in sampled(chosen.seed):
            if mutant.change in EQUIVALENT:
                equivalent.append(mutant.change)
            else:
                yield mutant

    control, *written = judged([CONTROL, *(() if chosen.without_written else BUGS)], told)
    sample = judged([bug_of(mutant) for mutant in islice(differing(), chosen.tried)], told, until, QUICK_JUDGES)
    print(json.dumps(certificate(written, sample, equivalent, chosen.seed)))
    if control.is_caught:
        told(f"the {control.caught_by} find fault with the code as it is: {control.words}")
    return 1 if control.is_caught else 0


def told(words: str) -> None:
    """Show how far it is."""
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
