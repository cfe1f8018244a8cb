"""What the dead-letter topics carry: a record nobody could use, or a step that spent its budget."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Origin(BaseModel):
    """Where the record stood."""

    topic: str
    partition: int
    offset: int


class DeadLetter(BaseModel):
    """One record of `<saga>.dead`.

    `fingerprint` is equal for failures of one kind. The original value stands in `value` as text, or in `value_base64`
    where it is not UTF-8; of one that is larger than a megabyte only the beginning, the whole stands at its origin.
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
    at: datetime
