"""Mutants that change nothing anyone can observe, each with the reason; the proof neither tries nor counts them.

The key is the mutant's `change`: module, class and function, the text and what it becomes. An entry is written by hand
after its mutant survived, and goes when its code does (a unit test says so).
"""

EQUIVALENT: dict[str, str] = {
    "ledger.Ledger._apply: self._decoded[fact.id] = message -> pass": "the caller decodes the message again",
    "ledger.Ledger.reopen: self._to_visit = {} -> pass": "it is read once, just before; this frees its memory",
    "lane.Lane.push: len(self._queue) > QUEUED_RECORDS_MAX -> len(self._queue) >= QUEUED_RECORDS_MAX": "one sooner",
    "lane.Lane._steer: len(self._queue) > QUEUED_RECORDS_MAX -> len(self._queue) >= QUEUED_RECORDS_MAX": "one sooner",
    "lane.Lane._steer: backlog_bytes > BACKLOG_BYTES_MAX -> backlog_bytes >= BACKLOG_BYTES_MAX": "one byte sooner",
    "lane.Lane._steer: backlog_bytes < BACKLOG_BYTES_MAX // 2 -> backlog_bytes <= BACKLOG_BYTES_MAX // 2": "one byte"
    " sooner",
    "hearing._undo_next: last.unknown_until > at -> last.unknown_until >= at": "it is due at once",
    "finishing._is_long: due - since > TELLING_DELAY_SECONDS -> due - since >= TELLING_DELAY_SECONDS": "one instant"
    " sooner",
    "finishing.startable: item.message.at <= _moment(first) -> item.message.at < _moment(first)": "which of two of one"
    " instant comes first is nowhere promised",
    "lane.Lane.__init__: self._opened_at = 0.0 -> pass": "each opening sets it before it is read",
    "timers.Timers._thin: len(self._heap) > THINNED_FROM + 2 * self._count"
    " -> len(self._heap) >= THINNED_FROM + 2 * self._count": "the heap is made again one timer sooner",
}
