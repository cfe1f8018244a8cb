"""Everything the hub raises on purpose.

SomaError
├── FlowError            the choreography itself is wrong; all mistakes are listed
│   ├── FlowMisdeclared     marks or signatures are wrong
│   └── UnknownApplication  there is no such composition root
├── Unreadable           a record that is no message of ours; it becomes a dead letter
├── DependencyDown       a port's breaker is open; the item waits, no attempt is spent
├── LaneLost             this lane belongs to somebody else now, or must be opened anew
├── Uncommittable        what a transaction writes is refused for what it is, and will be each time
│   └── RecordRefused    Kafka refuses a record of this transaction in each attempt; names the partition
├── NotReachable         Kafka or the store does not answer
├── StateUnreadable      a batch of a state topic cannot be unpacked; the lane does not open without it
└── PositionLost         the state topic and the log do not fit together; names the verb that helps
"""

IS_DOWN = "is down; its breaker is open"


class SomaError(Exception):
    """Raised on purpose."""


class FlowError(SomaError):
    """The flow breaks a rule; `mistakes` has one line each."""

    def __init__(self, saga: str, mistakes: list[str]) -> None:
        self.saga, self.mistakes = saga, mistakes
        super().__init__(f"the flow of {saga} cannot run:\n" + "\n".join(f"  - {one}" for one in mistakes))


class FlowMisdeclared(FlowError, TypeError):
    """Marks or signatures are wrong, so the flow cannot even be drawn."""


class UnknownApplication(FlowError):
    """The setting names no composition root."""

    def __init__(self, application: str, cause: str) -> None:
        super().__init__(application, [cause])
        self.args = (f"SOMA_APPLICATION={application} names no composition root ({cause}): write module:function",)


class Unreadable(SomaError):
    """A record that cannot be understood; its text is the reason a person reads."""


class DependencyDown(SomaError):
    """A port is not called, because it failed too often lately. `retry_at` is when a probe is next allowed.

    `error` is what opened the breaker. It stays the same while the breaker is open, so that the cause is told once.
    """

    def __init__(self, dependency: str, retry_at: float, error: str = "") -> None:
        self.dependency, self.retry_at = dependency, retry_at
        super().__init__(f"{dependency}{f' ({error})' if error else ''} {IS_DOWN}")


class LaneLost(SomaError):
    """The lane was fenced or revoked: its memory is void."""


class Uncommittable(SomaError):
    """The cluster refuses a record for its size or content; writing it again changes nothing."""


class RecordRefused(Uncommittable):
    """Kafka refuses a batch for what it contains: nothing of the transaction is written, and no retry helps.

    `reason` is Kafka's name of the error: MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE, INVALID_TIMESTAMP, INVALID_RECORD.
    `indexes` are the places in the batch of the records at fault, as far as the broker names them.
    """

    def __init__(
        self, topic: str, partition: int, reason: str, indexes: tuple[int, ...] = (), detail: str = ""
    ) -> None:
        self.topic, self.partition, self.reason, self.indexes = topic, partition, reason, indexes
        explained = f" ({detail})" if detail else ""
        super().__init__(f"{topic} {partition} refuses what was written to it: {reason}{explained}")


class PositionLost(SomaError):
    """The lane cannot know where to go on; a person must say."""


class StateUnreadable(SomaError):
    """A state topic has a batch that cannot be unpacked; the text names the place and what to do."""


class NotReachable(SomaError):
    """Kafka or the store does not answer; the text names the address and what to do."""
