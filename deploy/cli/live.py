"""How a saga's progress is shown: drawn anew on a terminal, a line per change elsewhere."""

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.cli.talking import printable, say
from schemas.status import STANDING_STATES, SagaStatus, StepStatus

SIGNS = {
    "running": ("▸", "cyan"),
    "waiting": ("…", "yellow"),
    "delayed": ("↻", "yellow"),
    "held": ("■", "red"),
    "done": ("✓", "green"),
    "refused": ("✗", "red"),
    "failed": ("✗", "red"),
    "stuck": ("■", "red"),
    "undone": ("↩", "magenta"),
    "skipped": ("-", "dim"),
}
BUSY = frozenset({"running", "waiting", "delayed", "held", "stuck"})


class View(Protocol):
    """Where a saga's progress is shown."""

    def show(self, status: SagaStatus) -> None:
        """Show this status instead of the one before."""

    def pause(self) -> None:
        """Leave the screen to somebody else until the next `show`."""


class Lines:
    """A line on stderr for every step and state that changed."""

    def __init__(self) -> None:
        self._before: SagaStatus | None = None

    def show(self, status: SagaStatus) -> None:
        """See `View`."""
        say(*changes_between(self._before, status))
        self._before = status

    def pause(self) -> None:
        """See `View`; lines stay where they are."""


class Screen:
    """The steps, drawn anew several times a second on stderr; `story` names those that a good end passes."""

    def __init__(self, console: Console, story: Iterable[str]) -> None:
        self._console, self._story = console, tuple(story)
        self._status: SagaStatus | None = None
        self._live: Live | None = None

    def show(self, status: SagaStatus) -> None:
        """See `View`."""
        self._status = status
        if self._live is None:
            self._live = Live(console=self._console, get_renderable=self._drawn, refresh_per_second=8)
            self._live.start()
        self._live.refresh()

    def pause(self) -> None:
        """See `View`; what was drawn last stays."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _drawn(self) -> Group:
        assert self._status is not None
        return drawn(self._status, self._story, datetime.now(UTC))


def drawn(status: SagaStatus, story: Iterable[str], now: datetime) -> Group:
    """A saga as a table of its steps under a progress bar."""
    head = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=100, completed=status.progress_percent, width=32)
    head.add_row(Text(printable(status.saga_id), "bold"), bar, f"{status.progress_percent} %", Text(status.state))
    steps = Table.grid(padding=(0, 2))
    for step in in_time(status.steps):
        sign, style = SIGNS[step.state]
        tried = f"attempt {step.attempts}" if step.attempts > 1 else ""
        why = Text(why_of(step), style)
        steps.add_row(Text(f" {sign}", style), step.name, Text(step.state, style), seconds_of(step, now), tried, why)
    known = {step.name for step in status.steps}
    if status.outcome is None:
        for name in story:
            if name not in known:
                steps.add_row(Text(" ·", "dim"), Text(name, "dim"))
    cause = [Text(f"   {printable(status.cause)}", "red")] if status.cause else []
    return Group(head, steps, *cause)


def changes_between(before: SagaStatus | None, after: SagaStatus) -> Iterator[str]:
    """What is new, a line each."""
    known = {step.name: (step.state, step.cause) for step in before.steps} if before else {}
    when = f"{after.updated_at.astimezone():%H:%M:%S} {after.progress_percent:3} %"
    for step in in_time(after.steps):
        if known.get(step.name) != (step.state, step.cause):
            took = seconds_of(step, after.updated_at) if step.state in ("done", "refused") else ""
            tried = f" at attempt {step.attempts}" if step.attempts > 1 else ""
            told = f"{when}  {step.name}: {step.state}{tried}{f' in {took}' if took else ''}"
            yield f"{told}: {why_of(step)}" if why_of(step) else told
    if before is None or before.state != after.state:
        why = after.cause or (after.waiting_for and f"waits for {after.waiting_for}")
        yield printable(f"{when}  {after.saga_id} is {after.state}{f': {why}' if why else ''}")


def line_of(status: SagaStatus) -> str:
    """A saga's standing in one line."""
    busy = ", ".join(busy_word(step) for step in status.steps if step.state in BUSY)
    clock = status.updated_at.astimezone().strftime("%H:%M:%S")
    why = status.cause or busy
    return printable(f"{clock} {status.saga_id} {status.state} {status.progress_percent} %{f': {why}' if why else ''}")


def busy_word(step: StepStatus) -> str:
    """A step that has not ended, in few words."""
    return f"{step.name} {step.state}" + (f" ({step.cause})" if step.cause else "")


def why_of(step: StepStatus) -> str:
    """Why a step waits or stands still, and when it starts again, in one line; empty where there is nothing to tell."""
    when = f"next attempt at {step.next_at.astimezone():%H:%M:%S}" if step.next_at and step.state == "delayed" else ""
    return printable("; ".join(part for part in (step.cause, when) if part))


def standing_steps(status: SagaStatus) -> list[StepStatus]:
    """The steps of a saga that stand still."""
    return [step for step in status.steps if step.state in STANDING_STATES]


def ways_on(status: SagaStatus) -> list[str]:
    """The commands that let a saga go on that stands still, each with what it does."""
    standing = standing_steps(status) if status.state in STANDING_STATES else []
    resuming = dict.fromkeys(step.freed_by for step in standing if step.freed_by)
    found = [f"`{printable(verb)}` lets the paused step go on, for every saga" for verb in resuming]
    if any(step.item and not step.freed_by for step in standing):
        again = f"`soma stuck retry {printable(status.saga_id)}` tries again once the cause is mended"
        found.append(f"{again}; `soma stuck list` has every verb")
    return found


def in_time(steps: Iterable[StepStatus]) -> list[StepStatus]:
    """The steps in the order in which they began."""
    return sorted(steps, key=lambda step: step.started_at.timestamp() if step.started_at else math.inf)


def seconds_of(step: StepStatus, now: datetime) -> str:
    """How long the step took, or has been taking."""
    if step.started_at is None or step.state == "skipped":
        return ""
    return f"{max(0.0, ((step.ended_at or now) - step.started_at).total_seconds()):.1f} s"
