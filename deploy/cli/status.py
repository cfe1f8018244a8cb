"""`soma status [ID]`: where the sagas stand."""

import asyncio

from rich.console import Console
from rich.text import Text

from deploy.cli.live import in_time, ways_on, why_of
from deploy.cli.tables import print_rows
from deploy.cli.talking import Invalid, chosen, ended, exit_code_of, printable, show, talk
from producers.client import Client
from producers.settings import Settings
from schemas.status import FINAL_STATES, STANDING_STATES, SagaStatus

# Between a saga's first event and its first status there is a transaction of the tracker's.
FIRST_STATUS_WITHIN_SECONDS = 2.0
COLUMNS = ["id", "saga", "state", "progress", "waits for / cause", "updated"]


def status(settings: Settings, saga_id: str | None, saga: str | None, as_json: bool) -> int:
    """Print the newest status of every saga, or of one with its steps; blocks.

    Returns 0; for one saga 1 where it ended otherwise than completed or stands still, 2 where it is not known; 3 where
    Kafka does not answer.
    """

    async def work(client: Client) -> int:
        kinds = chosen(settings, saga)
        if saga_id is None:
            found = [one for kind in kinds for one in (await client.statuses(kind)).values()]
            found.sort(key=lambda one: one.updated_at)
            if as_json:
                show({"sagas": [one.model_dump(mode="json") for one in found]})
            else:
                print_rows(COLUMNS, [row_of(one) for one in found])
            return 0
        known = await status_of(client, kinds, saga_id)
        if as_json:
            show(known.model_dump(mode="json"))
        else:
            print_status(known)
        return exit_code_of(known.state)

    return talk(settings, work)


async def status_of(client: Client, kinds: list[str], saga_id: str) -> SagaStatus:
    """The newest status of one saga.

    Raises `Invalid` where no status topic has it, up to the end as it was at the call; `TimedOut` where that end was
    not reached in time.
    """
    looking = [asyncio.create_task(client.status_of(kind, saga_id, FIRST_STATUS_WITHIN_SECONDS)) for kind in kinds]
    try:
        for look in asyncio.as_completed(looking):
            found = await look
            if found is not None:
                return found
        raise Invalid(f"there is no saga {printable(saga_id)}; `soma status` lists them")
    finally:
        await ended(*looking)


def row_of(one: SagaStatus) -> tuple[str, ...]:
    """One saga as a row of the list."""
    delayed = next((f"{step.name} {step.state}: {step.cause}" for step in one.steps if step.cause), "")
    what = one.cause or (f"waits for {one.waiting_for}" if one.waiting_for else delayed)
    if one.stalled is not None:
        what = f"stalled: {one.stalled.found or one.stalled.participant}"
    updated = one.updated_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return one.saga_id, one.saga, one.state, f"{one.progress_percent} %", what, updated


def print_status(one: SagaStatus) -> None:
    """One saga in full, for people, on stdout."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"{printable(one.saga_id)} ({one.saga}): {one.state}, {one.progress_percent} %"))
    for step in in_time(one.steps):
        tried = f", attempt {step.attempts}" if step.attempts > 1 else ""
        said = f" → {step.said}" if step.said else ""
        freed = f" [{step.item}]" if step.item and step.state in STANDING_STATES else ""
        why = f": {why_of(step)}" if why_of(step) else ""
        console.print(Text(f"  {step.state:<9} {step.name}{tried}{said}{printable(freed)}{why}"))
    for name, value in (("waits for", one.waiting_for), ("until", one.deadline), ("cause", one.cause)):
        if value is not None:
            console.print(Text(f"  {name}: {printable(value)}"))
    if one.stalled is not None:
        owed = " or ".join(one.stalled.missing)
        console.print(Text(f"  stalled: {printable(one.stalled.found)}"))
        console.print(Text(f"  {one.stalled.participant} owes {owed} since {one.stalled.since}"))
    for way in ways_on(one):
        console.print(Text(f"  {way}"))
    if one.state not in STANDING_STATES | FINAL_STATES and one.waiting_for:
        console.print(Text(f"  `soma approve {printable(one.saga_id)}` or `soma reject {printable(one.saga_id)}`"))
