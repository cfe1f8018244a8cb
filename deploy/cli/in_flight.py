"""`soma worker --check`, the half that needs Kafka: what this build could not carry of the sagas that run now."""

import asyncio
from dataclasses import dataclass
from typing import Any

from consumers.in_flight import KindInFlight
from consumers.kinds import SagaKind
from deploy.cli.talking import printable, say
from producers.client import Client
from producers.errors import NoStack, NotReachable
from producers.settings import Settings


@dataclass(frozen=True)
class Compared:
    """What was found; `cause` says why nothing was compared, where Kafka is not there."""

    kinds: tuple[KindInFlight, ...] = ()
    cause: str = ""

    @property
    def concerned(self) -> int:
        """How many open sagas this build could not carry."""
        return sum(kind.concerned for kind in self.kinds)


def compare(settings: Settings, kinds: tuple[SagaKind, ...], only: list[str]) -> Compared:
    """Read the state topics to their ends; blocks. A Kafka that is not there leads to the cause; all else is raised."""
    found = [KindInFlight(kind.graph, only) for kind in kinds]
    try:
        asyncio.run(_read(settings, found))
    except (NoStack, NotReachable) as error:
        return Compared(cause=str(error))
    return Compared(tuple(found))


async def _read(settings: Settings, kinds: list[KindInFlight]) -> None:
    async with Client(settings, source="soma.cli") as client:
        for kind in kinds:
            counts = await client.partition_counts(kind.topics)
            for partition in range(max(counts.values(), default=0)):
                kind.begin()
                topics = [topic for topic, count in counts.items() if partition < count]
                async for record in client.records_in(topics, partition):
                    kind.take(record)
                kind.end()


def tell(compared: Compared) -> None:
    """Say what was found, a line for each difference."""
    if compared.cause:
        say(f"not compared with what is in flight: {printable(compared.cause)}")
    for kind in compared.kinds:
        for line in lines_of(kind):
            say(printable(line))


def lines_of(kind: KindInFlight) -> list[str]:
    """One saga kind, for people: a line, and one for each difference, what concerns most sagas first. PURE."""
    of_all = f"of {kind.open:,} open sagas"
    lines = [f"{kind.saga}: {kind.concerned:,} {of_all} cannot be carried by this build"]
    if kind.unknown:
        lines.append(
            f"{kind.saga}: {kind.unknown:,} {of_all} have an unknown flow, as an older build opened them:"
            " compared by the names of their steps and what their journals hold"
        )
    for difference, count in kind.differences.most_common():
        what = f"{difference.participant}: {difference.sentence}"
        lines.append(f"{kind.saga}: {count:,} {of_all}: {what}; such a saga {difference.follows}")
    return lines


def as_json(kinds: tuple[SagaKind, ...], compared: Compared) -> dict[str, Any]:
    """The same for programs. PURE."""
    return {
        "checked": [kind.graph.saga for kind in kinds],
        "compared": not compared.cause,
        "cause": compared.cause,
        "concerned": compared.concerned,
        "in_flight": [
            {
                "saga": kind.saga,
                "open": kind.open,
                "concerned": kind.concerned,
                "unknown_flow": kind.unknown,
                "differences": [
                    {**difference._asdict(), "sagas": count} for difference, count in kind.differences.most_common()
                ],
            }
            for kind in compared.kinds
        ],
    }
