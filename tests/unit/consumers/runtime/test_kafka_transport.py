"""What the lane's transport writes to Kafka, as far as it can be seen without one."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from consumers.runtime import kafka_transport
from consumers.runtime.lease import Membership
from consumers.runtime.reader import Reader
from producers.errors import LaneLost
from producers.records import Outgoing, Record
from producers.transactions import Place
from tests.unit.consumers.runtime.small_saga import STORE


async def test_the_no_op_that_settles_a_hanging_transaction_has_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Outgoing] = []

    class Producer:
        def __init__(self, *_: Any) -> None:
            pass

        async def start(self) -> None:
            pass

        async def write(self, records: list[Outgoing], commit: bool = True) -> None:
            written.extend(records)

    async def state(*_: Any) -> str:
        return "CompleteCommit"

    def reader(end: int) -> Any:
        async def end_offsets(partitions: list[Any]) -> dict[Any, int]:
            return dict.fromkeys(partitions, end)

        return SimpleNamespace(end_offsets=end_offsets, _client=None)

    monkeypatch.setattr(kafka_transport, "TransactionalProducer", Producer)
    monkeypatch.setattr(kafka_transport, "transaction_state", state)
    monkeypatch.setattr(kafka_transport, "HANGING_AFTER_SECONDS", -1.0)
    writes = (("order.store.state", 0), ("order.status", 0))
    transport = kafka_transport.KafkaTransport(
        {},
        STORE,
        0,
        cast("Reader", None),
        lambda records: None,
        lambda: True,
        Membership(6.0),
        reader(1),
        reader(2),
        ("order.events",),
        "order.store.state",
        writes,
    )
    await transport.open()
    assert [one.topic for one in written if one.key is None] == []


async def test_what_a_lane_has_committed_to_what_it_hears_is_offered_to_its_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Producer:
        def __init__(self, *_: Any) -> None:
            pass

        async def start(self) -> None:
            pass

        async def write(self, records: list[Outgoing]) -> dict[tuple[str, int], Place]:
            return {("order.events", 0): Place(7, 1_500), ("order.events", 1): Place(3, 1_500)}

    async def settled(*_: Any) -> Any:
        return "CompleteCommit"

    class Settled(kafka_transport.KafkaTransport):
        async def _end(self, reader: Any) -> int:
            return 0

    monkeypatch.setattr(kafka_transport, "TransactionalProducer", Producer)
    monkeypatch.setattr(kafka_transport, "transaction_state", settled)
    offered: list[Record] = []

    def offer(partition: TopicPartition, offset: int, records: Iterable[Record]) -> None:
        assert (tuple(partition), offset) == (("order.events", 0), 7)
        offered.extend(records)

    reader: Any = SimpleNamespace(offer=offer, _client=None)
    transport = Settled(
        {},
        STORE,
        0,
        reader,
        lambda records: None,
        lambda: True,
        Membership(6.0),
        reader,
        reader,
        ("order.events",),
        "order.state",
        (),
    )
    await transport.open()
    said = [
        Outgoing("order.events", 0, b"saga", b"one", (("ce_type", b"said"),)),
        Outgoing("order.events", 1, b"other", b"elsewhere"),
        Outgoing("order.dead", 0, b"saga", b"dead"),
        Outgoing("order.events", 0, b"saga", b"two"),
    ]
    await transport.commit(said, {"position": b"state"})
    assert offered == [
        Record("order.events", 0, 7, 1.5, b"saga", b"one", (("ce_type", b"said"),)),
        Record("order.events", 0, 8, 1.5, b"saga", b"two", ()),
    ]


@pytest.mark.parametrize("told_early", [True, False])
async def test_a_lane_is_told_early_only_where_it_may_be(told_early: bool) -> None:
    shared: list[bool] = []
    reader: Any = SimpleNamespace(share=lambda partition, offset, take, told_early: shared.append(told_early))
    transport = kafka_transport.KafkaTransport(
        {},
        STORE,
        0,
        reader,
        lambda records: None,
        lambda: True,
        Membership(6.0),
        reader,
        reader,
        ("order.events",),
        "order.state",
        (),
        told_early,
    )
    transport.seek({"order.events": 0})
    assert shared == [told_early]


async def test_a_lane_whose_partition_was_given_away_does_not_go_on() -> None:
    transport = kafka_transport.KafkaTransport(
        {},
        STORE,
        0,
        cast("Reader", None),
        lambda records: None,
        lambda: False,
        Membership(6.0),
        cast("Any", None),
        cast("Any", None),
        ("order.events",),
        "order.store.state",
        (),
    )
    with pytest.raises(LaneLost, match="no longer ours"):
        transport.seek({"order.events": 0})
