"""What the client asks the cluster, and how it goes on where a log is not what it was."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from producers import client as module
from producers.bounded_consumer import BoundedConsumer
from producers.client import Client
from producers.records import partition_of
from producers.settings import Settings

SAGA = "s-1"


class Admin:
    """Tells how many partitions topics have."""

    def __init__(self, **counts: int) -> None:
        self.counts = counts

    async def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        counts = [(name, self.counts.get(name.partition(".")[2], 0)) for name in names]
        return [{"topic": name, "partitions": [{}] * count, "error_code": 0 if count else 3} for name, count in counts]


def client(**counts: int) -> Client:
    made = Client(Settings(kafka_bootstrap_servers="127.0.0.1:9"))
    made._admin = cast("Any", Admin(**counts))
    return made


@pytest.mark.parametrize("topic", ["campaign.commands", "campaign.status"])
async def test_partitions_that_were_added_to_a_topic_move_no_saga(topic: str) -> None:
    added = client(commands=6, events=4, status=4, dead=4)
    assert await added.partition_for(topic, SAGA) == partition_of(SAGA.encode(), 4)
    assert list(await added._partitions(topic, SAGA)) == [TopicPartition(topic, partition_of(SAGA.encode(), 4))]
    # Who reads a whole topic reads what was added as well.
    assert len(await added._partitions("campaign.commands")) == 6


async def test_topics_that_are_missing_say_nothing_of_where_sagas_stand() -> None:
    assert await client(commands=6).partition_for("campaign.commands", SAGA) == partition_of(SAGA.encode(), 6)


class Log:
    """A consumer that stands at offset 5 of a log that begins elsewhere by now."""

    def __init__(self, begin: int) -> None:
        self.begin, self.position = begin, 5

    async def getmany(self, *_: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        place = TopicPartition("a", 0)
        if self.position < self.begin or self.begin == 0:
            raise OffsetOutOfRangeError({place: self.position})
        return {place: [SimpleNamespace(offset=self.position)]}

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.begin)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.position = offset


async def test_what_retention_removes_while_a_log_is_read_is_passed_over() -> None:
    log = Log(begin=9)
    reader = cast("BoundedConsumer", log)
    assert await module._fetched(reader) == {}
    ((record,),) = (await module._fetched(reader)).values()
    assert record.offset == 9


async def test_a_log_that_was_made_again_while_it_is_read_is_an_error() -> None:
    log = Log(begin=0)
    with pytest.raises(OffsetOutOfRangeError):
        await module._fetched(cast("BoundedConsumer", log))
    assert log.position == 5
