"""PURE: durations as authors write them, and how often a step is tried."""

import re
from dataclasses import dataclass


def in_seconds(duration: str) -> float:
    """The length of a duration such as "200ms", "30s", "5m", "2h" or "1d", in seconds; ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", duration)
    if match is None:
        raise ValueError(f"not a duration: {duration!r} (write 200ms, 30s, 5m, 2h or 1d)")
    return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]]


@dataclass(frozen=True)
class Retry:
    """How often and how patiently a step is tried: `attempts` in all, waiting from `first`, doubling, up to `most`."""

    attempts: int = 5
    first: str = "200ms"
    most: str = "30s"

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("a step is tried at least once")
        in_seconds(self.first), in_seconds(self.most)
