"""What a lane asks of the world: one partition index of Kafka, and the time. The simulator is another world."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from producers.records import Outgoing

Clock = Callable[[], float]

POSITION_KEY = "position"
# Where a lane begins that never had a position; another key, so that writing it late replaces none.
FIRST_POSITION_KEY = "position/first"
JOURNAL_PREFIX = "saga/"


class Position(msgspec.Struct, frozen=True):
    """Up to where the inputs were heard; written with every transaction of the lane.

    `clean`: the lane's backlog had been read to its end, and nothing was running. `owner` is the worker's life,
    `unclean` how many lives in a row have crashed. `paused` are the steps that stand still, with their causes, and
    `ends` tells how the last items of each step have ended (see `pausing`).

    `cluster_id`, `topic_ids` and `state_start`, the offset at which the state topic begins, say to which logs the
    offsets belong (see `positions`); `partitions` is how many lanes the participant had. They are empty in records of
    former builds, and where the brokers do not tell.
    """

    offsets: dict[str, int]
    clean: bool = False
    owner: str = ""
    unclean: int = 0
    paused: dict[str, str] = {}
    ends: dict[str, int] = {}
    cluster_id: str = ""
    topic_ids: dict[str, str] = {}
    state_start: int | None = None
    partitions: int = 0


def input_key(topic: str, partition: int, own_partition: int) -> str:
    """Return the name of an input: its topic, or TOPIC/PARTITION where it is another partition than the lane's own.

    Such a one was added to the topic; the lane only forwards what stands there (see `Ledger`).
    """
    return topic if partition == own_partition else f"{topic}/{partition}"


def place_of(key: str, own_partition: int) -> tuple[str, int]:
    """Return topic and partition of an input by its name."""
    topic, _, partition = key.partition("/")
    return topic, int(partition) if partition else own_partition


class Log(NamedTuple):
    """One partition as the cluster has it now: its topic's id ("" where it is not told), first offset and end."""

    topic_id: str
    start: int
    end: int


class Logs(NamedTuple):
    """What a lane reads: its inputs by name, and its state. None stands for a partition that does not exist.

    `partitions` is how many lanes the participant has; 0 where that is not known.
    """

    cluster_id: str
    inputs: dict[str, Log | None]
    state_topic: str
    state: Log | None
    partitions: int = 0


class Transport(Protocol):
    """One lane's view of Kafka. Any call may raise; the lane then throws its memory away and opens again."""

    async def open(self) -> None:
        """Become the lane's only owner: the former one is fenced, what it left open is settled."""

    def restore(self) -> AsyncIterator[tuple[str, bytes | None]]:
        """All committed records of the lane's state partition, in order. Only after `open`."""

    async def logs(self) -> Logs:
        """The lane's logs as the cluster has them now; may be asked while the lane is not open."""

    async def ends(self) -> dict[str, int]:
        """The end of what is committed now, by input topic."""

    async def written(self) -> dict[str, int]:
        """The end of all that is written now, decided or not, by input topic; `positions` get there."""

    def positions(self) -> dict[str, int]:
        """Up to where the inputs have been handed over, markers included, by the name of the input.

        Raises where a log no longer has what comes next.
        """

    def seek(self, offsets: dict[str, int]) -> None:
        """Hand over records from here on; those fetched before are dropped."""

    def pause(self, topics: Sequence[str]) -> None:
        """Hand over nothing of these input topics until `resume`."""

    def resume(self, topics: Sequence[str]) -> None:
        """Hand over records of these again."""

    async def commit(self, said: list[Outgoing], state: dict[str, bytes | None]) -> float | None:
        """Write all of it in one transaction. Raises if it is not known to be committed.

        Returns when the broker has appended some of it, in seconds by its clock, or None where it did not tell. The
        lanes of the same worker may be handed what was said as soon as it is decided, before the log shows it.
        """

    def owns(self) -> bool:
        """Whether the lane's ownership was proved so lately that no other worker can have opened the lane since."""

    async def close(self) -> None:
        """Let go of the connections; never raises."""
