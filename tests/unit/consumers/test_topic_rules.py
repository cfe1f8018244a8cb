"""The table of topic settings: what is made fits it, and each value that loses records is told with what it loses."""

import pytest

from consumers.topic_rules import TopicKind, drifts, in_words, replica_drift, rules_of, settings_of

COMMANDS, EVENTS, STATUS, DEAD, STATE = TopicKind
LOGS, COMPACTED = {COMMANDS, EVENTS, DEAD}, {STATUS, STATE}
# What brokers of Apache Kafka 4 give a topic that names nothing itself.
KAFKA_DEFAULTS = {
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "segment.ms": "604800000",
    "segment.bytes": "1073741824",
    "min.cleanable.dirty.ratio": "0.5",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "9223372036854775807",
    "delete.retention.ms": "86400000",
    "message.timestamp.type": "CreateTime",
    "max.message.bytes": "1048588",
    "min.insync.replicas": "1",
    "unclean.leader.election.enable": "false",
}


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", TopicKind)
def test_what_is_made_fits_the_table_and_names_all_that_it_compares(kind: TopicKind, replicas: int) -> None:
    made = settings_of(kind, replicas)
    assert drifts("a", kind, replicas, made) == ()
    assert made.keys() <= KAFKA_DEFAULTS.keys()
    assert all(rule.bearable.holds(rule.value) for rule in rules_of(kind, replicas))


def test_a_topic_of_a_brokers_defaults_is_told_by_what_it_lacks() -> None:
    told = {kind: {one.setting for one in drifts("a", kind, 1, KAFKA_DEFAULTS)} for kind in TopicKind}
    fails = {
        kind: {one.setting for one in drifts("a", kind, 1, KAFKA_DEFAULTS) if one.is_dangerous} for kind in TopicKind
    }
    log = {"retention.ms", "message.timestamp.type", "max.message.bytes"}
    compacted = {"cleanup.policy", "segment.ms", "segment.bytes", "message.timestamp.type", "max.message.bytes"}
    assert told == {
        COMMANDS: log,
        EVENTS: log,
        DEAD: log,
        STATUS: compacted | {"min.compaction.lag.ms"},
        STATE: compacted,
    }
    assert fails == {
        COMMANDS: {"retention.ms"},
        EVENTS: {"retention.ms"},
        DEAD: {"max.message.bytes"},
        STATUS: {"cleanup.policy"},
        STATE: {"cleanup.policy", "max.message.bytes"},
    }


def test_a_state_topic_that_is_deleted_by_age_is_told_with_the_days() -> None:
    found = settings_of(STATE, 1) | {"cleanup.policy": "delete", "retention.ms": "604800000"}
    (drift,) = drifts("campaign.studio.state", STATE, 1, found)
    line = str(drift)
    assert line.startswith("campaign.studio.state: cleanup.policy is delete, not compact: DANGER: ")
    assert "the positions and journals are deleted after 7 days" in line and "`soma topics apply`" in line


@pytest.mark.parametrize(
    ("kinds", "setting", "value", "replicas", "dangerous"),
    [
        (set(TopicKind), "cleanup.policy", "compact,delete", 1, True),
        (LOGS, "cleanup.policy", "compact", 1, True),
        (COMPACTED, "cleanup.policy", "delete", 1, True),
        ({COMMANDS, EVENTS}, "retention.ms", "1000", 1, True),
        ({COMMANDS, EVENTS}, "retention.ms", str(7 * 86_400_000), 1, True),
        (LOGS, "retention.ms", str(30 * 86_400_000), 1, False),
        ({DEAD}, "retention.ms", "1000", 1, False),
        ({COMMANDS, EVENTS}, "retention.bytes", "1000000000", 1, True),
        ({DEAD}, "retention.bytes", "1000000000", 1, False),
        (set(TopicKind), "message.timestamp.type", "CreateTime", 1, False),
        (set(TopicKind), "max.message.bytes", "500000", 1, True),
        ({COMMANDS, EVENTS, STATUS}, "max.message.bytes", "1048588", 1, False),
        ({STATE, DEAD}, "max.message.bytes", "1048588", 1, True),
        ({STATUS}, "min.compaction.lag.ms", "0", 1, False),
        ({STATUS}, "max.compaction.lag.ms", "1000", 1, False),
        (COMPACTED, "delete.retention.ms", "0", 1, False),
        ({STATE}, "min.compaction.lag.ms", str(7 * 86_400_000), 1, False),
        (COMPACTED, "segment.ms", "604800000", 1, False),
        (COMPACTED, "segment.bytes", "1073741824", 1, False),
        (COMPACTED, "min.cleanable.dirty.ratio", "0.9", 1, False),
        (set(TopicKind), "unclean.leader.election.enable", "true", 3, True),
        (set(TopicKind), "min.insync.replicas", "2", 1, True),
        (set(TopicKind), "min.insync.replicas", "2", 2, False),
        (set(TopicKind), "min.insync.replicas", "3", 2, True),
        (set(TopicKind), "min.insync.replicas", "1", 3, True),
        (set(TopicKind), "min.insync.replicas", "3", 3, False),
        (set(TopicKind), "min.insync.replicas", "4", 3, True),
    ],
)
def test_a_value_that_does_harm_is_told_and_what_loses_records_is_dangerous(
    kinds: set[TopicKind], setting: str, value: str, replicas: int, dangerous: bool
) -> None:
    for kind in kinds:
        made = settings_of(kind, replicas)
        (drift,) = drifts("a", kind, replicas, made | {setting: value})
        assert (drift.setting, drift.found, drift.is_dangerous) == (setting, value, dangerous), kind
        assert drift.value == made[setting] and len(drift.danger) > 20


@pytest.mark.parametrize(
    ("kinds", "setting", "value", "replicas"),
    [
        (COMPACTED, "retention.ms", "1000", 1),
        (LOGS, "cleanup.policy", "", 1),
        (set(TopicKind), "max.message.bytes", "20000000", 1),
        ({STATUS}, "min.compaction.lag.ms", str(2 * 86_400_000), 1),
        (COMPACTED, "segment.ms", "60000", 1),
        (set(TopicKind), "min.insync.replicas", "3", 5),
    ],
)
def test_another_value_that_does_as_well_is_left_alone(
    kinds: set[TopicKind], setting: str, value: str, replicas: int
) -> None:
    for kind in kinds:
        assert drifts("a", kind, replicas, settings_of(kind, replicas) | {setting: value}) == ()


def test_a_setting_that_the_brokers_do_not_know_is_passed_over() -> None:
    assert drifts("a", STATE, 1, {}) == ()


def test_three_replicas_want_two_in_sync_and_too_few_replicas_are_told_with_the_program_that_adds_some() -> None:
    assert [settings_of(EVENTS, replicas)["min.insync.replicas"] for replicas in (1, 2, 3, 4)] == ["1", "1", "2", "2"]
    assert replica_drift("a", 3, 3) == replica_drift("a", 3, 1) == ()
    (drift,) = replica_drift("a", 1, 3)
    assert (drift.found, drift.is_dangerous, drift.value) == ("1", False, None)
    assert "kafka-reassign-partitions" in str(drift) and "soma topics apply" not in str(drift)


def test_durations_are_told_in_the_unit_that_fits() -> None:
    told = [in_words(ms) for ms in (86_400_000, 604_800_000, 7_200_000, 90 * 60_000, 1_000, 1_500, 0)]
    assert told == ["1 day", "7 days", "2 hours", "90 minutes", "1 second", "1500 ms", "0 ms"]
