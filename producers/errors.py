"""Everything the hub raises on purpose.

SomaError
├── FlowError            the choreography itself is wrong; all mistakes are listed
├── Unreadable           a record that is no message of ours; it becomes a dead letter
├── DependencyDown       a port's breaker is open; the item waits, no attempt is spent
├── LaneLost             this lane belongs to somebody else now, or must be opened anew
├── NotReachable         Kafka or the store does not answer
└── PositionLost         the state topic and the log do not fit together; names the verb that helps
"""

IS_DOWN = "is down; its breaker is open"


class SomaError(Exception):
    """Raised on purpose."""


class FlowError(SomaError):
    """The flow breaks a rule; `mistakes` has one line each."""

    def __init__(self, saga: str, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__(f"the flow of {saga} cannot run:\n" + "\n".join(f"  - {one}" for one in mistakes))


class Unreadable(SomaError):
    """A record that cannot be understood; its text is the reason a person reads."""


class DependencyDown(SomaError):
    """A port is not called, because it failed too often lately. `retry_at` is when a probe is next allowed."""

    def __init__(self, dependency: str, retry_at: float) -> None:
        self.dependency, self.retry_at = dependency, retry_at
        super().__init__(f"{dependency} {IS_DOWN}")


class LaneLost(SomaError):
    """The lane was fenced or revoked: its memory is void."""


class PositionLost(SomaError):
    """The lane cannot know where to go on; a person must say."""


class NotReachable(SomaError):
    """Kafka or the store does not answer; the text names the address and what to do."""
