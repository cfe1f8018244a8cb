"""`soma topics plan|apply|abort`: the topics the hub needs on its cluster, and what holds them up."""

from typing import Literal

from consumers.topics import Plan, WantedTopic, apply, plan
from deploy.cli.tables import print_rows
from deploy.cli.talking import kinds_of, printable, say, show, talk
from producers.client import Client
from producers.open_transactions import OPEN_STATES, fence, state_of
from producers.settings import Settings

COLUMNS = ["topic", "partitions", "replication", "configuration"]


def topics_plan(settings: Settings, as_json: bool) -> int:
    """Print what is missing on the cluster and what differs; changes nothing. Blocks.

    Returns 0, 1 where topics that are there cannot be used as they are, 3 where Kafka cannot be used.
    """

    async def work(client: Client) -> int:
        found = await plan(settings, kinds_of(settings))
        tell(found, as_json, "missing")
        return 1 if found.differing else 0

    return talk(settings, work)


def topics_apply(settings: Settings, begin_from: Literal["beginning", "now"] | None, as_json: bool) -> int:
    """Create what is missing, and give participants without a position their first one; blocks.

    Returns 0, 1 where topics that are there cannot be used (nothing is changed then), 3 where Kafka cannot be used.
    """

    async def work(client: Client) -> int:
        tell(await apply(settings, kinds_of(settings), begin_from), as_json, "created")
        return 0

    return talk(settings, work)


def topics_abort(settings: Settings, transactional_id: str, as_json: bool) -> int:
    """End the open transaction of this id, of any client: nothing of it is read, and its owner is fenced. Blocks.

    Returns 0 when it is aborted, 2 where the id has no open transaction, 3 where Kafka does not answer.
    """

    async def work(_: Client) -> int:
        before = await state_of(settings, transactional_id)
        if before in OPEN_STATES:
            await fence(settings, transactional_id)
        aborted = before in OPEN_STATES
        if as_json:
            show({"transactional_id": transactional_id, "was": before or "unknown", "aborted": aborted})
        if aborted:
            say(
                f"the transaction of {printable(transactional_id)} is aborted; a lane that had it opens again by itself"
            )
            return 0
        say(f"{printable(transactional_id)} has no open transaction ({before or 'no coordinator knows it'})")
        return 2

    return talk(settings, work)


def tell(found: Plan, as_json: bool, what_of_them: str) -> None:
    """Print a plan: the topics on stdout, the words about them on stderr."""
    if as_json:
        missing = [
            {
                "name": topic.name,
                "partitions": topic.partitions,
                "replication": topic.replication,
                "configuration": topic.configuration,
            }
            for topic in found.missing
        ]
        show({"missing": missing, "differing": list(found.differing)})
    elif found.missing:
        print_rows(COLUMNS, [_row(topic) for topic in found.missing])
    say(*found.differing)
    say(f"topics {what_of_them}: {len(found.missing)}" if found.missing else "every topic is there")


def _row(topic: WantedTopic) -> list[object]:
    configuration = " ".join(f"{name}={value}" for name, value in topic.configuration.items())
    return [topic.name, topic.partitions, topic.replication, configuration]
