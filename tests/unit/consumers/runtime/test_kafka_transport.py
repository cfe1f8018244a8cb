"""What the lane's transport writes to Kafka, as far as it can be seen without one."""

from collections.abc import Callable, Iterable
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


class Ends:
    """Where partitions end: as they are read by everybody, and as they are written."""

    def __init__(self, decided: dict[str, int], written: dict[str, int]) -> None:
        self.decided, self.written, self.looks = decided, written, 0
        self.at_look: Callable[[int], None] = lambda number: None

    def seen_as(self, ends: dict[str, int]) -> Any:
        async def end_offsets(partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
            self.looks += 1
            self.at_look(self.looks)
            return {partition: ends[partition.topic] for partition in partitions}

        return SimpleNamespace(end_offsets=end_offsets, _client=None)


def opening(ends: Ends, producer: Any, decided: str, monkeypatch: pytest.MonkeyPatch) -> kafka_transport.KafkaTransport:
    """A transport that is about to open, after a transaction whose fate the coordinator has `decided`."""

    async def state(*_: Any) -> str:
        return decided

    monkeypatch.setattr(kafka_transport, "TransactionalProducer", lambda *_: producer)
    monkeypatch.setattr(kafka_transport, "transaction_state", state)
    monkeypatch.setattr(kafka_transport, "HANGING_AFTER_SECONDS", -1.0)
    return kafka_transport.KafkaTransport(
        {},
        STORE,
        0,
        cast("Reader", None),
        lambda records: None,
        lambda: True,
        Membership(6.0),
        ends.seen_as(ends.decided),
        ends.seen_as(ends.written),
        ("order.events",),
        "order.store.state",
        (("order.store.state", 0), ("order.status", 0)),
    )


class Producer:
    """Notes what is written, and whether it was to be committed."""

    def __init__(self) -> None:
        self.written: list[Outgoing] = []
        self.commits: list[bool] = []
        self.after: Callable[[], None] = lambda: None

    async def start(self) -> None:
        pass

    async def write(self, records: list[Outgoing], commit: bool = True) -> None:
        self.written += records
        self.commits.append(commit)
        self.after()


async def test_the_no_op_that_settles_a_hanging_transaction_has_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Ends({"order.store.state": 1, "order.events": 0}, {"order.store.state": 2, "order.events": 0})
    producer = Producer()
    producer.after = lambda: ends.decided.update({"order.store.state": 4})
    await opening(ends, producer, "CompleteCommit", monkeypatch).open()
    assert len(producer.written) == 2 and [one.topic for one in producer.written if one.key is None] == []


@pytest.mark.parametrize(("decided", "commits"), [("CompleteCommit", True), ("Empty", True), ("Ongoing", False)])
@pytest.mark.parametrize("hanging", ["order.store.state", "order.events"])
async def test_a_hanging_transaction_is_settled_as_decided_wherever_it_hangs(
    hanging: str, decided: str, commits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = Ends({"order.store.state": 5, "order.events": 5}, {"order.store.state": 5, "order.events": 5})
    ends.written[hanging] = 6
    producer = Producer()
    producer.after = lambda: ends.decided.update({hanging: 8})
    await opening(ends, producer, decided, monkeypatch).open()
    assert producer.commits == [commits]


async def test_where_nothing_hangs_no_no_op_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Ends({"order.store.state": 5, "order.events": 5}, {"order.store.state": 5, "order.events": 5})
    producer = Producer()
    await opening(ends, producer, "CompleteCommit", monkeypatch).open()
    assert producer.commits == []


async def test_a_lane_reads_its_state_only_when_the_marker_of_the_no_op_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = Ends({"order.store.state": 10, "order.events": 0}, {"order.store.state": 12, "order.events": 0})
    producer = Producer()
    looks_before = 0

    def written() -> None:
        nonlocal looks_before
        # The record of the no-op; its marker follows some looks later.
        ends.written["order.store.state"], looks_before = 13, ends.looks

    def mark(look: int) -> None:
        if looks_before and look == looks_before + 5:
            ends.decided["order.store.state"] = 14

    producer.after, ends.at_look = written, mark
    await opening(ends, producer, "CompleteCommit", monkeypatch).open()
    assert ends.decided["order.store.state"] >= ends.written["order.store.state"]


async def test_a_lane_whose_state_is_not_settled_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_transport, "SETTLED_SECONDS_MAX", 0.05)
    ends = Ends({"order.store.state": 10, "order.events": 0}, {"order.store.state": 12, "order.events": 0})
    with pytest.raises(LaneLost, match=r"order\.store\.state is not settled"):
        await opening(ends, Producer(), "CompleteCommit", monkeypatch).open()


async def test_a_transaction_of_another_client_on_an_input_keeps_no_lane_from_opening(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = Ends({"order.store.state": 5, "order.events": 5}, {"order.store.state": 5, "order.events": 9})
    await opening(ends, Producer(), "CompleteCommit", monkeypatch).open()


async def test_what_a_lane_has_committed_to_what_it_hears_is_offered_to_its_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Placing:
        async def start(self) -> None:
            pass

        async def write(self, records: list[Outgoing]) -> dict[tuple[str, int], Place]:
            return {("order.events", 0): Place(7, 1_500), ("order.events", 1): Place(3, 1_500)}

    async def state(*_: Any) -> Any:
        return "CompleteCommit"

    class Settled(kafka_transport.KafkaTransport):
        async def _settle_hanging(self, decided: str) -> None:
            pass

    monkeypatch.setattr(kafka_transport, "TransactionalProducer", lambda *_: Placing())
    monkeypatch.setattr(kafka_transport, "transaction_state", state)
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
