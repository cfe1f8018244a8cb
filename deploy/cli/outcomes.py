"""PURE: what becomes of one replayed dead letter, as the saga's events and dead letters tell of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from consumers.runtime.finishing import TELLING_DELAY_SECONDS
from consumers.runtime.graph import Graph
from producers.answers import Answer, Published, answer_in, fact_in
from producers.errors import IS_DOWN
from producers.headers import Heard
from producers.records import Record
from schemas.dead_letter import DeadLetter
from schemas.engine import ItemResumed, StepDelayed, StepFailed
from schemas.message import Completion, FailingEnd


@dataclass(frozen=True)
class Outcome:
    """`before`: it was replayed earlier, and nothing more was done. `unknown`: nothing was heard of it in time."""

    kind: Literal["passed", "failed", "refused", "before", "unknown"]
    words: str

    @property
    def stops(self) -> bool:
        """Whether the others had better not be tried."""
        return self.kind in ("failed", "unknown")


class Expected:
    """What is awaited after one replay. Hand it the saga's records in order; once `published`, it finds the answer."""

    def __init__(self, graph: Graph, letter: DeadLetter) -> None:
        self._graph, self._letter = graph, letter
        step = graph.steps.get(letter.step or "")
        self._says: frozenset[str] = frozenset(step.says) if step is not None else frozenset()
        self._seen: list[Record] = []
        self._published: Published | None = None
        self.answer: Answer | None = None
        self.outcome: Outcome | None = None

    def publish(self, published: Published) -> None:
        """Say by what it was replayed; what was heard before that counts as well."""
        self._published = published
        seen, self._seen = self._seen, []
        for record in seen:
            self.hear(record)

    def hear(self, record: Record) -> None:
        """Take the next record of the saga's events or dead letters."""
        if self._published is None:
            self._seen.append(record)
            return
        if self.answer is None:
            self.answer = self._failure_in(record, self._published) or answer_in(record, self._published)
            if self.answer is not None:
                self.outcome = outcome_of(self.answer, self._graph.saga)
            return
        if self.outcome is None and record.topic == self._graph.schema.topics.events:
            fact = fact_in(record, self._published.saga_id)
            if fact is not None:
                self.outcome = self._outcome_in(*fact, _said_at(record))

    def _failure_in(self, record: Record, published: Published) -> Answer | None:
        """That the command's own step has failed; it is said right before the command is refused for that reason."""
        fact = fact_in(record, published.saga_id) if record.topic == self._graph.schema.topics.events else None
        if fact is None or fact[0].type != StepFailed.type_in(self._graph.saga):
            return None
        heard, body = fact
        if not published.names_item(str(body.get("item", ""))):
            return None
        return Answer("dead", heard.type, str(body.get("cause", "")), body)

    def _outcome_in(self, heard: Heard, body: dict[str, object], said_at: datetime) -> Outcome | None:
        letter, saga = self._letter, self._graph.saga
        about_it = body.get("item") == letter.item and body.get("participant") == letter.participant
        if heard.type == StepFailed.type_in(saga) and about_it:
            return Outcome("failed", str(body.get("cause", "")))
        if heard.type == StepDelayed.type_in(saga) and about_it:
            cause = str(body.get("cause", ""))
            if cause.endswith(IS_DOWN):
                # No attempt was made: the breaker still remembers what may be mended by now.
                return None
            if not cause.startswith("waits until") and _is_soon(body, said_at):
                # The next attempt is so near that it had better be awaited.
                return None
            return Outcome("passed" if cause.startswith("waits until") else "failed", cause)
        key = (letter.item or "").partition("/")[2]
        if heard.source == letter.participant and heard.type in self._says:
            # What a join says is caused by the last of its legs, which the letter does not name.
            if key in ("join", heard.cause or heard.causation):
                return Outcome("passed", f"it has said {heard.type}")
        if self._graph.is_a(heard.type, Completion | FailingEnd):
            return Outcome("refused", f"its saga has ended meanwhile: {heard.type}")
        return None


def _is_soon(body: dict[str, object], said_at: datetime) -> bool:
    """Whether the next attempt follows within a second."""
    next_at = _moment(str(body.get("next_at")))
    return next_at is not None and (next_at - said_at).total_seconds() <= TELLING_DELAY_SECONDS


def _said_at(record: Record) -> datetime:
    """When the event was said, by the clock of the worker that named the next attempt."""
    written = dict(record.headers).get("ce_time") or b""
    return _moment(written.decode(errors="replace")) or datetime.fromtimestamp(record.at, UTC)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def outcome_of(answer: Answer, saga: str) -> Outcome | None:
    """What the answer to the replaying record says; None while a retried item has yet to come to its end."""
    if answer.kind == "dead":
        return Outcome("failed", answer.reason)
    if answer.kind == "refused":
        return Outcome("refused", answer.reason)
    if answer.type == ItemResumed.type_in(saga):
        return None
    return Outcome("passed", f"it has led to {answer.type}")
