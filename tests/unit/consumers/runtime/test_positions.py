"""A position belongs to one log: what does not fit it is named, with the command that helps."""

import msgspec
import pytest

from consumers.runtime.positions import causes, changed, identity_of, reset_command, start_offsets
from consumers.runtime.transport import Log, Logs, Position
from producers.errors import PositionLost

EVENTS, COMMANDS, STATE = "order.events", "order.commands", "order.desk.state"
LOGS = Logs("cluster-1", {EVENTS: Log("e-1", 10, 100), COMMANDS: Log("c-1", 0, 5)}, STATE, Log("s-1", 0, 400))
FITS = Position({EVENTS: 50, COMMANDS: 5}, True, "life", 0, {}, {}, *identity_of(LOGS))


def with_events(log: Log | None) -> Logs:
    return LOGS._replace(inputs=LOGS.inputs | {EVENTS: log})


def test_a_lane_begins_at_its_position() -> None:
    assert start_offsets("order.desk", 3, FITS, LOGS) == {EVENTS: 50, COMMANDS: 5}


@pytest.mark.parametrize("offset", [10, 100])
def test_the_first_offset_and_the_end_of_a_log_are_positions_in_it(offset: int) -> None:
    position = msgspec.structs.replace(FITS, offsets={EVENTS: offset, COMMANDS: 0})
    assert start_offsets("order.desk", 3, position, LOGS)[EVENTS] == offset


def test_a_topic_that_is_new_to_the_lane_is_read_from_its_start() -> None:
    position = msgspec.structs.replace(FITS, offsets={COMMANDS: 5})
    assert start_offsets("order.desk", 3, position, LOGS) == {EVENTS: 10, COMMANDS: 5}


@pytest.mark.parametrize(
    ("logs", "cause"),
    [
        (with_events(Log("e-1", 51, 100)), "has position 50 in order.events, which begins at 51: records were deleted"),
        (with_events(Log("e-1", 0, 49)), "has position 50 in order.events, which ends at 49: it was truncated"),
        (with_events(Log("e-2", 10, 100)), "topic order.events with id e-1; it was deleted, and made again as e-2"),
        (with_events(None), "reads order.events, which does not exist or has no such partition"),
        (LOGS._replace(cluster_id="cluster-2"), "on the cluster cluster-1, and this is the cluster cluster-2"),
        (LOGS._replace(state=Log("s-2", 0, 1)), "topic order.desk.state with id s-1; it was deleted"),
        (LOGS._replace(state=Log("s-1", 7, 400)), "lacks a part of its state: order.desk.state begins at 7"),
        (LOGS._replace(state=None), "reads order.desk.state, which does not exist"),
    ],
)
def test_what_does_not_fit_is_named_and_so_is_the_command_that_helps(logs: Logs, cause: str) -> None:
    with pytest.raises(PositionLost) as lost:
        start_offsets("order.desk", 3, FITS, logs)
    assert cause in str(lost.value)
    assert "`soma topics apply --reset order.desk --partition 3 --from beginning|now`" in str(lost.value)
    assert reset_command("order.desk", 3) in str(lost.value)


def test_a_lane_without_any_position_does_not_guess() -> None:
    with pytest.raises(
        PositionLost, match=r"has no position in its state topic order\.desk\.state.*--reset order\.desk"
    ):
        start_offsets("order.desk", 3, None, LOGS)


def test_a_record_of_a_former_build_says_nothing_of_ids_and_fits() -> None:
    old = msgspec.msgpack.encode({"offsets": {EVENTS: 50}, "clean": True, "owner": "life"})
    position = msgspec.msgpack.decode(old, type=Position)
    later = LOGS._replace(cluster_id="another", state=Log("another", 9, 9))
    assert causes(position, later) == []
    position = msgspec.structs.replace(position, **identity_of(LOGS)._asdict())
    assert len(causes(position, later)) == 1


def test_brokers_that_tell_no_ids_are_taken_at_their_word() -> None:
    silent = Logs("", {EVENTS: Log("", 10, 100), COMMANDS: Log("", 0, 5)}, STATE, Log("", 0, 400))
    assert causes(FITS, silent) == []
    assert tuple(identity_of(silent)) == ("", {}, 0, 0)


IDS = {EVENTS: "e-1", COMMANDS: "c-1", STATE: "s-1"}


def test_a_later_look_that_shows_the_same_logs_changes_nothing() -> None:
    assert changed(LOGS, "cluster-1", IDS) == ""
    assert changed(LOGS, "", dict.fromkeys(IDS, "")) == ""


@pytest.mark.parametrize("topic", [EVENTS, COMMANDS, STATE])
def test_a_later_look_shows_a_topic_that_is_another_one_or_gone(topic: str) -> None:
    assert changed(LOGS, "cluster-1", IDS | {topic: "x"}) == f"the topic {topic} is another one than before"
    left = {name: known for name, known in IDS.items() if name != topic}
    assert changed(LOGS, "cluster-1", left) == f"the topic {topic} is gone"


def test_a_later_look_shows_another_cluster() -> None:
    assert "cluster-2" in changed(LOGS, "cluster-2", IDS)
