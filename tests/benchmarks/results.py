"""The figures as a table and as a picture, kept with the commit that made them."""

import json
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from matplotlib.figure import Figure as Picture

from tests.benchmarks.figures import Figures

FOLDER = Path(__file__).parent / "results"
# What the last line of `make bench` tells.
TOLD = (
    "hop_ratio",
    "hops_per_second",
    "sagas_per_second",
    "sagas_per_second_compensated",
    "saga_p50_ms",
    "saga_p99_ms",
    "saga_half_load_p50_ms",
    "saga_half_load_p99_ms",
    "saga_100_per_second_p99_ms",
    "slow_neighbour_throughput_ratio",
    "slow_neighbour_p99_ratio",
    "restore_seconds_10k",
    "bytes_per_open_saga",
    "approve_p99_ms_100k_waiting",
    "ready_seconds_after_kill_100k_waiting",
    "worker_megabytes_100k_waiting",
    "open_breaker_throughput_ratio",
    "sink_ratio",
)


def last_line(figures: Figures) -> str:
    """The medians as JSON; null where nothing was measured."""
    return json.dumps({name: rounded(figures.median(name)) if name in figures.runs else None for name in TOLD})


def rounded(value: float) -> float:
    """To three digits, as nobody measures better here."""
    return float(f"{value:.3g}")


def table(figures: Figures) -> str:
    """Every figure, its median and all its runs, in Markdown."""
    lines = ["| figure | median | runs |", "|---|---:|---|"]
    for name, values in figures.runs.items():
        runs = ", ".join(f"{rounded(value):g}" for value in values)
        lines.append(f"| {name} | {rounded(figures.median(name)):g} | {runs} |")
    return "\n".join(lines) + "\n"


def keep(figures: Figures, cores: int) -> None:
    """Write the table and the picture, with the commit, the day and the machine."""
    FOLDER.mkdir(exist_ok=True)
    head = (
        f"Commit {commit()}, {datetime.now(UTC):%Y-%m-%d}, {cores} cores, Python {platform.python_version()},"
        f" {platform.machine()}; `make bench`. Medians of the runs beside them.\n"
    )
    (FOLDER / "results.md").write_text(f"{head}\n{table(figures)}")
    draw(figures, FOLDER / "results.png")


def commit() -> str:
    """The commit of the working tree, and whether it was changed since."""
    words = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    found = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, check=False).stdout.strip()
    return found or "unknown"


def draw(figures: Figures, path: Path) -> None:
    """A panel for each figure: its runs as dots, their median as a line."""
    names = list(figures.runs)
    columns = 4
    rows = -(-len(names) // columns)
    figure = Picture(figsize=(4 * columns, 2.2 * rows), layout="constrained")
    for place, name in enumerate(names, start=1):
        values = figures.runs[name]
        axes = figure.add_subplot(rows, columns, place)
        axes.plot(range(1, len(values) + 1), values, "o")
        axes.axhline(figures.median(name), linewidth=1)
        axes.set_title(f"{name}: {rounded(figures.median(name)):g}", fontsize=9)
        axes.set_ylim(0, 1.1 * max(values))
        axes.set_xticks(range(1, len(values) + 1))
    figure.savefig(path, dpi=80)
