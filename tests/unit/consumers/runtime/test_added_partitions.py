"""What stands in a partition that was added to a topic is forwarded once, to the partition of its key."""

import json
import time

import msgspec
import pytest
from aiokafka import TopicPartition

from consumers.runtime import lane as lanes
from consumers.runtime.ledger import Ledger
from consumers.runtime.participant import shown_offsets
from consumers.runtime.partitions import added_partitions, lane_count
from consumers.runtime.positions import causes, identity_of
from consumers.runtime.transport import POSITION_KEY, Log, Logs, Position, input_key, place_of
from consumers.runtime.view import view_of
from producers.headers import headers_for
from producers.records import Headers, Outgoing, Record, partition_of
from tests.unit.consumers.runtime.small_saga import DESK, ORDER
from tests.unit.consumers.runtime.test_lane import prompt
from tests.unit.consumers.runtime.wire import Line, until

EVENTS, COMMANDS, DEAD = "order.events", "order.commands", "order.dead"
LANES = 4
SAGA = next(f"o-{number}" for number in range(99) if partition_of(f"o-{number}".encode(), LANES) == 2)


def test_the_smallest_topic_says_how_many_lanes_there_are() -> None:
    assert lane_count({"a": 6, "b": 4, "c": 5}, ("a", "b")) == 4
    assert lane_count({"a": 6}, ("a", "gone")) == 6
    assert lane_count({}, ("a",)) == 0


def test_each_added_partition_is_forwarded_by_one_lane() -> None:
    counts = {EVENTS: 4, COMMANDS: 11}
    by_lane = [added_partitions(counts, (EVENTS, COMMANDS), 4, lane) for lane in range(4)]
    assert by_lane[0] == ((COMMANDS, 4), (COMMANDS, 8))
    assert sorted(one for found in by_lane for one in found) == [(COMMANDS, index) for index in range(4, 11)]
    assert added_partitions({EVENTS: 4}, (EVENTS, COMMANDS), 4, 0) == ()
    assert added_partitions(counts, (EVENTS,), 0, 0) == ()


def test_an_input_is_named_by_its_topic_and_an_added_one_by_its_partition_as_well() -> None:
    for place in ((COMMANDS, 1), (COMMANDS, 5)):
        assert place_of(input_key(*place, 1), 1) == place
    assert (input_key(COMMANDS, 1, 1), input_key(COMMANDS, 5, 1)) == (COMMANDS, "order.commands/5")


def door() -> Ledger:
    """Lane 1 of the door's four."""
    return Ledger(view_of(ORDER, DESK), 1, LANES, "acme")


def record(
    topic: str, wire_type: str, headers: Headers = (), key: bytes | None = SAGA.encode(), partition: int = 5
) -> Record:
    """A record in a partition that was added."""
    body = json.dumps({"saga_id": SAGA, "a_field": "as it was written"}).encode()
    return Record(topic, partition, 17, time.time(), key, body, headers or (("ce_type", wire_type.encode()),))


@pytest.mark.parametrize("partition", [LANES, LANES + 1])
@pytest.mark.parametrize("topic", [COMMANDS, EVENTS])
def test_what_another_client_puts_into_an_added_partition_goes_to_the_partition_of_its_key(
    topic: str, partition: int
) -> None:
    wire_type = "order.cancel" if topic == COMMANDS else "order.opened"
    ledger, put = door(), record(topic, wire_type, partition=partition)
    ledger.hear(put, 1.0)
    (sent,) = ledger.take().said
    assert (sent.topic, sent.partition, sent.key, sent.value) == (topic, 2, put.key, put.value)
    headers = dict(sent.headers)
    # It is known by the place where it stood first.
    assert (headers["ce_type"], headers["ce_id"]) == (wire_type.encode(), f"{topic}/{partition}/17".encode())
    assert headers["ce_forwardedfrom"] == f"{topic}/{partition}".encode()


def test_an_event_keeps_all_its_headers() -> None:
    headers = headers_for(wire_type="order.opened", message_id="m", source="s", saga_id=SAGA, at=1.0)
    headers += (("ce_round", b"3"),)
    ledger = door()
    ledger.hear(record(EVENTS, "", headers), 1.0)
    (sent,) = ledger.take().said
    assert sent.headers[: len(headers)] == headers and dict(sent.headers)["ce_id"] == b"m"


@pytest.mark.parametrize("topic", [COMMANDS, EVENTS])
def test_what_names_no_saga_is_a_dead_letter_of_the_lane_that_reads_it(topic: str) -> None:
    ledger = door()
    ledger.hear(record(topic, "order.cancel", key=None), 1.0)
    (letter,) = ledger.take().said
    # The topic of the dead letters has no partition 5.
    assert (letter.topic, letter.partition) == (DEAD, 1)
    origin = json.loads(letter.value or b"")["origin"]
    assert (origin["topic"], origin["partition"], origin["offset"]) == (topic, 5, 17)


ADDED = "order.commands/1"


def put(line: Line, number: int) -> None:
    """A command in the added partition 1; the saga's lane is number 0."""
    place = line.wire.heard[ADDED]
    line.wire.heard[ADDED] += 1
    body = json.dumps({"saga_id": f"o-{number}"}).encode()
    line.lane.push(
        [Record(COMMANDS, 1, place, time.time(), f"o-{number}".encode(), body, (("ce_type", b"order.cancel"),))]
    )


def forwarded(line: Line) -> list[bytes | None]:
    """The keys of what was forwarded."""
    return [one.key for one in line.wire.said if one.topic == COMMANDS]


async def test_a_lane_forwards_in_the_transaction_that_commits_how_far_it_has_read() -> None:
    desk = Line(DESK, prompt)
    desk.wire.heard[ADDED] = desk.wire.stable[ADDED] = 0
    fails = True

    def once(*_: object) -> None:
        nonlocal fails
        if fails and desk.wire.heard[ADDED] == 2:
            fails = False
            raise ConnectionError("no leader")

    desk.wire.takes = once
    async with desk:
        await until(lambda: desk.lane.is_ready)
        put(desk, 1)
        put(desk, 2)
        # The transaction fails, and the lane begins again where it was committed.
        await until(lambda: not fails and desk.lane.is_ready and desk.wire.heard[ADDED] == 0)
        put(desk, 1)
        put(desk, 2)
        await until(lambda: desk.wire.position.offsets.get(ADDED) == 2)
        assert forwarded(desk) == [b"o-1", b"o-2"]
        assert shown_offsets(0, desk.lane, (EVENTS, COMMANDS))[TopicPartition(COMMANDS, 1)] == (2, "")
    later = Line(DESK, prompt, former=desk.wire)
    later.wire.heard[ADDED] = 0
    async with later:
        assert later.wire.heard[ADDED] == 2


async def test_what_is_read_of_an_added_partition_and_not_forwarded_yet_is_not_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "HEARD_AT_ONCE", 1)
    desk = Line(DESK, prompt)
    desk.wire.heard[ADDED] = desk.wire.stable[ADDED] = 0
    committed: list[tuple[int, int, int]] = []

    def note(said: list[Outgoing], state: dict[str, bytes | None]) -> None:
        position = msgspec.msgpack.decode(state[POSITION_KEY] or b"", type=Position)
        sent = len(forwarded(desk)) + sum(one.topic == COMMANDS for one in said)
        committed.append((sent, position.offsets[ADDED], position.offsets[COMMANDS]))

    async with desk:
        await until(lambda: desk.lane.is_ready)
        desk.wire.takes = note
        for number in range(5):
            put(desk, number)
        await until(lambda: len(forwarded(desk)) == 5)
    assert all(sent == read and own == 0 for sent, read, own in committed) and len(committed) > 1


async def test_a_lane_forwards_events_of_an_added_partition_that_it_would_not_hear_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Ledger, "ignores", lambda *_: True)
    desk = Line(DESK, prompt)
    added = "order.events/1"
    desk.wire.heard[added] = desk.wire.stable[added] = 0
    async with desk:
        await until(lambda: desk.lane.is_ready)
        desk.wire.heard[added] += 1
        headers = (("ce_type", b"order.opened"),)
        desk.lane.push([Record(EVENTS, 1, 0, time.time(), b"o-1", b'{"saga_id": "o-1"}', headers)])
        await until(lambda: any(one.topic == EVENTS and one.partition == 0 for one in desk.wire.said))


def test_a_lane_does_not_open_where_the_number_of_lanes_has_changed() -> None:
    logs = Logs("", {EVENTS: Log("", 0, 9)}, "order.desk.state", Log("", 0, 9), LANES)
    position = Position({EVENTS: 3}, False, "", 0, {}, {}, *identity_of(logs))
    assert position.partitions == LANES and causes(position, logs) == []
    assert "was one of 4 lanes" in causes(position, logs._replace(partitions=6))[0]
    assert causes(msgspec.structs.replace(position, partitions=0), logs._replace(partitions=6)) == []
