"""PURE: the paused steps of one partition, and which sagas wait at them.

A saga waits at a paused step from the moment at which the step is to start for it. What was already running when the
step was paused may still end: it counts as waiting once an attempt can no longer be under way.
"""

import shlex

import msgspec

from consumers.runtime.graph import Graph
from consumers.tracker.stalling import OWING
from consumers.tracker.standing import DELAY_CHARACTERS_MAX
from consumers.tracker.tracked import Tracked
from schemas.engine import StepPaused, StepResumed


class Pause(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One paused step; `at` is when the log told of it, in seconds of the broker's clock."""

    participant: str
    cause: str
    at: float


class Pauses:
    """The paused steps by name; `by_step` is what a restart loads again."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.by_step: dict[str, Pause] = {}

    def load(self, record: bytes | None) -> None:
        """Take what a former life has noted; a step that was renamed since is paused under its name of now.

        Raises `ValueError` where this build cannot decode the record.
        """
        try:
            by_step = {} if record is None else msgspec.msgpack.decode(record, type=dict[str, Pause])
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(str(error)) from error
        found = [(self._graph.step_called(pause.participant, name), pause) for name, pause in by_step.items()]
        self.by_step = {step.name: pause for step, pause in found if step is not None}

    def apply_event(self, event: StepPaused | StepResumed, source: str, at: float) -> str | None:
        """Note a pause or its end; returns the step's name, or None where the event changes nothing.

        Others may write among the events: a pause counts only from the participant whose step it is.
        """
        step = self._graph.step_called(event.participant, event.step)
        if step is None:
            return None
        if isinstance(event, StepResumed):
            return step.name if self.by_step.pop(step.name, None) is not None else None
        if source != event.participant or step.name in self.by_step:
            return None
        self.by_step[step.name] = Pause(event.participant, event.cause[:DELAY_CHARACTERS_MAX], at)
        return step.name

    def settled_at(self, name: str) -> float:
        """From when on no attempt that was running when the step was paused can still be under way."""
        pause, step = self.by_step.get(name), self._graph.steps.get(name)
        return 0.0 if pause is None or step is None else pause.at + step.timeout_seconds

    def mark(self, tracked: Tracked, now: float) -> bool:
        """Note on the saga at which paused steps it waits now; returns whether that has changed."""
        found: dict[str, str] = {}
        for name, pause in self.by_step.items() if tracked.end is None else ():
            step = tracked.steps.get(name)
            if step is None or step.state not in OWING:
                continue
            if step.state == "waiting" and step.since is not None and step.since > now:
                # Its own time has not come: the pause holds up nothing yet.
                continue
            starts_later = step.since is not None and step.since > pause.at
            if name in tracked.paused or starts_later or now >= self.settled_at(name):
                found[name] = pause.cause
        if found == tracked.paused:
            return False
        for name in tracked.paused.keys() - self.by_step.keys():
            # It goes on only now, and has its whole time from now on.
            step = tracked.steps.get(name)
            if step is not None and step.since is not None:
                step.since = max(step.since, now)
        tracked.paused = found
        return True


def resuming(participant: str, step: str) -> str:
    """The command that lets a paused step go on."""
    return shlex.join(["soma", "steps", "resume", participant, step])
