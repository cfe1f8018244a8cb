"""What a look at the cluster tells of the topics that a participant reads."""

from aiokafka import TopicPartition

from consumers.runtime.log_watch import LogWatch, vanished
from producers.topic_identity import Identities, TopicIdentity


def found(**topics: tuple[str, int]) -> Identities:
    return Identities("c", {name: TopicIdentity(one, tuple(range(count))) for name, (one, count) in topics.items()})


def test_a_topic_is_gone_only_when_two_looks_in_a_row_miss_it() -> None:
    watch = LogWatch(("events", "state"))
    assert watch.ids(found(events=("e", 2), state=("s", 2), other=("o", 2))) == {"events": "e", "state": "s"}
    assert watch.ids(found(state=("s", 2))) == {"events": "", "state": "s"}
    assert watch.ids(found(state=("s", 2))) == {"state": "s"}
    assert watch.ids(found(events=("e2", 2), state=("s", 2))) == {"events": "e2", "state": "s"}
    assert watch.ids(found(state=("s", 2))) == {"events": "", "state": "s"}


def test_partitions_that_a_topic_no_longer_has_have_vanished() -> None:
    assigned = [TopicPartition("events", 0), TopicPartition("events", 3), TopicPartition("commands", 3)]
    assert vanished(assigned, found(events=("e", 2))) == [TopicPartition("events", 3)]
    assert vanished(assigned, found(events=("e", 4), commands=("c", 4))) == []
