"""The dead letters of a saga kind as they stand in Kafka, and what was decided of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ValidationError

from producers.answers import letter_in
from producers.client import Client
from producers.headers import headers_for, type_of
from producers.records import Record
from schemas.dead_letter import DeadLetter, LetterDiscarded, LetterReplayed
from schemas.topics import SagaTopics

LetterState = Literal["open", "replayed", "discarded"]


@dataclass(frozen=True)
class Kept:
    """One dead letter, what became of it, and in which partition it stands."""

    letter: DeadLetter
    partition: int
    state: LetterState = "open"
    decision: LetterDiscarded | LetterReplayed | None = None


def kept_in(saga: str, records: Iterable[Record]) -> list[Kept]:
    """The letters in the records of `<saga>.dead`, oldest first. PURE.

    Of several decisions on one letter the first one counts, except that a replayed letter can still be discarded.
    """
    letters: dict[str, Kept] = {}
    decisions: dict[str, LetterDiscarded | LetterReplayed] = {}
    for record in records:
        decision = _decision_in(saga, record)
        if decision is not None:
            known = decisions.get(decision.letter_id)
            if known is None or (isinstance(known, LetterReplayed) and isinstance(decision, LetterDiscarded)):
                decisions[decision.letter_id] = decision
        elif (letter := letter_in(record)) is not None and letter.saga == saga:
            letters.setdefault(letter.id, Kept(letter, record.partition))
    found = [_decided(kept, decisions.get(kept.letter.id)) for kept in letters.values()]
    return sorted(found, key=lambda kept: kept.letter.at)


def _decided(kept: Kept, decision: LetterDiscarded | LetterReplayed | None) -> Kept:
    if decision is None:
        return kept
    state: LetterState = "discarded" if isinstance(decision, LetterDiscarded) else "replayed"
    return Kept(kept.letter, kept.partition, state, decision)


def _decision_in(saga: str, record: Record) -> LetterDiscarded | LetterReplayed | None:
    wire_type = type_of(record.headers)
    try:
        if wire_type == f"{saga}.dead.discarded":
            return LetterDiscarded.model_validate_json(record.value or b"")
        if wire_type == f"{saga}.dead.replayed":
            return LetterReplayed.model_validate_json(record.value or b"")
    except ValidationError:
        # Anybody may write there; what is no decision decides nothing.
        return None
    return None


async def dead_letters(client: Client, saga: str) -> list[Kept]:
    """Every dead letter of this saga kind, oldest first."""
    return kept_in(saga, [record async for record in client.records(SagaTopics.of(saga).dead)])


async def discard(client: Client, kept: Kept, reason: str, by: str) -> None:
    """Note that nothing more shall come of the letter."""
    decision = LetterDiscarded(letter_id=kept.letter.id, reason=reason, by=by, at=datetime.now(UTC))
    await _note(client, kept, "discarded", decision)


async def note_replayed(client: Client, kept: Kept, message_id: str, by: str) -> None:
    """Note by what the letter was replayed."""
    decision = LetterReplayed(letter_id=kept.letter.id, message_id=message_id, by=by, at=datetime.now(UTC))
    await _note(client, kept, "replayed", decision)


async def _note(client: Client, kept: Kept, what: str, decision: BaseModel) -> None:
    """Append the decision beside its letter."""
    letter = kept.letter
    headers = headers_for(
        wire_type=f"{letter.saga}.dead.{what}",
        message_id=f"{letter.id}/{what}",
        source=client.source,
        saga_id=letter.saga_id or "",
        at=datetime.now(UTC).timestamp(),
        causation=letter.id,
    )
    key = None if letter.saga_id is None else letter.saga_id.encode(errors="replace")
    body = decision.model_dump_json().encode()
    await client.append(SagaTopics.of(letter.saga).dead, kept.partition, key, body, headers)
