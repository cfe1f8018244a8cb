"""PURE: a step that fails for too large a share of its sagas is paused, instead of emptying a topic into dead letters.

What has not begun then waits, unspent, until a person has found the cause and lets the step go on.
"""

from collections import defaultdict, deque

ENDS_LOOKED_AT = 40
FAILURES_MIN = 10
SHARE_MAX = 0.5


class Pauses:
    """The paused steps of one lane, with their causes, and how the last items of the others have ended."""

    def __init__(self) -> None:
        self.causes: dict[str, str] = {}
        self._ends: dict[str, deque[bool]] = defaultdict(lambda: deque(maxlen=ENDS_LOOKED_AT))

    def note(self, step: str, failed: bool, cause: str = "") -> str:
        """An item of the step has ended for good; returns why the step is paused, where this was one too many."""
        ends = self._ends[step]
        ends.append(failed)
        if not failed or step in self.causes:
            return ""
        failures = sum(ends)
        if failures < FAILURES_MIN or failures < SHARE_MAX * len(ends):
            return ""
        self.causes[step] = f"{failures} of its last {len(ends)} sagas failed here, the last one with {cause}"
        return self.causes[step]

    def resume(self, step: str) -> None:
        """The step goes on, and is judged anew."""
        self.causes.pop(step, None)
        self._ends.pop(step, None)
