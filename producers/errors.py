"""Everything the hub raises on purpose.

SomaError
├── FlowError                 the choreography itself is wrong; all mistakes are listed
│   ├── FlowMisdeclared       marks or signatures are wrong
│   └── UnknownApplication    there is no such composition root
├── Unreadable                a record that is no message of ours; it becomes a dead letter
├── DependencyDown            a port's breaker is open; the item waits, no attempt is spent
├── LaneLost                  this lane belongs to another worker now, or must be opened again
├── Uncommittable             what a transaction writes is refused for what it is, and will be each time
│   └── RecordRefused         Kafka refuses a record of this transaction in each attempt; names the partition
├── StateUnreadable           a batch of a state topic cannot be unpacked; the lane does not open without it
├── PositionLost              the state topic and the log do not fit together; names the verb that helps
├── Misconfigured             a setting cannot be used; names the variable                          exit code 2
├── TimedOut                  a server answers, but not with what was asked for, in time            exit code 3
└── ConnectionFailed          a server cannot be used; says why, and the remedy                     exit code 3
    ├── NoStack               this home runs no stack, and no server is named
    ├── NotReachable          it does not answer: its name, its port, the network, the time
    ├── TlsFailed             it answers, but its certificate is not accepted, or it expects TLS
    │   └── TlsMissing        it breaks off the TLS handshake: it speaks no TLS
    ├── LoginFailed           it refuses the user, the password or the way to log in
    ├── AccessDenied          it knows the user, who lacks a right: an ACL or a grant
    ├── TopicMissing          the cluster has no such topic
    ├── DatabaseMissing       the ClickHouse server has no such database
    └── AnotherServer         a server of another stack answers at this home's address
"""

from pathlib import Path

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


class Misconfigured(SomaError):
    """A setting cannot be used; the text names the variable and what to write instead."""

    exit_code = 2


class TimedOut(SomaError):
    """What was asked for did not come in time. It says nothing of whether it exists."""

    exit_code = 3
    may_pass = True


class ConnectionFailed(SomaError):
    """A server cannot be used. `server` names it with its address, `cause` says why, `remedy` what to do.

    `may_pass` tells whether a daemon that starts had better try again: a wrong password stays wrong.
    """

    exit_code = 3
    may_pass = True

    def __init__(self, server: str, cause: str, remedy: str) -> None:
        self.server, self.cause, self.remedy = server, cause, remedy
        super().__init__(f"{server} {cause}; {remedy}")


class NoStack(ConnectionFailed):
    """The home has no running stack, and the settings name no server instead."""

    may_pass = False

    def __init__(self, home: Path, variable: str) -> None:
        super().__init__(
            f"SOMA_HOME {home}:", "no stack runs in this home", f"`soma up` starts one, or {variable} names a server"
        )


class NotReachable(ConnectionFailed):
    """The server does not answer."""


class TlsFailed(ConnectionFailed):
    """The server answers, but no TLS connection comes about."""

    may_pass = False


class TlsMissing(TlsFailed):
    """The server breaks off the TLS handshake; one that is just ending does so too."""

    may_pass = True


class LoginFailed(ConnectionFailed):
    """The server refuses the login."""

    may_pass = False


class AccessDenied(ConnectionFailed):
    """The server refuses what was asked: the user lacks a right."""

    may_pass = False


class TopicMissing(ConnectionFailed):
    """The cluster has no such topic."""


class DatabaseMissing(ConnectionFailed):
    """The ClickHouse server has no such database."""


class AnotherServer(ConnectionFailed):
    """The address is this home's, the server is not."""

    may_pass = False
