"""What was measured, run by run."""

import statistics
from collections import defaultdict
from collections.abc import Sequence


class Figures:
    """Each figure by its name, with its value in every run."""

    def __init__(self) -> None:
        self.runs: dict[str, list[float]] = defaultdict(list)

    def note(self, name: str, value: float) -> None:
        """The value of one more run."""
        self.runs[name].append(value)

    def add(self, other: "Figures") -> None:
        """Take over what others have measured."""
        for name, values in other.runs.items():
            self.runs[name] += values

    def median(self, name: str) -> float:
        """The middle one of all runs."""
        return statistics.median(self.runs[name])


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * int(percent * 10) // 1000) - 1))]
