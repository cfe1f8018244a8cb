"""`soma topics plan|apply|abort`: the topics the hub needs on its cluster, and what holds them up."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Literal

from consumers.topics import TopicsDiffer, WantedTopic, apply, mend, plan
from deploy.cli.tables import print_rows
from deploy.cli.talking import kinds_of, printable, say, show, talk
from producers.client import Client
from producers.open_transactions import OPEN_STATES, fence, state_of
from producers.settings import Settings

COLUMNS = ["topic", "partitions", "replication", "configuration"]


def topics_plan(settings: Settings, as_json: bool) -> int:
    """Print what is missing on the cluster and each setting that differs, with its danger; changes nothing. Blocks.

    Returns 0, 1 where a topic that is there is not as it should be, 3 where Kafka cannot be used.
    """

    async def work(client: Client) -> int:
        found = await plan(settings, kinds_of(settings))
        drift = sorted(found.drift, key=lambda one: not one.is_dangerous)
        if as_json:
            show({"missing": rows_of(found.missing), "differing": [asdict(one) for one in drift]})
        elif found.missing:
            print_rows(COLUMNS, [_row(topic) for topic in found.missing])
        say(*map(str, drift))
        say(f"topics missing: {len(found.missing)}" if found.missing else "every topic is there")
        return 1 if drift else 0

    return talk(settings, work)


def topics_apply(settings: Settings, begin_from: Literal["beginning", "now"] | None, as_json: bool) -> int:
    """Create what is missing, mend the settings, give participants without a position their first one; blocks.

    Nothing is created beside topics with another partition count; settings are mended all the same.
    Returns 0, 1 where something is left that this cannot mend, 3 where Kafka cannot be used.
    """

    async def work(client: Client) -> int:
        kinds = kinds_of(settings)
        try:
            created = await apply(settings, kinds, begin_from)
        except TopicsDiffer:
            # The plan names these topics again.
            created = ()
        mended, left = await mend(settings, (await plan(settings, kinds)).drift)
        if as_json:
            lists = {"differing": left, "mended": mended}
            show({"missing": rows_of(created)} | {name: [asdict(one) for one in some] for name, some in lists.items()})
        elif created:
            print_rows(COLUMNS, [_row(topic) for topic in created])
        say(*(f"{one.topic}: {one.setting} was {one.found}, is {one.value} now" for one in mended))
        say(*map(str, left))
        done = f"topics created: {len(created)}" if created else "every topic is there" if not left else ""
        say(*([done] if done else []), *([f"settings mended: {len(mended)}"] if mended else []))
        return 1 if left else 0

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


def rows_of(topics: Iterable[WantedTopic]) -> list[dict[str, Any]]:
    """Topics for JSON."""
    return [
        {
            "name": topic.name,
            "partitions": topic.partitions,
            "replication": topic.replication,
            "configuration": topic.configuration,
        }
        for topic in topics
    ]


def _row(topic: WantedTopic) -> list[object]:
    configuration = " ".join(f"{name}={value}" for name, value in topic.configuration.items())
    return [topic.name, topic.partitions, topic.replication, configuration]
