"""PURE: what a look at the cluster tells a participant of the topics that it reads."""

from collections.abc import Iterable

from aiokafka import TopicPartition

from producers.topic_identity import Identities


class LogWatch:
    """Compares one look with the one before: a broker that has just started may not know of a topic yet."""

    def __init__(self, topics: Iterable[str]) -> None:
        self.topics = tuple(topics)
        self._missing: set[str] = set()

    def ids(self, found: Identities) -> dict[str, str]:
        """Return the ids of the topics; "" where it is not known, and no entry for a topic that is missing again."""
        missing = {topic for topic in self.topics if topic not in found.topics}
        gone, self._missing = missing & self._missing, missing
        return {
            topic: found.topics[topic].topic_id if topic in found.topics else ""
            for topic in self.topics
            if topic not in gone
        }


def vanished(assigned: Iterable[TopicPartition], found: Identities) -> list[TopicPartition]:
    """Return the partitions that their topics no longer have: a topic was made again with fewer.

    A static member that restarts is given its old assignment, whatever has become of the topics.
    """
    return sorted(
        one for one in assigned if one.topic in found.topics and one.partition not in found.topics[one.topic].partitions
    )
