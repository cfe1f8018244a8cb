"""The logs that a lane reads: those it has opened with, what speaks against them since, and why it stays closed."""

import logging
from collections.abc import Mapping

from consumers.runtime.positions import causes, changed, identity_of, start_offsets
from consumers.runtime.transport import Logs, Position
from consumers.runtime.trials import Transactions
from producers.errors import LaneLost

log = logging.getLogger(__name__)


class LaneLogs:
    """See the module. `position_lost` says why no position fits, with the command that helps; empty where one does.

    `identity` is what the lane commits with its position. `transactions` are the lane's.
    """

    def __init__(self, lane: str, transactions: Transactions) -> None:
        self._lane, self._transactions = lane, transactions
        self._logs = Logs("", {}, "", None)
        self._position: Position | None = None
        self._is_open = False
        self._doubt = ""
        # How many transactions were begun at the last look, and where the state topic ended at the last but one.
        self._begun = -1
        self._state_end: int | None = None
        self.identity = identity_of(self._logs)
        self.position_lost = ""

    def open(self, position: Position | None, logs: Logs) -> dict[str, int]:
        """Return where the lane begins to read; raises `PositionLost` where the position does not fit the logs."""
        self._position, self._logs = position, logs
        participant, _, partition = self._lane.rpartition(".")
        offsets = start_offsets(participant, partition, position, logs)
        self.identity, self.position_lost, self._doubt, self._is_open = identity_of(logs), "", "", True
        return offsets

    def close(self) -> None:
        """The lane is not open; what a look shows is not compared with anything."""
        self._is_open, self._begun = False, -1

    def lose(self, cause: str) -> None:
        """Note why no position fits; a cause is logged once."""
        if cause != self.position_lost:
            log.error("lane.position_lost", extra={"lane": self._lane, "cause": cause})
        self.position_lost = cause

    def may_fit(self, logs: Logs) -> bool:
        """Whether the position fits these logs, or the state topic has got another record since it did not."""
        return logs.state != self._logs.state or not causes(self._position, logs)

    def check(self) -> None:
        """Raise `LaneLost` where a look has shown something that the lane must open again for."""
        if self._doubt:
            raise LaneLost(self._doubt)

    def compare(self, cluster_id: str, topic_ids: Mapping[str, str]) -> bool:
        """Take a look at the cluster; whether the lane must open again: a log is not the one that it reads."""
        return self._note(changed(self._logs, cluster_id, topic_ids))

    def compare_ends(self, read: Mapping[str, int], ends: Mapping[str, int | None]) -> bool:
        """Take a look at where the logs end, asked after the lane had read them up to `read`.

        Returns whether it must open again: it has read more than there is, or another client has written to its state.
        """
        beyond = next((topic for topic, at in read.items() if (end := ends.get(topic)) is not None and end < at), None)
        if beyond is not None:
            return self._note(f"{beyond} ends before what was read of it")
        begun, end = self._transactions.begun, ends.get(self._logs.state_topic)
        if begun != self._transactions.committed or begun != self._begun:
            # The marker of the last transaction comes a moment after its commit.
            self._begun, self._state_end = begun, None
            return False
        before, self._state_end = self._state_end, end
        if before is not None and end is not None and before != end:
            return self._note("another client has written to its state topic")
        return False

    def _note(self, cause: str) -> bool:
        if cause and self._is_open:
            self._doubt = cause
        return bool(cause and self._is_open)
