"""PURE: the journals of one lane. Records go in; items to start, records to say and a snapshot come out.

It knows the wire, but neither Kafka nor a clock: `now` is always given. `lane.py` drives it.
"""

import logging
from collections.abc import Iterable, Sequence
from itertools import islice

from consumers.runtime import dead_letters
from consumers.runtime.backlog import Backlog
from consumers.runtime.barriers import Barriers
from consumers.runtime.carrying import Carrier
from consumers.runtime.finishing import (
    Blocked,
    Broke,
    Outcome,
    Spoke,
    delayed_by,
    finish,
    is_due,
    is_repeated,
    needs_barrier,
    note_answered,
    startable,
)
from consumers.runtime.flow_record import FLOW_PREFIX, LAST_FLOW_KEY
from consumers.runtime.former_life import Ending, assume_begun, mark_begun
from consumers.runtime.hearing import hear, settle
from consumers.runtime.intake import (
    command_in,
    event_in,
    fact_of,
    forwarded,
    journal_for,
    misplaced,
    of_bearable_size,
)
from consumers.runtime.journal import Fact, Item, Journal, JournalUnreadable, dues_of
from consumers.runtime.journals import DECODED_JOURNALS_MAX, Journals
from consumers.runtime.judging import foregone
from consumers.runtime.limits import bytes_of, bytes_once, full_of_commands, full_of_events
from consumers.runtime.memory import UNLIMITED, Memory, Room, Snapshot, Work
from consumers.runtime.pausing import Pauses
from consumers.runtime.quarantine import ENGINE_FAULT, Attempt, CountFault, Faults, hold, uncounted, words_of
from consumers.runtime.speaking import fitting, outgoing
from consumers.runtime.suspects import Suspects
from consumers.runtime.timers import Mark, Timers
from consumers.runtime.unfit import changed
from consumers.runtime.unread import ASIDE_PREFIX, UnreadJournals
from consumers.runtime.utterances import Failure, Utterance, command_refused, compensation_stuck, step_paused
from consumers.runtime.view import View
from producers.errors import Unreadable
from producers.headers import NOOP_TYPE, Heard, is_each_once, read, type_in_place, type_of
from producers.records import Headers, Outgoing, Record
from schemas.engine import ItemResumed, ItemSkipped, StepResumed
from schemas.message import Message

log = logging.getLogger(__name__)

# A repeated command must not start a saga anew that ended within the year.
CLOSED_RETENTION_SECONDS = 365 * 86_400.0

# Ten thousand timers may come due at once; a lane does other things in between.
LOOKED_AT_ONCE = 2_000
# A build may hold ten thousand sagas, and each is told of.
CARRIED_AT_ONCE = 500


class Ledger(Memory):
    """All journals of one participant's partition. From `decoded_most` on, those of which nothing runs are encoded."""

    def __init__(
        self,
        view: View,
        partition: int,
        partitions: int,
        tenant: str,
        decoded_most: int = DECODED_JOURNALS_MAX,
        count_fault: CountFault = uncounted,
    ) -> None:
        self.view, self.partition, self.partitions, self.tenant = view, partition, partitions, tenant
        self.topics = view.graph.schema.topics
        # Only the door must know of a saga that has ended: it alone could start it anew.
        self._faults = Faults(view.participant, count_fault)
        self._kept = Journals(decoded_most, view.is_door, self._faults, view.fingerprint)
        self._carrier = Carrier(view)
        self._to_carry: dict[str, None] = {}
        self._unread = UnreadJournals(view, partition)
        self._ending: Ending = "clean"
        self._of_no_interest = view.of_no_interest
        self.journals = self._kept.decoded
        self._hot: dict[str, None] = {}
        self._outgoing: list[Outgoing] = []
        self._timers = Timers()
        self._barriers = Barriers()
        self._suspects = Suspects(self._item)
        self._pauses = Pauses()
        self._decoded: dict[str, Message] = {}
        self._backlog = Backlog(view, self._is_paused)
        self._to_visit: dict[str, None] = {}
        self._condemned: dict[Mark, str] = {}

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.topics.events, self.topics.commands) if self.view.is_door else (self.topics.events,)

    @property
    def deferrable(self) -> tuple[str, ...]:
        # The door waits to hear its own last word before it goes on; it must go on hearing events. What waits for a
        # command (an approval, a cancel) does not count in the backlog, so it cannot keep that command from being read.
        return (self.topics.commands,) if self.view.is_door else (self.topics.events,)

    def ignores(self, headers: Headers) -> bool:
        # Of a header that stands there twice the last one counts, as in `read`.
        return type_in_place(headers) in self._of_no_interest and is_each_once(headers)

    def load_other(self, key: str, value: bytes | None) -> None:
        if key.startswith(FLOW_PREFIX):
            self._carrier.stored.load(key.removeprefix(FLOW_PREFIX), value)
        elif key == LAST_FLOW_KEY:
            self._carrier.stored.load_last(value)
        elif key.startswith(ASIDE_PREFIX):
            self._unread.load(key.removeprefix(ASIDE_PREFIX), value)

    def load(self, key: str, value: bytes | None) -> None:
        try:
            journal = self._kept.load(key, value)
        except JournalUnreadable as error:
            log.error("ledger.journal_unread", extra={"participant": self.view.participant, "saga_id": key})
            self._unread.put(key, str(error))
            journal = None
        if journal is not None and (self._must_look_at(journal) or self._unread.is_readable_again(key)):
            self._to_carry[key] = None
        dues = dues_of(journal) if journal else {}
        self._timers.keep(key, dues)
        states = {item.state for item in journal.items.values()} if journal else set()
        if journal is not None and (journal.is_failing or states & {"ready", "running"}):
            self._to_visit[key] = None

    def _must_look_at(self, journal: Journal) -> bool:
        try:
            return self._carrier.must_look_at(journal)
        except Exception as error:
            self._faults.note("carry", journal.saga_id, error)
            return True

    def reopen(self, ending: Ending, now: float) -> None:
        """Called once, after all is loaded: what the former life was running will run again."""
        self._carrier.loaded(all_are_read=not self._unread.causes)
        self._ending = ending
        self._of_no_interest -= {kind.encode() for kind in self._carrier.stored.also_heard}
        # What waits for a time to come changes nothing now, and is not even decoded.
        is_unclean = ending != "clean"
        to_visit = self._to_visit | dict.fromkeys(mark[0] for mark in self._timers.due(now) if is_unclean)
        self._to_visit = {}
        for saga_id in to_visit:
            journal = self._kept.find(saga_id)
            if journal is None:
                continue
            with self._attempt("reopen", journal):
                if assume_begun(journal, self.view, ending, now):
                    self._kept.touch(journal)
                if saga_id in self._to_carry:
                    self._carry(journal, now)
                # Settling may change it; what is only to be looked at stays encoded.
                self._follow(journal, settle(journal, self.view, now), now, touch=journal.is_failing)

    def _carry(self, journal: Journal, now: float) -> None:
        """Look at a saga of another flow before anything of it is applied or started."""
        del self._to_carry[journal.saga_id]
        with self._attempt("carry", journal) as attempt:
            said = self._unread.read_again(journal, now) + self._carrier.carry(journal, self._ending, now)
            self._follow(journal, said + settle(journal, self.view, now), now)
        if attempt.error is not None:
            # What is not known to be carried well is not carried.
            with self._attempt("hold", journal):
                cause = changed(f"what has changed could not be found: {words_of(attempt.error)}")
                self._follow(journal, [self._carrier.hold(journal, cause, now)], now)
        for fact in self._unread.taken(journal.saga_id):
            with self._attempt("carry", journal) as attempt:
                self._follow(journal, self._carrier.apply(journal, fact), now)
            if attempt.error is not None:
                self._hold(journal, fact, None, attempt.error, now)

    def hear(self, record: Record, now: float, ending: Ending = "clean") -> None:
        """Apply one record of an input topic; `ending` is that of the life that may have read it before."""
        is_command = record.topic == self.topics.commands
        in_place = type_in_place(record.headers)
        wire_type = in_place.decode(errors="replace") if in_place else type_of(record.headers)
        if wire_type == NOOP_TYPE:
            return
        if record.partition >= self.partitions and not is_command and self.view.is_door:
            self._forward_event(record, wire_type, now)
            return
        if not is_command and wire_type and wire_type not in self.view.of_interest and not self.view.is_door:
            # Another header may name another type.
            if not in_place or is_each_once(record.headers):
                if wire_type not in self.view.kinds or wire_type in self._carrier.stored.also_heard:
                    self._park(record, "this build has no message of that type", now)
                return
        try:
            if is_command:
                self._hear_command(record, now, ending)
            else:
                self._hear_event(record, now, ending)
                if self.view.is_door and wire_type in self._carrier.stored.also_heard:
                    self._park(record, "", now)
        except Unreadable as unreadable:
            if (is_command or not self._park(record, str(unreadable), now)) and self.view.is_door:
                self._refuse(record, str(unreadable), wire_type, now)
        except Exception as error:
            # A mistake of ours, before there was a journal to change.
            self._faults.note("decode", "", error)
            self.refuse(record, words_of(error), now)

    def _park(self, record: Record, reason: str, now: float) -> bool:
        """Hold the saga of an event that this build cannot read; returns False for what no saga waits for."""
        try:
            heard = read(record, self.tenant)
        except Unreadable:
            return False
        fact = fact_of(heard, heard.body, record.at)
        journal = self._journal_for(heard, now)
        if journal is None:
            is_of_flow = self._carrier.is_of_flow(heard.saga_id, fact)
            if is_of_flow:
                self._set_aside(record, heard, fact, None, now)
            return is_of_flow
        if not self._carrier.concerns(journal, fact):
            return False
        size_bytes = bytes_once(fact)
        full = full_of_events(journal, size_bytes, self._kept.sizes)
        if full:
            self.refuse(record, full, now)
            return True
        with self._attempt("park", journal) as attempt:
            if fact.type in self.view.ends or journal.closed_at is not None:
                # An end says all it has to say by its type.
                said = hear(journal, self.view, fact, Message.model_construct(saga_id=heard.saga_id))
            else:
                said = self._carrier.park(journal, fact, reason)
                self._kept.sizes.add(journal.saga_id, size_bytes)
            self._follow(journal, said, now)
        return attempt.error is None

    def _set_aside(self, record: Record, heard: Heard, fact: Fact, message: Message | None, now: float) -> None:
        """Keep the event of a saga whose state record this build cannot read."""
        empty = journal_for(heard)
        said, full = self._unread.park(empty, fact, message)
        if full:
            self.refuse(record, full, now)
        self._say_aside(empty, said, now)
        if empty.closed_at is not None:
            # An operator has given the record up.
            self._kept.touch(empty)

    def _say_aside(self, empty: Journal, said: Iterable[Utterance], now: float) -> None:
        """Tell of a saga without touching its state record, which stays as it is."""
        for utterance in said:
            self._outgoing += outgoing(empty, self.view, self.partition, utterance, now)

    def _forward_event(self, record: Record, wire_type: str, now: float) -> None:
        """Another client's partitioner has put it into a partition that was added; all lanes read it in its own one."""
        try:
            self._outgoing.append(forwarded(record, self.tenant, self.partitions))
        except Unreadable as unreadable:
            self._refuse(record, str(unreadable), wire_type, now)

    def refuse(self, record: Record, reason: str, now: float) -> None:
        reason = f"{self.view.participant} could not hear it: {reason}"
        self._refuse(record, reason, type_of(record.headers), now)

    def _refuse(self, record: Record, reason: str, wire_type: str, now: float) -> None:
        # The dead letters have no partition beside an added one.
        letter = dead_letters.unreadable(record, self.view, reason, wire_type, now, self.partition)
        self._outgoing.append(letter)

    def condemn(self, mark: Mark, cause: str) -> None:
        self._condemned[mark] = cause

    def _attempt(self, call: str, journal: Journal) -> Attempt:
        return Attempt(self._faults, call, journal.saga_id, journal, self._outgoing, journal.items.values())

    def _hear_event(self, record: Record, now: float, ending: Ending) -> None:
        decoded = event_in(self.view, record, self.tenant)
        if decoded is None:
            return
        heard, message, fact = decoded
        if isinstance(message, StepResumed):
            self._resume_step(message)
            return
        journal = self._journal_for(heard, now)
        if journal is None:
            self._set_aside(record, heard, fact, message, now)
            return
        if journal.closed_at is not None and heard.id not in journal.awaiting:
            return
        is_owed = heard.type in self.view.owed or heard.id in journal.awaiting
        size_bytes = bytes_of(self.view, fact)
        full = "" if is_owed else full_of_events(journal, size_bytes, self._kept.sizes)
        if full:
            log.warning("ledger.journal_full", extra={"participant": self.view.participant, "saga_id": heard.saga_id})
            self.refuse(record, full, now)
            return
        with self._attempt("hear", journal) as attempt:
            self._apply(journal, fact, message, now, ending)
            if size_bytes and journal.saga_id in self.journals:
                self._kept.sizes.add(journal.saga_id, size_bytes)
        if attempt.error is not None:
            self.refuse(record, words_of(attempt.error), now)
            self._hold(journal, fact, message, attempt.error, now)

    def _apply(self, journal: Journal, fact: Fact, message: Message, now: float, ending: Ending) -> None:
        saga_id = journal.saga_id
        ready = frozenset() if ending == "clean" else {one.id for one in journal.items.values() if one.state == "ready"}
        utterances = hear(journal, self.view, fact, message)
        if journal.hold is not None and isinstance(message, ItemResumed | ItemSkipped):
            utterances += self._carrier.freed(journal, fact, message)
        if journal.is_void() and saga_id not in self.journals:
            return
        if ending != "clean":
            for item in self._carrier.named_as_before(journal, ready):
                if item.state == "ready" and item.id not in ready and not item.undoes:
                    mark_begun(item, self.view, ending, now)
        self._decoded[fact.id] = message
        self._follow(journal, utterances, now)
        for item in journal.items.values():
            if item.state == "ready":
                self._backlog.heard(len(fact.body))
                break

    def _hold(self, journal: Journal, fact: Fact, message: Message | None, error: Exception, now: float) -> None:
        """The event could not be applied: hold the saga here, visibly."""
        with self._attempt("hold", journal):
            utterances = hold(journal, self.view, fact, message, error)
            self._follow(journal, utterances, now)

    def _hear_command(self, record: Record, now: float, ending: Ending) -> None:
        heard = read(record, self.tenant)
        of_bearable_size(heard)
        elsewhere = misplaced(record, heard, self.partitions)
        if elsewhere is not None:
            self._outgoing.append(elsewhere)
            return
        _, message, fact = command_in(self.view, record, heard)
        journal = self._journal_for(heard, now)
        step = next(iter(self.view.hearers.get(heard.type, ())), None)
        name = step.name if step else heard.type
        item = Item(f"{name}/{fact.key}", name, fact, command=True)
        item.suspect = ending == "crashed"
        item.budget = step.retry.attempts if step else 1
        if journal is None:
            self._say_aside(empty := journal_for(heard), self._unread.refuse(empty, item), now)
            return
        if is_repeated(journal, item):
            return
        with self._attempt("hear", journal) as attempt:
            full = full_of_commands(journal, fact, self._kept.sizes)
            if full:
                note_answered(journal, item, now)
            elif step is not None and step.opens and journal.is_void():
                # This lane alone opens sagas, and its journals know every opening it has said: there is none to hear.
                self._barriers.waive((heard.saga_id, item.id))
            if not full:
                journal.items[item.id] = item
                self._decoded[fact.key] = message
                self._kept.sizes.add(heard.saga_id, bytes_once(fact))
            self._follow(journal, [command_refused(journal, item, full)] if full else (), now)
        if attempt.error is not None:
            self.refuse(record, words_of(attempt.error), now)

    def _resume_step(self, resumed: StepResumed) -> None:
        if resumed.participant == self.view.participant:
            self._pauses.resume(self.view.name_of(resumed.step))

    def journal(self, saga_id: str) -> Journal | None:
        """What is remembered of the saga; not to be changed."""
        return self._kept.find(saga_id)

    def _journal_for(self, heard: Heard, now: float) -> Journal | None:
        """The saga's journal, or an empty one; None where this build cannot read its state record."""
        journal = self._kept.find(heard.saga_id)
        if journal is None:
            return None if heard.saga_id in self._unread.causes else journal_for(heard, self.view.fingerprint)
        if self._to_carry and heard.saga_id in self._to_carry:
            self._carry(journal, now)
        return journal

    def _at(self, mark: Mark) -> tuple[Journal, Item] | None:
        journal = self._kept.find(mark[0])
        if journal is None or mark[1] not in journal.items:
            return None
        return journal, journal.items[mark[1]]

    def _item(self, mark: Mark) -> Item | None:
        found = self._at(mark)
        return None if found is None else found[1]

    def fire(self, now: float) -> None:
        self._kept.forget(now - CLOSED_RETENTION_SECONDS)
        for saga_id in list(islice(self._to_carry, CARRIED_AT_ONCE)):
            journal = self._kept.find(saga_id)
            assert journal is not None
            self._carry(journal, now)
        for saga_id in self._unread.untold(CARRIED_AT_ONCE):
            self._say_aside(empty := Journal(saga_id), self._unread.tell(empty, now), now)
        for mark in islice(self._timers.fired(now), LOOKED_AT_ONCE):
            item = self._item(mark)
            if item is not None and is_due(item, now):
                if needs_barrier(item):
                    self._ask_barrier(mark, item)
                self._hot[mark[0]] = None

    def next_due(self) -> float | None:
        if self._to_carry:
            return 0.0
        moments = (self._timers.next_due(), self._backlog.next_probe())
        return min((moment for moment in moments if moment is not None), default=None)

    def unmarked(self) -> list[Mark]:
        return self._barriers.unmarked()

    def mark(self, marks: list[Mark], ends: dict[str, int]) -> None:
        self._barriers.mark(marks, ends)

    def heard_up_to(self, positions: dict[str, int]) -> None:
        for saga_id in self._barriers.reached(positions):
            self._hot[saga_id] = None

    def startable(self, now: float, most: int, room: Room = UNLIMITED) -> list[Work]:
        """At most `most` items to start now; each is running, and has its place in `room`, until `finish`."""
        works: list[Work] = []
        self._backlog.look(now, room)
        for saga_id in list(islice(self._hot, LOOKED_AT_ONCE)):
            del self._hot[saga_id]
            journal = self._kept.find(saga_id)
            if self._barriers.passed(saga_id):
                self._barriers.keep(saga_id, journal.items if journal else ())
            if journal is None:
                continue
            if self._to_carry and saga_id in self._to_carry:
                self._carry(journal, now)
            for item in self._startable(journal, now):
                if len(works) < most and self._backlog.lets_in(item.step):
                    self._begin(journal, item, now, room, works)
                else:
                    self._backlog.put(item, journal.tenant, (saga_id, item.id))
            # The clock may have gone back since a timer fired.
            self._schedule(journal, later_than=now)
        for mark, down, waits in self._backlog.untold(most - len(works), self._needs):
            if waits:
                self._tell(mark, down, now)
            else:
                self._take_turn(mark, now, room, works)
        while len(works) < most and (turn := self._backlog.take()) is not None:
            self._take_turn(turn, now, room, works)
        return works

    def _take_turn(self, mark: Mark, now: float, room: Room, works: list[Work]) -> None:
        journal = self._kept.find(mark[0])
        if journal is None:
            return
        for item in self._startable(journal, now):
            if item.id == mark[1]:
                self._begin(journal, item, now, room, works)
                return
        self._schedule(journal, later_than=now)

    def _needs(self, down: Blocked, mark: Mark) -> bool:
        """Whether the item was stopped by this before, or must not be tried. A step may do without the dependency."""
        item = self._item(mark)
        return item is not None and (item.cause == down.cause or item.suspect)

    def _tell(self, mark: Mark, down: Blocked, now: float) -> None:
        """Say what the item waits for; it has its turn all the same, once the dependency is there again."""
        found = self._at(mark)
        if found is not None:
            journal, item = found
            with self._attempt("tell", journal):
                self._say(journal, delayed_by(journal, self.view, item, down, now), now)

    def _startable(self, journal: Journal, now: float) -> list[Item]:
        try:
            return startable(journal, self.view, now, self._barriers.passed(journal.saga_id))
        except Exception as error:
            self._faults.note("choose", journal.saga_id, error)
            return []

    def paused(self) -> dict[str, str]:
        return dict(self._pauses.causes)

    def ends_of_steps(self) -> dict[str, int]:
        return dict(self._pauses.ends)

    def pause(self, causes: dict[str, str], ends: dict[str, int]) -> None:
        # A step that was renamed is paused under its new name; one that is gone has items that are to stand stuck.
        self._pauses = Pauses(
            {self.view.name_of(step): cause for step, cause in causes.items() if self.view.owner(step)},
            {self.view.name_of(step): bits for step, bits in ends.items() if self.view.owner(step)},
        )

    def is_held_back(self) -> bool:
        return bool(self._hot) or self._backlog.is_held_back()

    def _is_paused(self, name: str) -> bool:
        return bool(self._pauses.causes) and self.view.name_of(name) in self._pauses.causes

    def _begin(self, journal: Journal, item: Item, now: float, room: Room, works: list[Work]) -> None:
        """Mark the item as running, or finish it where its outcome is known without asking the step."""
        if journal.items.get(item.id) is not item:
            return
        mark = (journal.saga_id, item.id)
        if item.suspect and not self._suspects.may_start(mark):
            return
        # Only an item that has started can be the cause of the next crash.
        item.on_trial, item.is_alone = item.suspect, item.suspect and self._suspects.is_alone(mark)
        self._barriers.used(mark)
        owner = self.view.undos.get(item.step) if item.undoes else self.view.steps.get(item.step)
        try:
            outcome = self._condemnation(journal, item) or foregone(journal, self.view, item, owner)
        except Exception as error:
            self._faults.note("start", journal.saga_id, error)
            outcome = Broke(ENGINE_FAULT, words_of(error), permanent=True)
        item.state, item.due, item.started_at = "running", None, now
        self._kept.touch(journal)
        if outcome is not None:
            self._finish(journal, item, outcome, now)
        elif owner is not None:
            room.enter(owner)
            works.append(Work(journal, item, owner, self._decoded.get(item.message.identity or item.message.id)))

    def finish(self, saga_id: str, item: Item, outcome: Outcome, now: float) -> None:
        """Note how a running item ended; an item dropped meanwhile is ignored."""
        journal = self.journals.get(saga_id)
        if journal is None or journal.items.get(item.id) is not item:
            return
        self._finish(journal, item, outcome, now, is_judged=not item.undoes and not item.command)

    def _finish(self, journal: Journal, item: Item, outcome: Outcome, now: float, is_judged: bool = False) -> None:
        """Apply the outcome; one that cannot be applied is the item's failure."""
        cause = ""
        for _ in range(2):
            with self._attempt("finish", journal) as attempt:
                outcome = fitting(outcome, journal, self.view, item, self._kept.sizes)
                self._follow(journal, finish(journal, self.view, item, outcome, now), now)
                if is_judged:
                    self._judge_step(journal, item, outcome, now)
            self._kept.sizes.ended(journal.saga_id)
            if attempt.error is None:
                return
            cause = words_of(attempt.error)
            outcome = Broke(ENGINE_FAULT, cause, permanent=True)
        # Not even its failure can be applied: it stands still, and an operator can retry it.
        item.state, item.due, item.cause = "stuck", None, cause
        failure = Failure(item, ENGINE_FAULT, cause)
        self._outgoing.append(dead_letters.failed(failure, self.view, journal.saga_id, self.partition, now))
        self._kept.touch(journal)
        with self._attempt("tell", journal):
            self._follow(journal, [compensation_stuck(journal, self.view, item, cause)], now)

    def _condemnation(self, journal: Journal, item: Item) -> Broke | None:
        cause = self._condemned.pop((journal.saga_id, item.id), None)
        return None if cause is None else Broke(ENGINE_FAULT, cause, permanent=True)

    def _judge_step(self, journal: Journal, item: Item, outcome: Outcome, now: float) -> None:
        """Pause the step if it has failed for one saga too many. What others send as commands never leads to that."""
        name = self.view.name_of(item.step)
        if isinstance(outcome, Spoke):
            self._pauses.note(name, failed=False)
        elif isinstance(outcome, Broke) and (item.state == "held" or item.id not in journal.items):
            cause = self._pauses.note(name, failed=True, cause=f"{outcome.error}: {outcome.cause}")
            if cause:
                log.error("ledger.step_paused", extra={"step": name, "saga_id": journal.saga_id, "cause": cause})
                self._follow(journal, [step_paused(journal, self.view, item, name, cause)], now)

    def _follow(self, journal: Journal, utterances: Sequence[Utterance], now: float, touch: bool = True) -> None:
        """After every change of a journal: say what is to be said, and see to its timers."""
        if touch:
            self._kept.touch(journal)
        if utterances:
            self._say(journal, utterances, now)
        saga_id, dues = journal.saga_id, {}
        if journal.items:
            self._hot[saga_id] = None
            for item in journal.items.values():
                if item.due is not None:
                    dues[item.id] = item.due
                if item.command and item.state == "ready":
                    self._ask_barrier((saga_id, item.id), item)
        if dues or saga_id in self._timers:
            self._timers.keep(saga_id, dues)

    def _ask_barrier(self, mark: Mark, item: Item) -> None:
        # Commands that came before a deadline beat it. Those that came after a command may be left unread.
        self._barriers.ask(mark, (self.topics.events,) if item.command else self.inputs)

    def _say(self, journal: Journal, utterances: Sequence[Utterance], now: float) -> None:
        for utterance in utterances:
            self._kept.touch(journal)
            self._outgoing += outgoing(journal, self.view, self.partition, utterance, now)

    def _schedule(self, journal: Journal, later_than: float) -> None:
        """See that every item that waits for a time later than this one has its timer."""
        for item_id, due in dues_of(journal).items():
            if due > later_than:
                self._timers.set(due, (journal.saga_id, item_id))

    def backlog_bytes(self) -> int:
        return self._backlog.size_bytes

    def is_waiting(self) -> bool:
        return self._barriers.is_waiting()

    def has_suspects(self) -> bool:
        return bool(self._suspects)

    def try_suspects(self, all_of_them: bool, in_turn: bool) -> list[Mark]:
        marks = self._suspects.admit(all_of_them, in_turn)
        for mark in marks:
            self._hot[mark[0]] = None
        return marks

    def release(self, mark: Mark) -> None:
        found = self._at(mark)
        if found is not None:
            journal, item = found
            item.on_trial = item.suspect = item.is_alone = False
            self._kept.touch(journal)

    def is_suspect(self, mark: Mark) -> bool:
        item = self._item(mark)
        # What finds no room (its dependency is down) has not started, and so is the cause of nothing.
        return item is not None and item.suspect and (item.state == "running" or self._backlog.lets_in(item.step))

    def has_news(self) -> bool:
        return bool(self._outgoing)

    def is_touched(self) -> bool:
        return self._kept.is_touched()

    def take(self) -> Snapshot:
        """What one transaction writes: all that was said, and every journal touched since the last one."""
        said, self._outgoing = self._outgoing, []
        self._decoded.clear()
        return Snapshot(said, self._kept.take(), self._carrier.stored.take() | self._unread.take())
