"""PURE: how many lanes a participant has, and which partitions were added to its inputs beyond that.

The number of partitions is fixed for a topic's life, since a saga's records stand in the partition of its key. Where an
operator adds partitions to a topic, other clients' partitioners use them at once. Lane p of the door then also reads
the partitions p + N, p + 2N and so on, and forwards what stands there to the partition of its key among the first N.
"""

from collections.abc import Iterable, Mapping


def lane_count(counts: Mapping[str, int], topics: Iterable[str]) -> int:
    """Return how many lanes there are: as many as the smallest of these topics has partitions; 0 where none exists."""
    return min((counts[topic] for topic in topics if counts.get(topic)), default=0)


def added_partitions(
    counts: Mapping[str, int], topics: Iterable[str], lanes: int, partition: int
) -> tuple[tuple[str, int], ...]:
    """Return the partitions of these topics that the lane of this partition forwards."""
    if not lanes:
        return ()
    return tuple((topic, one) for topic in topics for one in range(partition + lanes, counts.get(topic, 0), lanes))
