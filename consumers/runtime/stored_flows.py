"""PURE: the flows that one lane has stored, and how this build's differs from each: compared once, not per saga."""

import logging

from consumers.runtime.flow_changes import Comparison
from consumers.runtime.flow_record import (
    FLOW_PREFIX,
    LAST_FLOW_KEY,
    FlowRecord,
    FlowUnreadable,
    decoded_flow,
    encoded_flow,
)
from consumers.runtime.view import View

log = logging.getLogger(__name__)


class StoredFlows:
    """The records under `flow/` in the lane's state partition, by fingerprint.

    `former_names` are the names that steps had in the lane's former life, by their names of now, where they differ.
    `also_heard` are the types that change no journal of this build, and that a held saga may wait for.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._stored: dict[str, bytes] = {}
        self._compared: dict[str, Comparison | None] = {}
        self._changed: dict[str, bytes | None] = {}
        self._last = ""
        self.former_names: dict[str, str] = {}
        self.also_heard: frozenset[str] = frozenset()

    def load_last(self, value: bytes | None) -> None:
        """Take the state record that tells with which flow the lane's former life carried its sagas."""
        self._last = (value or b"").decode(errors="replace")

    def __contains__(self, fingerprint: str) -> bool:
        """Whether a record of the flow is kept, readable or not."""
        return fingerprint in self._stored

    def load(self, fingerprint: str, value: bytes | None) -> None:
        """Take one state record; it replaces the one before."""
        self._stored.pop(fingerprint, None)
        if value is not None:
            self._stored[fingerprint] = value

    def flow(self, fingerprint: str) -> FlowRecord | None:
        """The stored flow, or None where there is none that this build can read."""
        value = self._stored.get(fingerprint)
        if value is None:
            return None
        try:
            return decoded_flow(value)
        except FlowUnreadable as error:
            told = {"participant": self._view.participant, "fingerprint": fingerprint, "cause": str(error)}
            log.warning("flow.unreadable", extra=told)
            return None

    def comparison(self, fingerprint: str) -> Comparison | None:
        """What has changed since that flow; None where nothing has, or it is not known."""
        if fingerprint not in self._compared:
            then = self.flow(fingerprint) if fingerprint != self._view.fingerprint else None
            kinds = self._view.graph.schema.messages
            self._compared[fingerprint] = None if then is None else Comparison(then, self._view.flow, kinds)
        return self._compared[fingerprint]

    def loaded(self, carried: set[str] | None) -> None:
        """All is loaded: forget the flows that no open saga was carried with. None where these are not all known."""
        former = self.flow(self._last)
        names = [(self._view.name_of(step.name), step.name) for step in former.steps] if former is not None else []
        self.former_names = {name: before for name, before in names if name != before}
        unused = self._stored.keys() - carried - {self._view.fingerprint} if carried is not None else ()
        for fingerprint in unused:
            del self._stored[fingerprint]
            self._changed[fingerprint] = None
        flows = [flow for one in self._stored if one != self._view.fingerprint and (flow := self.flow(one))]
        heard = {kind for flow in flows for step in flow.steps for kind in step.heard.union(flow.kept)}
        self.also_heard = frozenset(heard & self._view.kinds.keys() - self._view.of_interest)

    def take(self) -> dict[str, bytes | None]:
        """The state records that have changed since the last time, by their keys; this build's is among the first."""
        own = self._view.fingerprint
        if own not in self._stored:
            self._stored[own] = self._changed[own] = encoded_flow(self._view.flow)
        changed, self._changed = self._changed, {}
        state = {FLOW_PREFIX + fingerprint: value for fingerprint, value in changed.items()}
        if self._last != own:
            self._last = own
            state[LAST_FLOW_KEY] = own.encode()
        return state
