"""What the dead-letter topics carry: a record nobody could use, or a step that spent its budget; and what was decided
of it later. Nothing there is ever changed: a decision is a record of its own, and the first one of a letter counts.
"""

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Origin(BaseModel):
    """Where the record stood."""

    topic: str
    partition: int
    offset: int


class DeadLetter(BaseModel):
    """One record of `<saga>.dead`.

    `fingerprint` is equal for failures of one kind: error, step, and the type and shape of the message. The original
    value stands in `value` as text, or in `value_base64` where it is not UTF-8; of one that is larger than a megabyte
    only the beginning, the whole stands at its origin.
    """

    model_config = ConfigDict(extra="ignore")

    id: str
    kind: Literal["unreadable", "failed"]
    saga: str
    saga_id: str | None
    participant: str
    step: str | None = None
    item: str | None = None
    attempts: int = 0
    type: str | None = None
    error: str
    reason: str
    fingerprint: str
    origin: Origin | None = None
    headers: dict[str, str] = {}
    value: str | None = None
    value_base64: str | None = None
    value_bytes: int = Field(default=0, description="How large the original value is.")
    at: AwareDatetime


class LetterDiscarded(BaseModel):
    """Somebody has decided that nothing more shall come of the letter; its type is `<saga>.dead.discarded`."""

    model_config = ConfigDict(extra="ignore")

    letter_id: str
    reason: str
    by: str
    at: datetime


class LetterReplayed(BaseModel):
    """The letter's item was retried, or its record published again; its type is `<saga>.dead.replayed`."""

    model_config = ConfigDict(extra="ignore")

    letter_id: str
    message_id: str = Field(description="Of the command or record that it was replayed by.")
    by: str
    at: datetime


def letter_types(saga: str) -> dict[str, type[BaseModel]]:
    """What stands on `<saga>.dead`, by wire type."""
    return {
        f"{saga}.dead.letter": DeadLetter,
        f"{saga}.dead.discarded": LetterDiscarded,
        f"{saga}.dead.replayed": LetterReplayed,
    }
