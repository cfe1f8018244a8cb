"""Heartbeats of a group as the proof of membership: aiokafka does not tell when the broker has last answered one."""

from collections.abc import Awaitable, Callable

from consumers.runtime.lease import Membership
from producers.bounded_consumer import BoundedConsumer

Heartbeat = Callable[[], Awaitable[bool]]


def proving_heartbeat(consumer: BoundedConsumer, membership: Membership) -> Heartbeat:
    """Have each successful heartbeat of a started consumer prove the membership; returns a way to send one at once.

    Called once for a consumer. It replaces a private method of aiokafka's group coordinator (a test holds it).
    """
    coordinator = consumer._coordinator
    send: Heartbeat = coordinator._do_heartbeat

    async def heartbeat() -> bool:
        sent_at = membership.now()
        is_member = await send()
        if is_member:
            membership.prove(sent_at)
        return is_member

    coordinator._do_heartbeat = heartbeat
    return heartbeat
