"""What stands in a consumer's hands for a batch that it does not unpack."""

from typing import Self

import msgspec

SKIPPED_HEADER = "soma_skipped_batch"


class Skipped(msgspec.Struct, frozen=True):
    """Which offsets were skipped, and the sizes. `records` is the batch's own count; -1 where the format has none."""

    first_offset: int
    last_offset: int
    records: int
    codec: str
    packed_bytes: int
    is_too_large: bool
    why: str

    def __str__(self) -> str:
        return (
            f"a batch that cannot be unpacked: offsets {self.first_offset} to {self.last_offset},"
            f" {self.packed_bytes} bytes of codec {self.codec}: {self.why}"
        )


class SkippedBatch(bytes):
    """The value of the one record that a consumer gets for the batch; the record has the batch's last offset, no key.

    Its bytes are the reason in words, which is no JSON: code that does not look closer finds an unreadable record. It
    is a class of its own, so no publisher can write one.
    """

    skipped: Skipped

    def __new__(cls, skipped: Skipped) -> Self:
        made = super().__new__(cls, str(skipped).encode())
        made.skipped = skipped
        return made

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """What the record's headers say of it, for where only bytes are kept."""
        return ((SKIPPED_HEADER, msgspec.json.encode(self.skipped)),)


def skipped_in(value: bytes | None) -> Skipped | None:
    """What was skipped where this value stands for a batch, or None where it is a record's own."""
    return value.skipped if isinstance(value, SkippedBatch) else None
