"""No consumer of this program jumps by itself."""

import pytest

from producers.bounded_consumer import BoundedConsumer


async def test_a_consumer_begins_nowhere_by_itself_and_cannot_be_made_to() -> None:
    consumer = BoundedConsumer(bootstrap_servers="127.0.0.1:1")
    assert consumer._auto_offset_reset == "none"
    await consumer.stop()
    for jump in ("earliest", "latest"):
        with pytest.raises(ValueError, match="never jumps"):
            BoundedConsumer(auto_offset_reset=jump)
