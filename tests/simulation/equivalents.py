"""Mutants that change nothing anyone can observe, each with the reason; the proof neither tries nor counts them.

The key is the mutant's `change`: module, class and function, the text and what it becomes. An entry is written by hand
after its mutant survived, and goes when its code does (a unit test says so).
"""

EQUIVALENT: dict[str, str] = {
    "ledger.Ledger._apply: self._decoded[fact.id] = message -> pass": "the caller decodes the message again",
    "timers.Timers._thin: len(self._heap) > THINNED_FROM + 2 * self._count"
    " -> len(self._heap) >= THINNED_FROM + 2 * self._count": "the heap is made again one timer sooner",
}
