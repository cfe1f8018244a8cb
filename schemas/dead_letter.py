"""What the dead-letter topics carry: a record nobody could use, or a step that spent its budget; and what was decided
of it later. Nothing there is ever changed: a decision is a record of its own, and the first one of a letter counts.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from .bounds import Count, ItemName, Moment, Name, Offset, Text

HEADERS_MAX = 50
VALUE_BYTES_MAX = 1024 * 1024
BASE64_CHARACTERS_MAX = 1_400_000
# The saga's id, the item's name and the number of its attempt.
LetterId = Annotated[str, Field(max_length=2_000)]


class Origin(BaseModel):
    """Where the record stood; of a batch that cannot be unpacked, from `first_offset` to `offset`."""

    topic: Name
    partition: Count
    offset: Offset
    first_offset: Offset | None = Field(
        default=None, description="Set for a batch only; `offset` is then its last one."
    )


class DeadLetter(BaseModel):
    """One record of `<saga>.dead`.

    `fingerprint` is equal for failures of one kind: error, step, and the type and shape of the message. The original
    value stands in `value` as text, or in `value_base64` where it is not UTF-8; of one that is larger than a megabyte
    only the beginning, the whole stands at its origin. A batch that cannot be unpacked has no value and its size on the
    wire in `value_bytes`.
    """

    model_config = ConfigDict(extra="ignore")

    id: LetterId
    kind: Literal["unreadable", "failed"]
    saga: Name
    saga_id: ItemName | None
    participant: Name
    step: Name | None = None
    item: ItemName | None = None
    attempts: Count = 0
    type: ItemName | None = None
    error: Name
    reason: Text
    fingerprint: Name
    origin: Origin | None = None
    headers: dict[ItemName, ItemName] = Field(default={}, max_length=HEADERS_MAX)
    value: Annotated[str, Field(max_length=VALUE_BYTES_MAX)] | None = None
    value_base64: Annotated[str, Field(max_length=BASE64_CHARACTERS_MAX)] | None = None
    value_bytes: Count = Field(default=0, description="How large the original value is.")
    at: Moment


class LetterDiscarded(BaseModel):
    """Somebody has decided that nothing more shall come of the letter; its type is `<saga>.dead.discarded`."""

    model_config = ConfigDict(extra="ignore")

    letter_id: LetterId
    reason: Text
    by: Name
    at: Moment


class LetterReplayed(BaseModel):
    """The letter's item was retried, or its record published again; its type is `<saga>.dead.replayed`."""

    model_config = ConfigDict(extra="ignore")

    letter_id: LetterId
    message_id: ItemName = Field(description="Of the command or record that it was replayed by.")
    by: Name
    at: Moment


def letter_types(saga: str) -> dict[str, type[BaseModel]]:
    """What stands on `<saga>.dead`, by wire type."""
    return {
        f"{saga}.dead.letter": DeadLetter,
        f"{saga}.dead.discarded": LetterDiscarded,
        f"{saga}.dead.replayed": LetterReplayed,
    }
