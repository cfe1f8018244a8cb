"""`python -m tests.simulation.mutating --write`: make mutants of the engine, keep those that the simulation kills."""

import argparse
import random
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest

from tests.simulation.mutants import Mutant, mutants, patch_of
from tests.simulation.trying import MUTATIONS, ROOT, TRIED_AT_ONCE, Verdict, tried

MODULES = ("journal", "hearing", "finishing", "judging", "ledger", "lane", "barriers", "timers")
MADE_PREFIX = "made-"


def sampled(seed: int) -> Iterator[Mutant]:
    """Mutants in an order that the seed determines, the modules taking turns."""
    rows = []
    for module in MODULES:
        path = f"consumers/runtime/{module}.py"
        row = list(mutants(path, (ROOT / path).read_text()))
        random.Random(f"{module}/{seed}").shuffle(row)
        rows.append(row)
    for turn in zip_longest(*rows):
        yield from (mutant for mutant in turn if mutant is not None)


def judged(mutant: Mutant) -> tuple[str, str, Verdict]:
    """The mutant's name and patch, and what became of it."""
    module = re.sub(r".*/|\.py$", "", mutant.path)
    name = f"{MADE_PREFIX}{module}-{mutant.kind}-{mutant.line}"
    patch = patch_of(mutant, (ROOT / mutant.path).read_text())
    return name, patch, tried(name, patch)


def main() -> int:
    """Try the sample; say what survives, for that is where the simulation or the code has a gap."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutating", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tried", type=int, default=32, help="how many mutants are tried")
    parser.add_argument("--write", action="store_true", help="replace the made patches in the repository")
    chosen = parser.parse_args()
    sample = [mutant for mutant, _ in zip(sampled(chosen.seed), range(chosen.tried), strict=False)]
    killed: list[tuple[str, str]] = []
    with ThreadPoolExecutor(TRIED_AT_ONCE) as pool:
        for name, patch, verdict in pool.map(judged, sample):
            fate = "killed" if verdict.is_caught else "SURVIVED"
            print(f"{fate} {name} in {verdict.seconds:.1f} s: {verdict.words[:160]}", flush=True)
            if verdict.is_caught:
                killed.append((name, patch))
            else:
                print(patch, flush=True)
    print(f"{len(killed)} of {len(sample)} killed")
    if chosen.write:
        write(killed)
    return 0


def write(killed: list[tuple[str, str]]) -> None:
    """Replace the made patches."""
    MUTATIONS.mkdir(exist_ok=True)
    for former in MUTATIONS.glob(f"*-{MADE_PREFIX}*.patch"):
        former.unlink()
    for number, (name, patch) in enumerate(killed, start=21):
        (MUTATIONS / f"{number:02}-{name}.patch").write_text(patch)


if __name__ == "__main__":
    sys.exit(main())
