"""A fresh sample of mutants of the engine, drawn by a seed: what the simulation does not catch is a gap in it.

`python -m tests.simulation.mutating --seed N` tries one sample by itself and shows the survivors.
"""

import argparse
import random
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, zip_longest

from tests.simulation.bugs import Bug
from tests.simulation.mutants import mutants
from tests.simulation.trying import ROOT, TRIED_AT_ONCE, DoesNotApply, Verdict, tried

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


def sampled(seed: int) -> Iterator[Bug]:
    """Mutants in an order that the seed determines, the modules taking turns."""
    rows = []
    for module in MODULES:
        path = f"consumers/runtime/{module}.py"
        text = (ROOT / path).read_text()
        row = [Bug(f"{module} {one.kind} {one.line}", path, text, one.text) for one in mutants(path, text)]
        random.Random(f"{module}/{seed}").shuffle(row)
        rows.append(row)
    for turn in zip_longest(*rows):
        yield from (mutant for mutant in turn if mutant is not None)


def judged(bugs: list[Bug], tell: Callable[[str], None]) -> list[Verdict]:
    """What becomes of each; one that no longer applies proves nothing, and so is not caught."""
    verdicts: list[Verdict] = []
    with ThreadPoolExecutor(TRIED_AT_ONCE) as pool:
        for verdict in pool.map(_judged, bugs):
            fate = "caught" if verdict.is_caught else "SURVIVED"
            tell(f"{fate} {verdict.name} in {verdict.seconds:.1f} s: {verdict.words[:160]}")
            verdicts.append(verdict)
    return verdicts


def _judged(bug: Bug) -> Verdict:
    try:
        return tried(bug)
    except DoesNotApply as error:
        return Verdict(bug.name, False, str(error), 0.0)


def main() -> int:
    """Try one sample."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutating", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tried", type=int, default=32, help="how many mutants are tried")
    chosen = parser.parse_args()
    verdicts = judged(list(islice(sampled(chosen.seed), chosen.tried)), lambda words: print(words, flush=True))
    print(f"{sum(one.is_caught for one in verdicts)} of {len(verdicts)} caught")
    return 0


if __name__ == "__main__":
    sys.exit(main())
