"""PURE: does a lane's position fit the logs as the cluster has them now, and where does the lane begin to read.

A position belongs to one log: a topic with its id, on one cluster. Where the log has another id, begins behind the
position or ends before it, records would be stepped over. The lane then does not open until an operator has reset it.
"""

import logging
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from consumers.runtime.transport import FIRST_POSITION_KEY, POSITION_KEY, Log, Logs, Position, place_of
from producers.errors import PositionLost

log = logging.getLogger(__name__)


def reset_command(participant: str, partition: str | int) -> str:
    """Return the command that gives a lane another position."""
    return f"soma topics apply --reset {participant} --partition {partition} --from beginning|now"


def start_offsets(participant: str, partition: str | int, position: Position | None, logs: Logs) -> dict[str, int]:
    """Return where the lane begins to read each input: at its position, or at the start of a topic that is new to it.

    Raises:
        PositionLost: the position does not fit the logs; the text says why, and names the command that helps.
    """
    found = causes(position, logs)
    if position is None or found:
        command = reset_command(participant, partition)
        raise PositionLost(f"{'; '.join(found)}. `{command}` says what is skipped, and sets a position")
    return {topic: position.offsets.get(topic, log.start) for topic, log in logs.inputs.items() if log is not None}


def causes(position: Position | None, logs: Logs) -> list[str]:
    """Return why the lane cannot go on from this position, one phrase for each cause; nothing where it can.

    A phrase follows the name of the lane.
    """
    if position is None:
        return [f"has no position in its state topic {logs.state_topic}, or one that cannot be read"]
    if position.cluster_id and logs.cluster_id and position.cluster_id != logs.cluster_id:
        # Topic ids and offsets of another cluster mean nothing.
        return [f"has a position on the cluster {position.cluster_id}, and this is the cluster {logs.cluster_id}"]
    if position.partitions and logs.partitions and position.partitions != logs.partitions:
        return [
            f"was one of {position.partitions} lanes, and by the partitions of its topics there are {logs.partitions}"
            " by now: a saga's records would be looked for in another partition than they stand in"
        ]
    found: list[str] = []
    for topic, log in (*logs.inputs.items(), (logs.state_topic, logs.state)):
        cause = _cause(topic, log, position)
        if cause:
            found.append(cause)
    state = logs.state
    if not found and state is not None and position.state_start is not None and state.start > position.state_start:
        found.append(
            f"lacks a part of its state: {logs.state_topic} begins at {state.start}, and began at"
            f" {position.state_start}: records were deleted, or its cleanup.policy is no longer compact alone"
        )
    return found


def _cause(topic: str, log: Log | None, position: Position) -> str:
    if log is None:
        return f"reads {topic}, which does not exist or has no such partition"
    known = position.topic_ids.get(topic, "")
    if known and log.topic_id and known != log.topic_id:
        return f"has a position in the topic {topic} with id {known}; it was deleted, and made again as {log.topic_id}"
    offset = position.offsets.get(topic)
    if offset is None:
        return ""
    if offset < log.start:
        return f"has position {offset} in {topic}, which begins at {log.start}: records were deleted unread"
    if offset > log.end:
        return f"has position {offset} in {topic}, which ends at {log.end}: it was truncated, or made again"
    return ""


class StoredPosition:
    """A lane's position as its state topic has it, record by record.

    One that this build cannot read counts as none: the lane stays closed until an operator has reset it. The first
    position does not stand in for it, or the lane would read everything again.
    """

    def __init__(self) -> None:
        self._found: dict[str, Position | None] = {}

    def take(self, key: str, value: bytes | None) -> bool:
        """Note one record; returns whether it is one of a position."""
        if key not in (POSITION_KEY, FIRST_POSITION_KEY):
            return False
        if value is not None:
            try:
                self._found[key] = msgspec.msgpack.decode(value, type=Position)
            except msgspec.MsgspecError as error:
                log.error("lane.position_unreadable", extra={"key": key, "error": str(error)})
                self._found[key] = None
        return True

    @property
    def position(self) -> Position | None:
        """The position that counts now, or None."""
        return self._found[POSITION_KEY] if POSITION_KEY in self._found else self._found.get(FIRST_POSITION_KEY)


class Identity(NamedTuple):
    """What a position says of the logs that it belongs to; the last fields of `Position`."""

    cluster_id: str
    topic_ids: dict[str, str]
    state_start: int | None
    partitions: int


def identity_of(logs: Logs) -> Identity:
    """Return the identity of these logs, as far as the brokers tell it."""
    known = {**logs.inputs, logs.state_topic: logs.state}
    topic_ids = {topic: log.topic_id for topic, log in known.items() if log is not None and log.topic_id}
    return Identity(logs.cluster_id, topic_ids, None if logs.state is None else logs.state.start, logs.partitions)


def changed(logs: Logs, cluster_id: str, topic_ids: Mapping[str, str]) -> str:
    """Return which log is another one than the lane has opened with, by a later look; nothing where all are the same.

    A topic that the look did not find has no entry in `topic_ids`.
    """
    if logs.cluster_id and cluster_id and cluster_id != logs.cluster_id:
        return f"this is the cluster {cluster_id}, no longer {logs.cluster_id}"
    for topic, log in (*logs.inputs.items(), (logs.state_topic, logs.state)):
        name = place_of(topic, 0)[0]
        if log is None or not log.topic_id:
            continue
        if name not in topic_ids:
            return f"the topic {name} is gone"
        if topic_ids[name] and topic_ids[name] != log.topic_id:
            return f"the topic {name} is another one than before"
    return ""
