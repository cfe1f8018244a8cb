"""A batch that no consumer unpacks is one dead letter, written by the door; every other participant passes over it."""

import logging
from typing import Any

import pytest
from aiokafka import TopicPartition

from consumers.runtime.kafka_transport import pass_over
from consumers.tracker.ledger import TrackerLedger
from producers.answers import Published, answer_in
from producers.errors import StateUnreadable
from producers.records import Outgoing, Record
from producers.skipped_batches import Skipped, SkippedBatch
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, Bench
from tests.unit.consumers.runtime.small_saga import DESK, ORDER

STATE = TopicPartition("order.desk.state", 3)
TOPICS = ["order.commands", "order.events"]


def bomb(topic: str, first: int, last: int, is_too_large: bool = True) -> Record:
    """What a reader hands over for the batch."""
    skipped = Skipped(first, last, last - first + 1, "zstd", 9_931, is_too_large, "it unpacks to more than 64 bytes")
    value = SkippedBatch(skipped)
    return Record(topic, 3, last, BEGIN, None, value, value.headers)


def letters_of(desk: Bench, *records: Record) -> list[dict[str, Any]]:
    for one in records:
        desk.ledger.hear(one, BEGIN)
    desk.commit()
    return desk.dead_letters()


@pytest.mark.parametrize("topic", TOPICS)
def test_the_door_writes_one_letter_that_names_the_place_and_the_sizes(topic: str) -> None:
    (letter,) = letters_of(Bench(DESK), bomb(topic, 12, 14))
    assert letter["origin"] == {"topic": topic, "partition": 3, "offset": 14, "first_offset": 12}
    assert (letter["kind"], letter["id"], letter["value_bytes"]) == ("unreadable", f"{topic}/3/14", 9_931)
    assert (letter["value"], letter["value_base64"], letter["saga_id"]) == (None, None, None)
    assert letter["reason"] == (
        "a batch that cannot be unpacked: offsets 12 to 14, 9931 bytes of codec zstd: it unpacks to more than 64 bytes"
    )


@pytest.mark.parametrize("topic", TOPICS)
def test_such_letters_are_of_one_kind(topic: str) -> None:
    one, other = letters_of(Bench(DESK), bomb(topic, 12, 14), bomb(topic, 15, 2_000))
    assert one["fingerprint"] == other["fingerprint"]


@pytest.mark.parametrize("participant", [one for one in EVERYBODY if one != DESK] + ["order.tracker"])
def test_other_participants_pass_over_it(participant: str) -> None:
    memory = TrackerLedger(ORDER, 3) if participant == "order.tracker" else Bench(participant).ledger
    memory.hear(bomb("order.events", 12, 14), BEGIN)
    snapshot = memory.take()
    assert (snapshot.said, snapshot.state) == ([], {})


@pytest.mark.parametrize(("offset", "is_answered"), [(11, False), (12, True), (13, True), (14, True), (15, False)])
def test_who_waits_for_a_command_in_the_batch_is_answered_by_its_letter(offset: int, is_answered: bool) -> None:
    desk = Bench(DESK)
    letters_of(desk, bomb("order.commands", 12, 14))
    (said,) = desk.said
    published = Published("order", "order-1", "c", "order.commands", 3, offset, {})
    answer = answer_in(as_read(said), published)
    assert (answer is not None) == is_answered
    assert answer is None or (answer.kind == "dead" and "cannot be unpacked" in answer.reason)


def as_read(said: Outgoing) -> Record:
    return Record(said.topic, said.partition, 0, BEGIN, said.key, said.value, said.headers)


def test_a_state_topic_is_restored_past_what_is_too_large_to_be_the_lanes_own(caplog: pytest.LogCaptureFixture) -> None:
    pass_over(STATE, b"a journal")
    pass_over(STATE, None)
    assert not caplog.records
    pass_over(STATE, bomb(STATE.topic, 5, 7).value)
    (line,) = caplog.records
    assert (line.message, line.levelno) == ("restore.batch_skipped", logging.ERROR)
    assert (line.__dict__["topic"], line.__dict__["partition"]) == STATE
    assert "offsets 5 to 7" in line.__dict__["batch"]


def test_a_state_topic_with_a_batch_that_may_hold_journals_is_not_restored() -> None:
    with pytest.raises(StateUnreadable, match=r"order\.desk\.state 3 has a batch .* offsets 5 to 7.* ACL"):
        pass_over(STATE, bomb(STATE.topic, 5, 7, is_too_large=False).value)
