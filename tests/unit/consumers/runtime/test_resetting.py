"""What another position of a lane skips is said before it is written, and what the lane's last life left is kept."""

import msgspec
import pytest

from consumers.runtime.positions import causes, identity_of
from consumers.runtime.resetting import BeginFrom, InputReset, reset_of
from consumers.runtime.transport import Log, Logs, Position
from producers.errors import PositionLost

EVENTS, STATE = "order.events", "order.desk.state"


def logs(start: int, end: int, topic_id: str = "e-1", cluster_id: str = "c-1") -> Logs:
    return Logs(cluster_id, {EVENTS: Log(topic_id, start, end)}, STATE, Log("s-1", 0, 40))


FORMER = Position({EVENTS: 50}, False, "life", 2, {"a_step": "why"}, {"a_step": 5}, *identity_of(logs(0, 100)))


@pytest.mark.parametrize(
    ("begin_from", "now", "expected"),
    [
        # Records were deleted before they were read.
        ("beginning", logs(60, 100), InputReset(EVENTS, 50, 60, 100, 60, 10, 0, 0)),
        ("now", logs(60, 100), InputReset(EVENTS, 50, 60, 100, 100, 10, 40, 0)),
        # The log was truncated: what was written since is not told apart from what was read.
        ("beginning", logs(0, 30), InputReset(EVENTS, 50, 0, 30, 0, 0, 0, 30)),
        ("now", logs(0, 30), InputReset(EVENTS, 50, 0, 30, 30, 0, 30, 0)),
        # Another topic of the same name, or another cluster: nothing of it was read.
        ("beginning", logs(0, 100, "e-2"), InputReset(EVENTS, 50, 0, 100, 0, 0, 0, 0)),
        ("now", logs(3, 100, "e-2"), InputReset(EVENTS, 50, 3, 100, 100, 0, 97, 0)),
        ("beginning", logs(0, 100, "e-1", "c-2"), InputReset(EVENTS, 50, 0, 100, 0, 0, 0, 0)),
        # A position that fits: what was read is not read again.
        ("beginning", logs(0, 100), InputReset(EVENTS, 50, 0, 100, 50, 0, 0, 0)),
        ("now", logs(0, 100), InputReset(EVENTS, 50, 0, 100, 100, 0, 50, 0)),
    ],
)
def test_what_is_skipped_deleted_and_read_again_is_counted(
    begin_from: BeginFrom, now: Logs, expected: InputReset
) -> None:
    reset = reset_of("order.desk", 3, FORMER, True, now, begin_from)
    assert reset.inputs == (expected,)
    assert reset.position.offsets == {EVENTS: expected.begins_at}
    # The lane opens from there.
    assert causes(reset.position, now) == []


def test_why_the_lane_cannot_go_on_is_said() -> None:
    assert reset_of("order.desk", 3, FORMER, True, logs(0, 100), "now").causes == ()
    assert "begins at 60" in reset_of("order.desk", 3, FORMER, True, logs(60, 100), "now").causes[0]


def test_the_new_position_keeps_what_the_former_life_left() -> None:
    position = reset_of("order.desk", 3, FORMER, True, logs(60, 100, "e-2"), "beginning").position
    kept = msgspec.structs.replace(FORMER, offsets={EVENTS: 60}, topic_ids={EVENTS: "e-2", STATE: "s-1"})
    assert position == kept


@pytest.mark.parametrize(("has_journals", "clean"), [(True, False), (False, True)])
def test_where_no_position_is_left_journals_are_not_taken_for_a_clean_end(has_journals: bool, clean: bool) -> None:
    reset = reset_of("order.desk", 3, None, has_journals, logs(7, 100), "beginning")
    assert reset.inputs == (InputReset(EVENTS, None, 7, 100, 7, 0, 0, 0),)
    assert reset.position.clean is clean


def test_a_partition_that_does_not_exist_gets_no_position() -> None:
    gone = logs(0, 1)._replace(inputs={EVENTS: None})
    with pytest.raises(PositionLost, match=r"order\.events does not exist"):
        reset_of("order.desk", 3, None, False, gone, "now")
