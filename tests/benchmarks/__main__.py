"""`python -m tests.benchmarks`: measures everything, median of the runs; the last line is JSON.

What is measured as a ratio is measured in one run, on one broker, one beside the other.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable

from tests.benchmarks import catching_up, latency, restoring, results, sagas, sinking, waiting
from tests.benchmarks.figures import Figures
from tests.benchmarks.hop import measuring

Part = Callable[[int], Figures]
PARTS: dict[str, Part] = {
    "hop": lambda runs: measuring.measure(runs, 60_000, 200),
    "sagas": lambda runs: sagas.measure(runs, 5_000, 100, load_seconds=8.0, sleep_seconds=5.0),
    "latency": lambda runs: latency.measure(runs, 5_000, load_seconds=12.0, warm_up_number=4_000),
    "restoring": lambda runs: restoring.measure(runs, 10_000, 100_000, 100_000),
    "catching-up": lambda runs: catching_up.measure(runs, 150_000),
    "waiting": lambda runs: waiting.measure(runs, 100_000, 200, 10_000, 5_000),
    "sink": lambda runs: sinking.measure(runs, 300_000),
}
# So small that nothing can be said of the figures: it shows that all of it runs.
BRIEF_PARTS: dict[str, Part] = {
    "hop": lambda runs: measuring.measure(runs, 2_000, 10),
    "sagas": lambda runs: sagas.measure(runs, 200, 10, load_seconds=1.0, sleep_seconds=0.5),
    "latency": lambda runs: latency.measure(runs, 200, load_seconds=0.1, warm_up_number=10, rates_per_second=(100,)),
    "restoring": lambda runs: restoring.measure(runs, 100, 300, 100),
    "catching-up": lambda runs: catching_up.measure(runs, 3_000),
    "waiting": lambda runs: waiting.measure(runs, 100, 10, 100, 200),
    "sink": lambda runs: sinking.measure(runs, 3_000),
}


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each measurement")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="measure these parts only")
    parser.add_argument("--brief", action="store_true", help="small numbers, one run, nothing kept")
    chosen = parser.parse_args()
    figures = Figures()
    for name in chosen.only:
        began = time.monotonic()
        part = BRIEF_PARTS[name](1) if chosen.brief else PARTS[name](chosen.runs)
        figures.add(part)
        print(f"{name}: {time.monotonic() - began:.0f} s\n{results.table(part)}", file=sys.stderr, flush=True)
    if not chosen.brief and set(chosen.only) == set(PARTS):
        results.keep(figures, os.cpu_count() or 1)
    print(results.last_line(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
