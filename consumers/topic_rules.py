"""PURE: what each topic of a saga must be like, why, and what happens where it is not.

One table. `soma topics plan|apply`, worker, `soma doctor` and the documents read it, so all of them say the same.
Settings are compared as they are in effect: a default of the broker counts like a value that the topic names.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

FOREVER = "-1"
MEGABYTE = 1024 * 1024
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
# A worker or a sink may stand still for so long.
WEEK = 7 * DAY
NEVER = str(2**63 - 1)


class TopicKind(StrEnum):
    """What a topic of a saga holds."""

    COMMANDS = "commands"
    EVENTS = "events"
    STATUS = "status"
    DEAD = "dead"
    STATE = "state"


# What a topic takes in one batch; the engine bounds each record below it, by its encoded size.
BATCH_BYTES_MAX: dict[str, int] = {
    # A command has at most 256 kB. Clients fill their batches up to a megabyte, and the door answers what is larger.
    TopicKind.COMMANDS: MEGABYTE + 64 * 1024,
    # An event has at most 640 kB.
    TopicKind.EVENTS: MEGABYTE + 64 * 1024,
    # A status is cut at 768 kB.
    TopicKind.STATUS: MEGABYTE + 64 * 1024,
    # A letter has the first megabyte of the record it tells of, each byte of which may take six in JSON.
    TopicKind.DEAD: 8 * MEGABYTE,
    # A journal takes no input above 4 MB, and no outcome above 6.
    TopicKind.STATE: 8 * MEGABYTE,
}
# What the engine itself writes in one batch, headers included. With less, its transactions fail.
WRITTEN_BYTES_MAX = {
    TopicKind.COMMANDS: 576 * 1024,
    TopicKind.EVENTS: 720 * 1024,
    TopicKind.STATUS: 848 * 1024,
    TopicKind.DEAD: 8 * MEGABYTE,
    TopicKind.STATE: 8 * MEGABYTE,
}


class Condition(NamedTuple):
    """Which values are accepted, and the same in words."""

    holds: Callable[[str], bool]
    words: str


ANY = Condition(lambda value: True, "anything")


def exactly(wanted: str) -> Condition:
    """Accept this text; of a list (cleanup.policy), in any order."""
    return Condition(lambda value: sorted(value.split(",")) == sorted(wanted.split(",")), wanted)


def between(least: int, most: int, words: str = "") -> Condition:
    """Accept these numbers."""
    return Condition(lambda value: least <= int(value) <= most, words or f"{least} to {most}")


def at_least(least: int) -> Condition:
    """Accept this number and larger ones."""
    return Condition(lambda value: int(value) >= least, f"at least {least}")


def at_most(most: int) -> Condition:
    """Accept this number and smaller ones."""
    return Condition(lambda value: int(value) <= most, f"at most {most}")


def unlimited_or_more_than(number: int) -> Condition:
    """Accept -1, which sets no limit, and numbers larger than this."""
    return Condition(lambda value: int(value) < 0 or int(value) > number, f"-1 or more than {number}")


UNLIMITED = Condition(lambda value: int(value) < 0, FOREVER)
# Newer brokers take an empty policy too, by which nothing is ever deleted.
NOT_COMPACTED = Condition(lambda value: "compact" not in value.split(","), "delete")


@dataclass(frozen=True)
class Rule:
    """One setting of one kind of topic.

    `value` is what a topic is made with and what `soma topics apply` sets. `fine` accepts other values that do as well.
    A value that `bearable` does not accept keeps a worker from starting. `{after}` in `danger` becomes the retention.
    """

    setting: str
    value: str
    fine: Condition
    danger: str
    bearable: Condition = ANY


@dataclass(frozen=True)
class Drift:
    """A topic that is not as it should be: what is set, what should be, what happens, and what mends it.

    `value` is what `soma topics apply` sets; None where it cannot mend this.
    """

    topic: str
    setting: str
    found: str
    wanted: str
    danger: str
    is_dangerous: bool
    value: str | None = None
    remedy: str = "`soma topics apply` sets it"

    def __str__(self) -> str:
        mark = "DANGER: " if self.is_dangerous else ""
        return (
            f"{self.topic}: {self.setting} is {self.found or 'empty'}, not {self.wanted}: {mark}{self.danger};"
            f" {self.remedy}"
        )


def in_words(milliseconds: int) -> str:
    """A duration for people, in the largest unit that leaves no rest; "1 day", "90 minutes"."""
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", MINUTE), ("second", 1_000)):
        if milliseconds and milliseconds % length == 0:
            count = milliseconds // length
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{milliseconds} ms"


def insync_wanted(replicas: int) -> int:
    """With three replicas or more, two must have a record before it counts as written; with fewer, one."""
    return 2 if replicas >= 3 else 1


def _insync(replicas: int) -> Rule:
    wanted = insync_wanted(replicas)
    if replicas < 3:
        danger = "more than there are replicas: nothing can be written; as many: one broker that is away stops all"
        return Rule("min.insync.replicas", "1", exactly("1"), danger, at_most(replicas))
    return Rule(
        "min.insync.replicas",
        str(wanted),
        between(wanted, replicas - 1, "2" if replicas == 3 else f"2 to {replicas - 1}"),
        "with 1, what was acknowledged is lost with the one broker that has it; with as many as there are replicas, one"
        " broker that is away stops all writing",
        between(wanted, replicas),
    )


def _bytes(kind: TopicKind, danger: str) -> Rule:
    most = BATCH_BYTES_MAX[kind]
    return Rule("max.message.bytes", str(most), at_least(most), danger, at_least(WRITTEN_BYTES_MAX[kind]))


def _kept(lost: str, policy_danger: str, is_log: bool) -> tuple[Rule, ...]:
    """A topic that is a log: every record of it counts, until an operator says otherwise."""
    age = unlimited_or_more_than(WEEK) if is_log else ANY
    size = UNLIMITED if is_log else ANY
    return (
        Rule("cleanup.policy", "delete", NOT_COMPACTED, policy_danger, NOT_COMPACTED),
        Rule("retention.ms", FOREVER, UNLIMITED, f"{lost} {{after}}", age),
        Rule("retention.bytes", FOREVER, UNLIMITED, f"{lost} as soon as the partition is larger than this", size),
    )


SLOW = "lanes that open, and `soma status`, read what was replaced long ago"


def _compacted(deleted: str) -> tuple[Rule, ...]:
    """A topic of which the last record of each key counts, however old it is."""
    compact = exactly("compact")
    return (
        Rule(
            "cleanup.policy", "compact", compact, f"{deleted} {{after}}; without compaction it never shrinks", compact
        ),
        # Of no effect while the policy is "compact". Where the policy is changed, nothing is deleted by age at once.
        Rule("retention.ms", FOREVER, ANY, ""),
        Rule("retention.bytes", FOREVER, ANY, ""),
        # The segment that is being written is never compacted, and a restore reads all of it.
        Rule("min.cleanable.dirty.ratio", "0.2", Condition(lambda value: float(value) <= 0.5, "at most 0.5"), SLOW),
        Rule("segment.ms", "600000", at_most(HOUR), SLOW),
        Rule("segment.bytes", "33554432", at_most(256 * MEGABYTE), SLOW),
    )


TOMBSTONE = "a reader that is slow does not see that a key was deleted, and keeps its old value"
CLOCK = "Kafka 4 refuses what a worker writes whose clock is an hour ahead"
BY_APPEND_TIME = "LogAppendTime"
FAIR = exactly(BY_APPEND_TIME)
ELECTION = Rule(
    "unclean.leader.election.enable",
    "false",
    exactly("false"),
    "a replica that lacks acknowledged records may become the leader: they are lost, and positions lie beyond the end",
    exactly("false"),
)


def _own_rules(kind: TopicKind) -> tuple[Rule, ...]:
    match kind:
        case TopicKind.COMMANDS:
            compacted = (
                "of two commands to one saga the first is deleted, perhaps unread; commands without key are refused"
            )
            return (
                *_kept("commands are deleted, read or not,", compacted, is_log=True),
                Rule("message.timestamp.type", BY_APPEND_TIME, FAIR, "publishers' clocks decide who beat a deadline"),
                _bytes(kind, "commands that are allowed are refused where they are published, or cannot be forwarded"),
            )
        case TopicKind.EVENTS:
            compacted = "of each saga only the last event is kept: what was not read yet is lost"
            return (
                *_kept("events are deleted, read or not,", compacted, is_log=True),
                Rule("message.timestamp.type", BY_APPEND_TIME, FAIR, "workers' clocks decide when deadlines are due"),
                _bytes(kind, "an event that is allowed cannot be written: its saga is held"),
            )
        case TopicKind.STATUS:
            return (
                *_compacted("the status of a saga that waits is deleted, so `soma status` does not know it,"),
                Rule(
                    "min.compaction.lag.ms",
                    str(DAY),
                    at_least(DAY),
                    "a sink that is away for longer stores only the last status of each saga",
                ),
                # Kafka takes no setting by which this is shorter than the one above.
                Rule(
                    "max.compaction.lag.ms", NEVER, at_least(DAY), "statuses are compacted before a sink has read them"
                ),
                Rule("delete.retention.ms", str(DAY), at_least(HOUR), TOMBSTONE),
                Rule("message.timestamp.type", BY_APPEND_TIME, FAIR, CLOCK),
                _bytes(kind, "the status of a large saga cannot be written"),
            )
        case TopicKind.DEAD:
            compacted = (
                "of a saga's dead letters only the last is kept; letters without key are refused, and lanes stop"
            )
            return (
                *_kept("dead letters are deleted, seen or not,", compacted, is_log=False),
                Rule("message.timestamp.type", BY_APPEND_TIME, FAIR, CLOCK),
                _bytes(kind, "the letter of a large record cannot be written"),
            )
        case TopicKind.STATE:
            return (
                *_compacted("the positions and journals are deleted"),
                Rule("min.compaction.lag.ms", "0", at_most(DAY), SLOW),
                Rule("delete.retention.ms", str(DAY), at_least(HOUR), TOMBSTONE),
                Rule("message.timestamp.type", BY_APPEND_TIME, FAIR, CLOCK),
                _bytes(kind, "a large journal cannot be written: its saga is held"),
            )


def rules_of(kind: TopicKind, replicas: int) -> tuple[Rule, ...]:
    """All rules for a topic of this kind that has so many replicas."""
    return (*_own_rules(kind), _insync(replicas), ELECTION)


def settings_of(kind: TopicKind, replicas: int) -> dict[str, str]:
    """What a topic of this kind is made with.

    Each setting of the table is named, so that a later change of the brokers' defaults changes no topic.
    """
    return {rule.setting: rule.value for rule in rules_of(kind, replicas)}


def drifts(topic: str, kind: TopicKind, replicas: int, found: Mapping[str, str]) -> tuple[Drift, ...]:
    """Compare the settings in effect with the table. A setting that the broker does not know is passed over."""
    age = int(found.get("retention.ms", FOREVER))
    after = f"after {in_words(age)}" if age >= 0 else "once a retention is set"
    return tuple(
        Drift(
            topic,
            rule.setting,
            found[rule.setting],
            rule.fine.words,
            rule.danger.format(after=after),
            is_dangerous=not rule.bearable.holds(found[rule.setting]),
            value=rule.value,
        )
        for rule in rules_of(kind, replicas)
        if rule.setting in found and not rule.fine.holds(found[rule.setting])
    )


def replica_drift(topic: str, replicas: int, wanted: int) -> tuple[Drift, ...]:
    """Compare the number of replicas; more than wanted are welcome."""
    if replicas >= wanted:
        return ()
    return (
        Drift(
            topic,
            "replication factor",
            str(replicas),
            f"{wanted} (SOMA_REPLICATION)",
            f"with {replicas} of {wanted} brokers gone the topic is gone"
            if replicas > 1
            else "its broker is its only one",
            is_dangerous=False,
            remedy="`kafka-reassign-partitions` adds replicas; apply changes none",
        ),
    )


def table() -> Iterator[tuple[TopicKind, Rule]]:
    """Every rule with its kind of topic, at three replicas; for the documents."""
    yield from ((kind, rule) for kind in TopicKind for rule in rules_of(kind, replicas=3))
