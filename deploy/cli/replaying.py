"""One dead letter is replayed: its item is retried by the door, or its record is published again with its identity."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import blake2b

from consumers.runtime.graph import Graph
from consumers.runtime.rehearsal import EVENTS_STAY
from deploy.cli.originals import identity_of, original_of, source_of
from deploy.cli.outcomes import Expected, Outcome, outcome_of
from deploy.cli.talking import ANSWER_WITHIN_SECONDS, ended
from producers.answers import Answer, Published
from producers.client import Client
from producers.dead_letters import Kept, note_replayed
from producers.errors import Unreadable
from producers.headers import key_of
from producers.records import Record
from schemas.engine import RetryItem

OUTCOME_WITHIN_SECONDS = 30.0


class Replayer:
    """Replays the letters of one saga kind; open it with `replaying`."""

    def __init__(self, client: Client, graph: Graph, by: str) -> None:
        self._client, self._graph, self._by = client, graph, by
        self._expected: dict[str, list[Expected]] = defaultdict(list)
        self._heard = asyncio.Condition()

    async def listen(self, records: AsyncIterator[Record]) -> None:
        """Hand every record to those that wait for one of its saga; never ends by itself."""
        async for record in records:
            for expected in self._expected.get((record.key or b"").decode(errors="replace"), ()):
                expected.hear(record)
            async with self._heard:
                self._heard.notify_all()

    async def replay(self, kept: Kept) -> Outcome:
        """Replay the letter and wait for what comes of it, for half a minute at most."""
        saga_id = kept.letter.saga_id or ""
        expected = Expected(self._graph, kept.letter)
        self._expected[saga_id].append(expected)
        try:
            if kept.letter.kind == "failed":
                return await self._retry(kept, saga_id, expected)
            return await self._publish_again(kept, expected)
        except Unreadable as unreadable:
            return Outcome("refused", str(unreadable))
        finally:
            self._expected[saga_id].remove(expected)

    async def _retry(self, kept: Kept, saga_id: str, expected: Expected) -> Outcome:
        letter, saga = kept.letter, self._graph.saga
        body = {"participant": letter.participant, "step": letter.step, "item": letter.item}
        command_id = replay_id(letter.id)
        words = body | {"reason": f"replayed by {self._by}"}
        published = await self._client.publish(saga, RetryItem.type_in(saga), saga_id, words, command_id)
        return await self._followed(kept, expected, published)

    async def _publish_again(self, kept: Kept, expected: Expected) -> Outcome:
        record = await original_of(self._client, kept.letter)
        if record is None:
            return Outcome("refused", "Kafka no longer keeps the record, and the letter has only a part of it")
        topics = self._graph.schema.topics
        if record.topic != topics.commands:
            return Outcome("refused", EVENTS_STAY)
        saga_id = key_of(record)
        identity = identity_of(record)
        if isinstance(identity, Outcome):
            return identity
        headers = tuple(header for header in record.headers if header[0].lower() != "ce_id")
        headers += (("ce_id", identity.encode()),)
        partition = await self._client.partition_for(record.topic, saga_id)
        offset = await self._client.append(record.topic, partition, record.key, record.value, headers)
        starts = dict.fromkeys((topics.events, topics.dead), 0)
        published = Published(
            topics.commands.partition(".")[0],
            saga_id,
            identity,
            record.topic,
            partition,
            offset,
            starts,
            source_of(record),
        )
        return await self._followed(kept, expected, published)

    async def _followed(self, kept: Kept, expected: Expected, published: Published) -> Outcome:
        expected.publish(published)
        if not await self._within(ANSWER_WITHIN_SECONDS, lambda: expected.answer is not None):
            return await self._answered_before(kept, published)
        assert expected.answer is not None
        if expected.answer.kind != "refused":
            await note_replayed(self._client, kept, published.id, self._by)
        if not await self._within(OUTCOME_WITHIN_SECONDS, lambda: expected.outcome is not None):
            where = f"`soma status {published.saga_id}`"
            return Outcome(
                "unknown", f"it goes on, but has come to nothing within {OUTCOME_WITHIN_SECONDS:.0f} s: {where}"
            )
        assert expected.outcome is not None
        return expected.outcome

    async def _answered_before(self, kept: Kept, published: Published) -> Outcome:
        """The door answers an id once: the answer may be older than this replay."""
        answer: Answer | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
                answer = await self._client.answer_to(published)
        if answer is None:
            return Outcome(
                "unknown", f"no answer within {ANSWER_WITHIN_SECONDS:.0f} s; it will be heard once a worker runs"
            )
        if answer.kind == "refused":
            return outcome_of(answer, self._graph.saga) or Outcome("refused", answer.reason)
        await note_replayed(self._client, kept, published.id, self._by)
        return Outcome("before", f"it was answered before, by {answer.type}")

    async def _within(self, seconds: float, condition: Callable[[], bool]) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._heard:
                await self._heard.wait_for(condition)
        return condition()


@asynccontextmanager
async def replaying(client: Client, graph: Graph, by: str) -> AsyncIterator[Replayer]:
    """A replayer that hears what is said from now on."""
    topics = graph.schema.topics
    async with client.following(topics.events, topics.dead) as records:
        replayer = Replayer(client, graph, by)
        listening = asyncio.create_task(replayer.listen(records))
        try:
            yield replayer
        finally:
            await ended(listening)


def replay_id(letter_id: str) -> str:
    """The id of the command that retries this letter's item: always the same, so that it counts once. PURE."""
    return f"replay/{blake2b(letter_id.encode(), digest_size=16).hexdigest()}"
