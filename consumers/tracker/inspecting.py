"""A look at the cluster: what holds up the participant that owes a stalled saga its next fact."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from consumers.runtime.finishing import Blocked, Broke, Outcome
from consumers.runtime.graph import Graph
from consumers.runtime.journal import Fact, Item, Journal
from consumers.runtime.memory import Work
from consumers.runtime.transport import Clock
from consumers.tracker.tracked import Stalled
from producers.groups import GroupStanding

# Ten thousand sagas may stall at once; each look asks the same few questions.
LOOKS_MAX = 10
LOOK_SECONDS_MAX = 10.0
ANSWER_KEPT_SECONDS = 5.0


def look_at(graph: Graph, partition: int, saga_id: str, stalled: Stalled) -> Work:
    """The look as a lane runs it: the item's message names topic, partition and, as its source, the participant."""
    owned = graph.steps_of(stalled.participant) or graph.steps
    owner = graph.steps.get(stalled.step) or next(iter(owned.values()))
    # A look calls none of the step's ports: it must not take a place at them, least of all that of a probe.
    owner = replace(owner, signature=replace(owner.signature, ports=()))
    message = Fact(graph.schema.topics.events, str(partition), stalled.participant, b"", stalled.since)
    return Work(Journal(saga_id, "", saga_id, ""), Item("look", owner.name, message), owner)


def in_words(participant: str, members: int, behind: int, held_by: str = "", lost: str = "") -> str:
    """What was found, for people; nothing where the participant runs and has read everything.

    An open transaction and a lost position come first: the others may be their effects.
    """
    if held_by or lost:
        return "; ".join(cause for cause in (held_by, lost) if cause)
    if not members:
        return f"nobody runs {participant}"
    if behind > 0:
        return f"{participant} is {behind:,} records behind"
    return ""


def all_found(participant: str, looked: str, told: str) -> str:
    """Why the fact is missing, the cause first: what a look has found, then what the log tells.

    Only where both know nothing it is guessed that the participant hangs.
    """
    known = "; ".join(part for part in (looked, told) if part)
    return known or f"it runs, has heard everything and says nothing: {participant} may be hanging"


class Inspector:
    """Runs the looks of one tracker; raises nothing but cancellation. `ask` is told group, topic and partition."""

    def __init__(self, ask: Callable[[str, str, int], Awaitable[GroupStanding]], clock: Clock) -> None:
        self._ask, self._clock = ask, clock
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
                        standing = await self._ask(*asked)
                except Exception as error:
                    return Broke(type(error).__name__, f"could not look: {error}")
                found = in_words(message.source, standing.members, standing.behind, standing.held_by, standing.lost)
                self._answers[asked] = (self._clock(), found)
        return Blocked(found, self._clock())
