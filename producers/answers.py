"""PURE: what the records of the answering topics say to somebody who asked: an answer, a status, a dead letter."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR
from typing import Any, Literal

from pydantic import ValidationError

from producers.errors import Unreadable
from producers.headers import NOOP_TYPE, Heard, body_of, read, type_of
from producers.identity import command_key
from producers.records import Record
from schemas.dead_letter import DeadLetter
from schemas.engine import CommandRefused
from schemas.status import SagaStatus
from schemas.topics import SagaTopics


@dataclass(frozen=True)
class Published:
    """A command that Kafka has taken, and from where on its answer may stand in the topics of answers.

    Its id tells its answer from others; where its `source` is known, also from those to other sources' commands.
    """

    saga: str
    saga_id: str
    id: str
    topic: str
    partition: int
    offset: int
    answers_from: Mapping[str, int]
    source: str | None = None

    def names_item(self, item: str) -> bool:
        """Whether this is the item of the command, `<step>/<the command's key>`; of a former build, by its id alone."""
        return item.partition("/")[2] in self._keys()

    def caused(self, event: Heard) -> bool:
        """Whether the event says so: by the command's key or, where it names no more, by its id."""
        if event.causation != self.id:
            return False
        return self.source is None or not event.cause or event.cause in self._keys()

    def _keys(self) -> set[str]:
        return {self.id} if self.source is None else {self.id, command_key(self.id, self.source)}


@dataclass(frozen=True)
class Answer:
    """What a command led to: an event, a refusal, or a dead letter where nobody could read or carry it out."""

    kind: Literal["event", "refused", "dead"]
    type: str
    reason: str
    body: dict[str, Any]


def record_from(record: Any) -> Record:
    """The record as aiokafka gave it, in our own words."""
    at = record.timestamp / 1000
    return Record(record.topic, record.partition, record.offset, at, record.key, record.value, tuple(record.headers))


def fact_in(record: Record, saga_id: str) -> tuple[Heard, dict[str, Any]] | None:
    """The message in a record and its body, or None where it is none, or of another saga."""
    if type_of(record.headers) == NOOP_TYPE:
        return None
    try:
        heard = read(record, "")
        return (heard, body_of(heard)) if heard.saga_id == saga_id else None
    except Unreadable:
        return None


def status_in(record: Record, saga_id: str | None) -> SagaStatus | None:
    """The status in a record, or None where it is none, or of another saga."""
    if record.value is None or (saga_id is not None and record.key != saga_id.encode(errors="replace")):
        return None
    try:
        return SagaStatus.model_validate_json(record.value)
    except ValidationError:
        return None


def letter_in(record: Record) -> DeadLetter | None:
    """The dead letter in a record, or None where it is none: anybody may write there."""
    try:
        letter = DeadLetter.model_validate_json(record.value or b"")
    except ValidationError:
        return None
    # Outside of these years not every time zone has a name for the moment.
    return letter if MINYEAR < letter.at.year < MAXYEAR else None


def answer_in(record: Record, published: Published) -> Answer | None:
    """The answer to the command, if this record is it."""
    if record.topic == SagaTopics.of(published.saga).dead:
        return _dead_answer(letter_in(record), published)
    fact = fact_in(record, published.saga_id)
    if fact is None or not published.caused(fact[0]):
        return None
    heard, body = fact
    refused = heard.type == CommandRefused.type_in(published.saga)
    return Answer("refused" if refused else "event", heard.type, str(body.get("reason", "")) if refused else "", body)


def _dead_answer(letter: DeadLetter | None, published: Published) -> Answer | None:
    if letter is None:
        return None
    stood = letter.origin
    is_ours = (
        stood is not None
        and (stood.topic, stood.partition) == (published.topic, published.partition)
        # A batch that cannot be unpacked has one letter for all of its offsets.
        and (stood.offset if stood.first_offset is None else stood.first_offset) <= published.offset <= stood.offset
    )
    # A command whose step failed is named by its item.
    if not is_ours and not published.names_item(letter.item or ""):
        return None
    return Answer("dead", letter.type or "", letter.reason, letter.model_dump(mode="json"))
