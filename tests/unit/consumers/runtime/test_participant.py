"""What a participant finds when it looks at its topics, and what it does about it."""

import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from consumers.runtime import participant as module
from consumers.runtime.lane import Host
from consumers.runtime.log_watch import LogWatch
from consumers.runtime.participant import ParticipantGroup
from producers.topic_identity import Identities, TopicIdentity
from schemas.topics import SagaTopics

EVENTS, COMMANDS, STATE = "order.events", "order.commands", "order.desk.state"


class Consumer:
    """The group's consumer, as much of it as is asked here."""

    def __init__(self) -> None:
        self.assigned = [TopicPartition(topic, index) for topic in (EVENTS, COMMANDS) for index in range(2)]
        self.counts = {EVENTS: 2, COMMANDS: 2}
        self.joined_again = self.updates = 0
        self.sought: dict[TopicPartition, int] = {}
        self._coordinator = SimpleNamespace(request_rejoin=self._join)
        self._client = SimpleNamespace(force_metadata_update=self._update, failed_at=-1.0)

    def assignment(self) -> set[TopicPartition]:
        return set(self.assigned)

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self.counts[topic]))

    def pause(self, *_: TopicPartition) -> None: ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought[partition] = offset

    def _join(self) -> None:
        self.joined_again += 1

    async def _update(self) -> None:
        self.updates += 1

    async def stop(self) -> None: ...


class Looked:
    """A lane that notes what it is told."""

    is_live = True

    def __init__(self) -> None:
        self.ids: list[tuple[str, Mapping[str, str]]] = []
        self.ends: list[tuple[Mapping[str, int], Mapping[str, int | None]]] = []

    def compare(self, cluster_id: str, topic_ids: Mapping[str, str]) -> None:
        self.ids.append((cluster_id, topic_ids))

    def compare_ends(self, read: Mapping[str, int], ends: Mapping[str, int | None]) -> None:
        self.ends.append((read, ends))

    def read_up_to(self) -> dict[str, int]:
        return {EVENTS: 3, COMMANDS: 0}


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many partitions the topics have by now."""
    now = {EVENTS: 2, COMMANDS: 2, STATE: 2}

    async def identities_of(client: Any, topics: Any) -> Identities:
        assert set(topics) == {EVENTS, COMMANDS, STATE}
        return Identities("c", {name: TopicIdentity(f"id of {name}", tuple(range(n))) for name, n in now.items()})

    monkeypatch.setattr(module, "identities_of", identities_of)
    return now


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
def group(consumer: Consumer, counts: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> ParticipantGroup:
    monkeypatch.setattr(module, "BoundedConsumer", lambda **_: consumer)
    role: Any = SimpleNamespace(
        name="order.desk", topics=SagaTopics.of("order"), is_door=True, inputs=(EVENTS, COMMANDS), told_early=True
    )
    made = ParticipantGroup(role, Host("life", lambda: 0.0), {}, "w", SimpleNamespace())  # type: ignore[arg-type]

    async def end_offsets(places: list[TopicPartition]) -> dict[TopicPartition, int]:
        assert all(one.partition < counts[one.topic] for one in places)
        return {one: 10 + one.partition for one in places}

    made._uncommitted = SimpleNamespace(end_offsets=end_offsets)  # type: ignore[assignment]
    made._lane_count = 2
    return made


async def look(group: ParticipantGroup) -> None:
    await group._look_at_logs(LogWatch(group._read_topics()))


async def test_each_lane_is_told_the_ids_and_the_ends_of_its_logs(group: ParticipantGroup, consumer: Consumer) -> None:
    lane = Looked()
    group.lanes = {1: lane}  # type: ignore[dict-item]
    await look(group)
    assert lane.ids == [("c", {name: f"id of {name}" for name in (EVENTS, COMMANDS, STATE)})]
    assert lane.ends == [({EVENTS: 3, COMMANDS: 0}, {EVENTS: 11, COMMANDS: 11, STATE: 11})]
    assert consumer.joined_again == 0


async def test_a_member_that_has_partitions_which_no_longer_exist_joins_again_with_fresh_metadata(
    group: ParticipantGroup, consumer: Consumer, counts: dict[str, int]
) -> None:
    # It has started after the topic was made again with fewer, and was given its former assignment.
    counts[COMMANDS], group._lane_count = 1, 1
    lane = Looked()
    group.lanes = {1: lane}  # type: ignore[dict-item]
    await look(group)
    assert (consumer.updates, consumer.joined_again) == (1, 1)
    assert lane.ends == [({EVENTS: 3, COMMANDS: 0}, {EVENTS: 11, COMMANDS: None, STATE: 11})]


async def test_a_member_joins_again_where_the_number_of_lanes_has_changed(
    group: ParticipantGroup, consumer: Consumer, counts: dict[str, int]
) -> None:
    counts |= dict.fromkeys(counts, 3)
    await look(group)
    await look(group)
    assert (consumer.updates, consumer.joined_again) == (0, 1)


async def test_lanes_are_of_the_events_partitions_and_forward_what_was_added(
    group: ParticipantGroup, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: dict[int, Any] = {}
    monkeypatch.setattr(group, "_start_lane", lambda index, lanes, added: started.update({index: (lanes, added)}))

    async def proves() -> bool:
        return True

    monkeypatch.setattr(module, "proving_heartbeat", lambda *_: proves)
    consumer.counts = {EVENTS: 3, COMMANDS: 6}
    # Of the commands the group has given partition 1 to another member.
    assigned = [TopicPartition(EVENTS, one) for one in (1, 2)] + [TopicPartition(COMMANDS, one) for one in (0, 5)]
    await group.on_partitions_assigned(assigned)
    assert started == {1: (2, ((COMMANDS, 3), (COMMANDS, 5)))}
    assert consumer.sought == dict.fromkeys(assigned, 0)


def test_a_group_that_waits_for_its_brokers_is_not_taken_for_one_that_hangs(
    group: ParticipantGroup, consumer: Consumer
) -> None:
    now = time.monotonic()
    group.polled_at = now - 20.0
    assert group.is_polling(30.0) and not group.is_polling(10.0)
    # A quorum was lost while the group was being balanced: no poll returns before it is.
    consumer._client.failed_at = now - 5.0
    assert group.is_polling(10.0)
    consumer._client.failed_at = now - 15.0
    assert not group.is_polling(10.0)
