"""A look at the cluster: what holds up the participant that owes a stalled saga its next fact."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from consumers.runtime.finishing import Blocked, Broke, Outcome
from consumers.runtime.graph import Graph
from consumers.runtime.journal import Fact, Item, Journal
from consumers.runtime.memory import Work
from consumers.runtime.transport import Clock
from consumers.tracker.folding import Stalled

# Ten thousand sagas may stall at once; each look asks the same few questions.
LOOKS_MAX = 10
LOOK_SECONDS_MAX = 10.0
ANSWER_KEPT_SECONDS = 5.0


def look_at(graph: Graph, partition: int, saga_id: str, stalled: Stalled) -> Work:
    """The look as a lane runs it: the item's message names topic, partition and, as its source, the participant."""
    owned = graph.steps_of(stalled.participant) or graph.steps
    owner = graph.steps.get(stalled.step) or next(iter(owned.values()))
    message = Fact(graph.schema.topics.events, str(partition), stalled.participant, b"", stalled.since)
    return Work(Journal(saga_id, "", saga_id, ""), Item("look", owner.name, message), owner)


def in_words(participant: str, members: int, behind: int) -> str:
    """What was found, for people."""
    if not members:
        return f"nobody runs {participant}"
    if behind > 0:
        return f"{participant} is {behind:,} records behind"
    return f"it runs, has heard everything and says nothing: {participant} may be hanging"


class Inspector:
    """Runs the looks of one tracker; raises nothing but cancellation. `connect` makes an admin client, not started."""

    def __init__(self, connect: Callable[[], AIOKafkaAdminClient], ends: "Ends", clock: Clock) -> None:
        self._connect, self._ends, self._clock = connect, ends, clock
        self._one_at_a_time = asyncio.Lock()
        self._answers: dict[tuple[str, str, int], tuple[float, str]] = {}

    async def __call__(self, work: Work) -> Outcome:
        """`Blocked`, with what was found as its cause."""
        message = work.item.message
        asked = (message.source, message.type, int(message.id))
        async with self._one_at_a_time:
            at, found = self._answers.get(asked, (float("-inf"), ""))
            if self._clock() - at > ANSWER_KEPT_SECONDS:
                try:
                    async with asyncio.timeout(LOOK_SECONDS_MAX):
                        found = await self._look(*asked)
                except (KafkaError, OSError, TimeoutError) as error:
                    return Broke(type(error).__name__, f"could not look: {error}")
                self._answers[asked] = (self._clock(), found)
        return Blocked(found, self._clock())

    async def _look(self, participant: str, topic: str, partition: int) -> str:
        admin, place = self._connect(), TopicPartition(topic, partition)
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([participant])
            group = answer.to_object()["groups"][0]
            offsets = await admin.list_consumer_group_offsets(participant, partitions=[place])
            committed = offsets[place].offset if place in offsets else 0
        finally:
            await admin.close()
        behind = await self._ends(place) - max(0, committed)
        return in_words(participant, len(group["members"]), behind)


Ends = Callable[[TopicPartition], Any]
