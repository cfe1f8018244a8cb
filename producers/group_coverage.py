"""Which partitions a consumer group should read and no member does.

A static member that restarts gets its old assignment back, so partitions and topics that came meanwhile have no reader
until the group is balanced again. Members and `soma doctor` therefore compare what is assigned with what exists.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import KafkaError, for_code

from producers.brokers import AdminClient
from producers.topic_identity import identities_of

# In an answer to DescribeGroups: error, name, state, protocol type, protocol, members; in a member the last is its
# assignment.
STATE_PLACE, MEMBERS_PLACE, ASSIGNMENT_PLACE = 2, 5, 4
SETTLED_STATES = ("Stable", "Empty", "Dead")


class Coverage(NamedTuple):
    """What a group reads. `is_settled` is False while it balances: then nothing can be said about `missing`."""

    is_settled: bool
    missing: tuple[TopicPartition, ...]


def uncovered(
    wanted: Iterable[str], partitions: Mapping[str, Iterable[int]], assigned: Iterable[TopicPartition]
) -> tuple[TopicPartition, ...]:
    """The partitions of the wanted topics that exist and are assigned to no member. PURE."""
    exist = {TopicPartition(topic, one) for topic in wanted for one in partitions.get(topic, ())}
    return tuple(sorted(exist - set(assigned)))


async def coverage_of(admin: AdminClient, wanted: Mapping[str, Iterable[str]]) -> dict[str, Coverage]:
    """For each group (by name, with the topics that it should read) what it lacks.

    Raises:
        KafkaError: the cluster does not answer, or refuses to describe a group or topic.
    """
    if not wanted:
        return {}
    topics = {topic for named in wanted.values() for topic in named}
    found = await identities_of(admin._client, sorted(topics))
    partitions = {name: one.partitions for name, one in found.topics.items()}
    described: dict[str, Coverage] = {}
    for name in sorted(wanted):
        # aiokafka reads an answer about several groups wrongly: it has `authorized_operations` outside the group.
        (answer,) = await admin.describe_consumer_groups([name])
        (group,) = answer.groups
        if group[0]:
            raise for_code(group[0])(f"group {name}")
        missing = uncovered(wanted[name], partitions, _assigned(group[MEMBERS_PLACE]))
        described[name] = Coverage(group[STATE_PLACE] in SETTLED_STATES, missing)
    return described


def _assigned(members: Iterable[tuple[object, ...]]) -> list[TopicPartition]:
    found: list[TopicPartition] = []
    for member in members:
        said = member[ASSIGNMENT_PLACE]
        if said:
            found += ConsumerProtocol.ASSIGNMENT.decode(said).partitions()
    return found


def words_for(missing: Iterable[TopicPartition], most: int = 5) -> str:
    """The partitions as people read them."""
    names = [f"{one.topic}[{one.partition}]" for one in missing]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


class Watch:
    """Says when a member should join again: a partition had no reader twice in a row while the group was settled."""

    def __init__(self, admin: AdminClient, wanted: Mapping[str, Iterable[str]]) -> None:
        self._admin, self._wanted = admin, wanted
        self._seen: dict[str, frozenset[TopicPartition]] = {}

    async def look(self) -> dict[str, tuple[TopicPartition, ...]]:
        """The groups to join again, each with the partitions that nothing reads; empty where Kafka does not answer."""
        try:
            found = await coverage_of(self._admin, self._wanted)
        except (KafkaError, OSError):
            return {}
        return self.judge(found)

    def judge(self, found: Mapping[str, Coverage]) -> dict[str, tuple[TopicPartition, ...]]:
        """PURE but for what it remembers of the look before."""
        due: dict[str, tuple[TopicPartition, ...]] = {}
        for group, coverage in found.items():
            lacking = frozenset(coverage.missing) if coverage.is_settled else frozenset()
            still = lacking & self._seen.get(group, frozenset())
            self._seen[group] = frozenset() if still else lacking
            if still:
                due[group] = tuple(sorted(still))
        return due
