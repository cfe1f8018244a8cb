"""A participant as FastStream sees it: a subscriber of its broker, so that its app and its documents know of it.

FastStream keeps the life (start, stop) and nothing else. Its own pipeline, one message at a time, acknowledges before a
step has run and swallows what a step raises; so it is never started here, and no record passes through it.
"""

import asyncio
from typing import Any, cast

from faststream import AckPolicy
from faststream._internal.broker.registrator import Registrator
from faststream._internal.endpoint.subscriber.call_item import CallsCollection
from faststream.kafka import KafkaBroker
from faststream.kafka.configs import KafkaBrokerConfig
from faststream.kafka.schemas import Topic
from faststream.kafka.subscriber.config import KafkaSubscriberConfig, KafkaSubscriberSpecificationConfig
from faststream.kafka.subscriber.specification import KafkaSubscriberSpecification
from faststream.kafka.subscriber.usecase import DefaultSubscriber

from consumers.runtime.participant import ParticipantGroup


class ParticipantSubscriber(DefaultSubscriber):
    """Starts and stops one participant's group; made by `register`."""

    def __init__(self, group: ParticipantGroup, config: KafkaBrokerConfig) -> None:
        topics = [Topic(name, declare=False) for name in group.role.inputs]
        calls: CallsCollection[Any] = CallsCollection()
        super().__init__(
            KafkaSubscriberConfig(
                topics=topics, group_id=group.role.name, _outer_config=config, _ack_policy=AckPolicy.MANUAL
            ),
            KafkaSubscriberSpecification(
                config,
                KafkaSubscriberSpecificationConfig(
                    topics=topics, title_=group.role.name, description_=None, include_in_schema=True
                ),
                calls,
            ),
            calls,
        )
        self.group = group
        self._joining: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to join the group, and return at once: the broker starts its subscribers one after the other."""
        self._joining = asyncio.create_task(self.group.start(), name=f"joining {self.group.role.name}")
        self._post_start()

    async def joined(self) -> None:
        """Wait until the group is joined; raises what the cluster answered."""
        if self._joining is not None:
            await asyncio.shield(self._joining)

    async def stop(self) -> None:
        """Drain the lanes and leave the group; may be called at any time, also twice."""
        self.running = False
        joining, self._joining = self._joining, None
        if joining is not None:
            joining.cancel()
            await asyncio.gather(joining, return_exceptions=True)
            await self.group.stop()


def register(broker: KafkaBroker, group: ParticipantGroup) -> ParticipantSubscriber:
    """Put the participant on the broker, which from then on starts and stops it."""
    # FastStream's way in for subscriber classes of one's own; the broker's `subscriber` makes its own kinds only.
    subscriber = ParticipantSubscriber(group, cast("KafkaBrokerConfig", broker.config))
    Registrator.subscriber(broker, subscriber)
    return subscriber
