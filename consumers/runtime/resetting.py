"""PURE: what another position of a lane would skip, and that position."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from consumers.runtime.positions import causes, identity_of
from consumers.runtime.transport import Log, Logs, Position
from producers.errors import PositionLost

BeginFrom = Literal["beginning", "now"]


@dataclass(frozen=True)
class InputReset:
    """One input of the lane, in offsets; a log has at most as many records, for markers of transactions count.

    `position` is None where there is none. `deleted` were removed before the lane has read them, `skipped` exist and
    will not be read, `repeated` may have been read before.
    """

    topic: str
    position: int | None
    log_start: int
    log_end: int
    begins_at: int
    deleted: int
    skipped: int
    repeated: int


@dataclass(frozen=True)
class Reset:
    """A lane with another position. `causes` say why it cannot go on from the present one, if it cannot."""

    participant: str
    partition: int
    begin_from: BeginFrom
    causes: tuple[str, ...]
    inputs: tuple[InputReset, ...]
    position: Position


def reset_of(
    participant: str, partition: int, former: Position | None, has_journals: bool, logs: Logs, begin_from: BeginFrom
) -> Reset:
    """Return what begins where, once the lane's position is reset.

    "beginning" is the first record of a log that the lane has not read: the log's start, or the lane's position where
    that fits. What it has read is not read again, or it would say again what it has said.

    The new position keeps what the former one says of the lane's last life: an outcome that was unknown still is.

    Raises:
        PositionLost: an input does not exist, so that no position in it helps.
    """
    found = causes(former, logs)
    inputs = [_input(topic, _existing(topic, log), former, logs, begin_from) for topic, log in logs.inputs.items()]
    kept = former or Position({}, clean=not has_journals)
    offsets = {one.topic: one.begins_at for one in inputs}
    position = msgspec.structs.replace(kept, offsets=offsets, **identity_of(logs)._asdict())
    return Reset(participant, partition, begin_from, tuple(found), tuple(inputs), position)


def _existing(topic: str, log: Log | None) -> Log:
    if log is None:
        raise PositionLost(f"{topic} does not exist, or has no such partition: `soma topics apply` creates topics")
    return log


def _input(topic: str, log: Log, former: Position | None, logs: Logs, begin_from: BeginFrom) -> InputReset:
    position = former.offsets.get(topic) if former is not None and is_of_this_log(topic, log, former, logs) else None
    first_unread = position if position is not None and log.start <= position <= log.end else log.start
    begins_at = log.end if begin_from == "now" else first_unread
    return InputReset(
        topic=topic,
        position=former.offsets.get(topic) if former is not None else None,
        log_start=log.start,
        log_end=log.end,
        begins_at=begins_at,
        deleted=max(0, log.start - position) if position is not None else 0,
        skipped=begins_at - first_unread,
        repeated=max(0, log.end - begins_at) if position is not None and position > log.end else 0,
    )


def is_of_this_log(topic: str, log: Log, position: Position, logs: Logs) -> bool:
    """Whether the position is not known to belong to another log."""
    known, now = position.topic_ids.get(topic, ""), log.topic_id
    is_same_cluster = not position.cluster_id or not logs.cluster_id or position.cluster_id == logs.cluster_id
    return is_same_cluster and (not known or not now or known == now)
