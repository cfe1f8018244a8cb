"""PURE: a step that fails for too large a share of its sagas is paused, instead of emptying a topic into dead letters.

What has not begun then waits, unspent, until a person has found the cause and lets the step go on.
"""

from collections.abc import Mapping

ENDS_LOOKED_AT = 40
FAILURES_MIN = 10
SHARE_MAX = 0.5
# All causes are written with every position of the lane.
CAUSE_MAX = 500


class Pauses:
    """The paused steps of one lane, with their causes, and how the last items of each step have ended.

    `ends` is kept with the lane's position: what fails ends later than what succeeds, after all its attempts, so that a
    new life would judge a step by the failures that the former one has left it. A step's ends are the bits of a number
    below its highest one, the latest end lowest, 1 for a failure.
    """

    def __init__(self, causes: Mapping[str, str] | None = None, ends: Mapping[str, int] | None = None) -> None:
        self.causes = dict(causes or {})
        self.ends = dict(ends or {})

    def note(self, step: str, failed: bool, cause: str = "") -> str:
        """An item of the step has ended for good; returns why the step is paused, where this was one too many."""
        bits = self.ends.get(step, 1) << 1 | failed
        count = bits.bit_length() - 1
        if count > ENDS_LOOKED_AT:
            count, bits = ENDS_LOOKED_AT, bits & ((1 << ENDS_LOOKED_AT) - 1) | 1 << ENDS_LOOKED_AT
        self.ends[step] = bits
        if not failed or step in self.causes:
            return ""
        failures = bits.bit_count() - 1
        if failures < FAILURES_MIN or failures < SHARE_MAX * count:
            return ""
        self.causes[step] = f"{failures} of its last {count} sagas failed here, the last one with {cause[:CAUSE_MAX]}"
        return self.causes[step]

    def resume(self, step: str) -> None:
        """The step goes on, and is judged anew."""
        self.causes.pop(step, None)
        self.ends.pop(step, None)
