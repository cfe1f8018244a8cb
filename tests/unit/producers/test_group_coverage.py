"""Which partitions nothing reads, and when a member joins again for it."""

from typing import Any, cast

from aiokafka import TopicPartition

from producers.brokers import AdminClient
from producers.group_coverage import Coverage, Watch, uncovered, words_for

NEW = TopicPartition("b", 0)


def test_partitions_that_exist_and_are_assigned_to_no_member_are_uncovered() -> None:
    exist = {"a": (0, 1, 2), "b": (0,), "other": (0,)}
    assigned = [TopicPartition("a", 0), TopicPartition("a", 2), TopicPartition("gone", 5)]
    assert uncovered(["a", "b", "missing"], exist, assigned) == (TopicPartition("a", 1), NEW)


# What is judged is handed over; nothing is asked for.
NO_ADMIN = cast("AdminClient", None)


def judged(watch: Watch, is_settled: bool, *missing: TopicPartition) -> dict[str, Any]:
    return watch.judge({"group": Coverage(is_settled, missing)})


def test_a_member_joins_again_when_a_partition_had_no_reader_twice_in_a_row() -> None:
    watch = Watch(NO_ADMIN, {})
    assert judged(watch, True, NEW) == {}
    assert judged(watch, True, NEW) == {"group": (NEW,)}
    assert judged(watch, True, NEW) == {}


def test_while_the_group_is_balanced_nothing_is_said() -> None:
    watch = Watch(NO_ADMIN, {})
    assert judged(watch, True, NEW) == {}
    assert judged(watch, False, NEW) == {}
    assert judged(watch, True, NEW) == {}


def test_another_partition_each_time_is_no_reason() -> None:
    watch = Watch(NO_ADMIN, {})
    assert judged(watch, True, NEW) == {}
    assert judged(watch, True, TopicPartition("a", 1)) == {}


def test_partitions_are_named() -> None:
    assert words_for([TopicPartition("a", number) for number in range(3)], most=2) == "a[0], a[1] and 1 more"
