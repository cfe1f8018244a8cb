"""The ranges of what stands on the wire: every text, number and date of a message has one of these, or its own.

Anyone may write to a topic, so a field without a range would let a record outgrow what Kafka takes, or stop its reader.
"""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
# A step may ask to wait until the year 3000; what is told of that wait lies a little later.
LATEST = datetime(3001, 1, 1, tzinfo=UTC)
OFFSET_MOST = 2**63 - 1


def _in_range(moment: datetime) -> datetime:
    """The moment with its zone: without one it is UTC. Raises ValueError outside of the range."""
    zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    if not EARLIEST <= zoned < LATEST:
        raise ValueError(f"a date must lie between {EARLIEST.year} and {LATEST.year - 1}")
    return zoned


Moment = Annotated[
    datetime,
    AfterValidator(_in_range),
    Field(
        description="RFC 3339, from 1970 to 3000; without a zone it is UTC.",
        json_schema_extra={"formatMinimum": "1970-01-01T00:00:00Z", "formatExclusiveMaximum": "3001-01-01T00:00:00Z"},
    ),
]
Name = Annotated[str, Field(max_length=300)]
ItemName = Annotated[str, Field(max_length=1_000)]
Text = Annotated[str, Field(max_length=20_000)]
Words = Annotated[str, Field(min_length=1, max_length=20_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Offset = Annotated[int, Field(ge=0, le=OFFSET_MOST)]
