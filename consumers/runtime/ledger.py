"""PURE: the journals of one lane. Records go in; items to start, records to say and a snapshot come out.

It knows the wire, but neither Kafka nor a clock: `now` is always given. `lane.py` drives it.
"""

import heapq
import logging
from collections import deque
from collections.abc import Iterable

import msgspec

from consumers.runtime import dead_letters
from consumers.runtime.finishing import Broke, Outcome, Spoke, finish, is_due, needs_barrier, startable
from consumers.runtime.hearing import hear, settle
from consumers.runtime.intake import fact_of, journal_for, known_command, misplaced, of_bearable_size, validated
from consumers.runtime.journal import Item, Journal
from consumers.runtime.judging import judged, missing_legs
from consumers.runtime.memory import Snapshot, Work
from consumers.runtime.speaking import outgoing, sayable
from consumers.runtime.utterances import Utterance
from consumers.runtime.view import View
from producers.errors import Unreadable
from producers.headers import HEARD_BYTES_MAX, NOOP_TYPE, read, type_of
from producers.records import Outgoing, Record

log = logging.getLogger(__name__)

# A repeated command must not start a saga anew that ended within the year.
CLOSED_RETENTION_SECONDS = 365 * 86_400.0

# Kafka refuses a state record above 8 MB; what outsiders put among a saga's events must not lead there.
JOURNAL_BYTES_MAX = 4 * 1024 * 1024

Mark = tuple[str, str]


class Ledger:
    """All journals of one participant's partition."""

    def __init__(self, view: View, partition: int, partitions: int, tenant: str) -> None:
        self.view, self.partition, self.partitions, self.tenant = view, partition, partitions, tenant
        self.journals: dict[str, Journal] = {}
        self.topics = view.graph.schema.topics
        self._touched: set[str] = set()
        self._hot: set[str] = set()
        self._outgoing: list[Outgoing] = []
        self._timers: list[tuple[float, str, str]] = []
        self._scheduled: set[tuple[float, str, str]] = set()
        self._unmarked: set[Mark] = set()
        self._asked: set[Mark] = set()
        self._marks: deque[tuple[dict[str, int], list[Mark]]] = deque()
        self._passed: dict[str, set[str]] = {}
        self._suspects: dict[Mark, None] = {}
        self._acquitted: set[Mark] = set()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The topics this participant hears; the door hears commands as well."""
        return (self.topics.events, self.topics.commands) if self.view.is_door else (self.topics.events,)

    def load(self, key: str, value: bytes | None) -> None:
        """Take one record of the state topic, in order; a later one replaces an earlier one."""
        if value is None:
            self.journals.pop(key, None)
        else:
            self.journals[key] = msgspec.msgpack.decode(value, type=Journal)

    def reopen(self, died: bool, now: float) -> None:
        """Called once, after all is loaded: what was running will run again.

        If the former life `died`, each item that may have been running is a suspect, and waits for `acquit` before it
        starts again; the death costs an attempt only those that were on trial in that life.
        """
        for journal in list(self.journals.values()):
            if journal.is_stale(now - CLOSED_RETENTION_SECONDS):
                del self.journals[journal.saga_id]
                self._touched.add(journal.saga_id)
                continue
            for item in list(journal.items.values()):
                if died and item.state in ("delayed", "waiting") and is_due(item, now):
                    # It may have been started since the last snapshot; the next one will know before it starts.
                    item.suspect = item.unsure = True
                # An item that was ready in the last snapshot may have been started right after it.
                began = item.state == "running" or (item.state == "ready" and not item.suspect)
                if began and (died or item.state == "running"):
                    item.state, item.unsure, item.due = "ready", True, None
                    if died:
                        # Only who was on trial is to blame: a step that merely runs long must not spend its budget
                        # by what its neighbours do.
                        item.attempt, item.suspect = item.attempt + item.on_trial, True
                    item.on_trial = False
                    self._touched.add(journal.saga_id)
            if journal.items or journal.is_failing:
                self._follow(journal, settle(journal, self.view, now), now, touch=False)

    def hear(self, record: Record, now: float, suspects: bool = False) -> None:
        """Fold one record of an input topic; `suspects` as in `reopen`, for what a former life may have begun."""
        is_command = record.topic == self.topics.commands
        wire_type = type_of(record.headers)
        if wire_type == NOOP_TYPE:
            return
        if not is_command and wire_type and wire_type not in self.view.of_interest and not self.view.is_door:
            return
        try:
            if is_command:
                self._hear_command(record, now, suspects)
            else:
                self._hear_event(record, now, suspects)
        except Unreadable as unreadable:
            if self.view.is_door:
                self._outgoing.append(dead_letters.unreadable(record, self.view, str(unreadable), wire_type, now))
        except Exception as error:
            # A mistake of ours must not stop the partition; it is as visible as any other dead letter.
            log.exception("ledger.could_not_hear", extra={"participant": self.view.participant, "type": wire_type})
            reason = f"{self.view.participant} could not hear it: {error!r}"
            self._outgoing.append(dead_letters.unreadable(record, self.view, reason, wire_type, now))

    def _hear_event(self, record: Record, now: float, suspects: bool) -> None:
        heard = read(record, self.tenant)
        if heard.type not in self.view.graph.schema.events():
            raise Unreadable(f"nobody says {heard.type!r} in {self.topics.events}")
        if heard.type not in self.view.of_interest and not self.view.is_door:
            return
        if len(heard.body) > HEARD_BYTES_MAX:
            raise Unreadable(f"too large: an event has at most {HEARD_BYTES_MAX} bytes, this one {len(heard.body)}")
        fact = fact_of(heard, validated(self.view, heard), record.at)
        if heard.type not in self.view.of_interest:
            return
        journal = self.journals.get(heard.saga_id) or journal_for(heard)
        is_owed = heard.type in self.view.decisive or heard.id in journal.awaiting
        if not is_owed and journal.body_bytes() + len(fact.body) > JOURNAL_BYTES_MAX:
            log.warning("ledger.journal_full", extra={"participant": self.view.participant, "saga_id": heard.saga_id})
            raise Unreadable(f"{heard.saga_id} has more than {JOURNAL_BYTES_MAX} bytes of facts already")
        ready = {item.id for item in journal.items.values() if item.state == "ready"}
        utterances = hear(journal, self.view, fact)
        if journal.is_void() and heard.saga_id not in self.journals:
            return
        self.journals[heard.saga_id] = journal
        if suspects:
            for item in journal.items.values():
                if item.state == "ready" and item.id not in ready and not item.undoes:
                    item.suspect = item.unsure = True
        self._follow(journal, utterances, now)

    def _hear_command(self, record: Record, now: float, suspects: bool) -> None:
        heard = read(record, self.tenant)
        of_bearable_size(heard)
        elsewhere = misplaced(record, heard, self.partitions)
        if elsewhere is not None:
            self._outgoing.append(elsewhere)
            return
        known_command(self.view, heard)
        journal = self.journals.get(heard.saga_id) or journal_for(heard)
        step = next(iter(self.view.hearers.get(heard.type, ())), None)
        name = step.name if step else heard.type
        fact = fact_of(heard, validated(self.view, heard), record.at)
        item = Item(f"{name}/{heard.id}", name, fact, command=True, suspect=suspects)
        item.budget = step.retry.attempts if step else 1
        if heard.id in journal.answered or item.id in journal.items:
            return
        self.journals[heard.saga_id] = journal
        journal.items[item.id] = item
        self._follow(journal, (), now)

    def fire(self, now: float) -> None:
        """Wake the items that have become due."""
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)
            self._scheduled.discard(timer)
            _, saga_id, item_id = timer
            journal = self.journals.get(saga_id)
            item = journal.items.get(item_id) if journal else None
            if item is None or not is_due(item, now):
                continue
            self._ask(saga_id, item)
            self._hot.add(saga_id)

    def _ask(self, saga_id: str, item: Item) -> None:
        """Have the lane ask where its inputs end now, if the item must wait until they are heard up to there."""
        mark = (saga_id, item.id)
        if needs_barrier(item) and mark not in self._asked:
            self._asked.add(mark)
            self._unmarked.add(mark)

    def next_due(self) -> float | None:
        """When the next timer is due, in seconds of the broker's clock."""
        return self._timers[0][0] if self._timers else None

    def unmarked(self) -> list[Mark]:
        """The items for which the lane must ask where its inputs end now; asked for once."""
        marks = list(self._unmarked)
        self._unmarked.clear()
        return marks

    def mark(self, marks: list[Mark], ends: dict[str, int]) -> None:
        """These items may be judged once the inputs are heard up to `ends`."""
        self._marks.append((ends, marks))

    def heard_up_to(self, positions: dict[str, int]) -> None:
        """The inputs are heard up to here: the items behind this barrier may be judged."""
        while self._marks and all(positions.get(topic, 0) >= end for topic, end in self._marks[0][0].items()):
            for saga_id, item_id in self._marks.popleft()[1]:
                self._passed.setdefault(saga_id, set()).add(item_id)
                self._hot.add(saga_id)

    def startable(self, now: float, most: int) -> list[Work]:
        """At most `most` items to start now; each is running from here on, until `finish`."""
        works: list[Work] = []
        while self._hot and len(works) < most:
            saga_id = self._hot.pop()
            journal = self.journals.get(saga_id)
            if journal is None:
                continue
            passed = self._passed.get(saga_id, set())
            for item in startable(journal, self.view, now, passed):
                if item.suspect and (saga_id, item.id) not in self._acquitted:
                    self._suspects[(saga_id, item.id)] = None
                    continue
                self._acquitted.discard((saga_id, item.id))
                passed.discard(item.id)
                self._asked.discard((saga_id, item.id))
                work = self._begin(journal, item, now)
                if work is not None:
                    works.append(work)
            if not passed:
                self._passed.pop(saga_id, None)
            # The clock may have gone back since a timer fired.
            self._schedule(journal, later_than=now)
        return works

    def _begin(self, journal: Journal, item: Item, now: float) -> Work | None:
        """Mark the item as running; None where its outcome is known without asking the step."""
        late = item.state == "joining"
        item.state, item.due, item.started_at = "running", None, now
        self._touched.add(journal.saga_id)
        owner = self.view.undos.get(item.step) if item.undoes else self.view.steps.get(item.step)
        outcome: Outcome | None = judged(journal, self.view, item) if item.command else None
        if late:
            outcome = Broke("JoinTimedOut", missing_legs(self.view, item), permanent=True)
        elif item.attempt > item.budget:
            outcome = Broke("WorkerDied", "the worker died each time while this ran", permanent=True)
        elif outcome is None and owner is None:
            outcome = Broke("StepMissing", f"no step is called {item.step}", permanent=True)
        if outcome is None and owner is not None:
            return Work(journal, item, owner)
        if outcome is not None:
            self.finish(journal.saga_id, item, outcome, now)
        return None

    def finish(self, saga_id: str, item: Item, outcome: Outcome, now: float) -> None:
        """Note how a running item ended; an item dropped meanwhile is ignored."""
        journal = self.journals.get(saga_id)
        if journal is None:
            return
        if isinstance(outcome, Spoke) and outcome.event is not None:
            outcome = sayable(outcome.event)
        self._follow(journal, finish(journal, self.view, item, outcome, now), now)

    def _follow(self, journal: Journal, utterances: Iterable[Utterance], now: float, touch: bool = True) -> None:
        """After every change of a journal: say what is to be said, and see to its timers."""
        for utterance in utterances:
            touch = True
            self._outgoing.extend(outgoing(journal, self.view, self.partition, utterance, now))
        if touch:
            self._touched.add(journal.saga_id)
        self._hot.add(journal.saga_id)
        for item in journal.items.values():
            if item.state == "ready":
                self._ask(journal.saga_id, item)
        self._schedule(journal, later_than=float("-inf"))

    def _schedule(self, journal: Journal, later_than: float) -> None:
        """See that every item that waits for a time later than this one has its timer."""
        for item in journal.items.values():
            timer = (item.due or 0.0, journal.saga_id, item.id)
            if item.due is not None and item.due > later_than and timer not in self._scheduled:
                self._scheduled.add(timer)
                heapq.heappush(self._timers, timer)

    def is_waiting(self) -> bool:
        """Whether items wait for their barrier."""
        return bool(self._marks)

    def has_suspects(self) -> bool:
        """Whether items that may have killed a worker wait to be acquitted before they start."""
        return bool(self._suspects)

    def acquit(self, all_of_them: bool) -> Mark | None:
        """Let all suspects start, or the one that was running at the most deaths, which is returned."""
        if not self._suspects:
            return None
        worst = max(self._suspects, key=self._deaths)
        for mark in list(self._suspects) if all_of_them else [worst]:
            del self._suspects[mark]
            self._acquitted.add(mark)
            self._try(mark, on_trial=True)
            self._hot.add(mark[0])
        return worst

    def release(self, mark: Mark) -> None:
        """The item has run for so long without killing the worker that it is no suspect any more."""
        self._try(mark, on_trial=False)

    def _try(self, mark: Mark, on_trial: bool) -> None:
        journal = self.journals.get(mark[0])
        item = journal.items.get(mark[1]) if journal else None
        if item is not None:
            item.on_trial, item.suspect = on_trial, on_trial
            self._touched.add(mark[0])

    def _deaths(self, mark: Mark) -> int:
        journal = self.journals.get(mark[0])
        item = journal.items.get(mark[1]) if journal else None
        return item.attempt if item else 0

    def is_suspect(self, mark: Mark) -> bool:
        """Whether the item is there and has not ended since it came under suspicion."""
        journal = self.journals.get(mark[0])
        item = journal.items.get(mark[1]) if journal else None
        return item is not None and item.suspect

    def has_news(self) -> bool:
        """Whether something waits to be said."""
        return bool(self._outgoing)

    def is_touched(self) -> bool:
        """Whether any journal differs from what was last taken."""
        return bool(self._touched)

    def take(self) -> Snapshot:
        """What one transaction writes: all that was said, and every journal touched since the last one."""
        state: dict[str, bytes | None] = {}
        for saga_id in self._touched:
            journal = self.journals.get(saga_id)
            if journal is None or journal.is_void():
                self.journals.pop(saga_id, None)
                state[saga_id] = None
            else:
                state[saga_id] = msgspec.msgpack.encode(journal)
        said, self._outgoing, self._touched = self._outgoing, [], set()
        return Snapshot(said, state)
