"""How `soma run` ends: where the results are, and what ClickHouse holds of them."""

import asyncio
import time
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client as StoreClient
from clickhouse_connect.driver.exceptions import ClickHouseError

from consumers.clickhouse.diagnosis import clickhouse_failure
from deploy.cli.live import ways_on
from deploy.cli.query import client_for
from deploy.cli.talking import printable, say
from producers.errors import ConnectionFailed
from producers.settings import Settings
from schemas.status import FINAL_STATES, SagaStatus

CAUGHT_UP_WITHIN_SECONDS = 20.0
ASK_AGAIN_AFTER_SECONDS = 0.2
# The sink stores each topic on its own: all of the saga is there once its facts and its status both tell of the end
# and the commands that led to it are there.
COUNT = """
SELECT (SELECT count() FROM messages WHERE saga = {saga:String} AND saga_id = {saga_id:String}),
       (SELECT any(state) FROM sagas WHERE saga = {saga:String} AND saga_id = {saga_id:String}),
       (SELECT any(state) FROM statuses WHERE saga = {saga:String} AND saga_id = {saga_id:String}),
       (SELECT uniqExact(id) FROM commands WHERE saga = {saga:String} AND saga_id = {saga_id:String}
           AND id IN {commands:Array(String)})
"""


async def stored_records(settings: Settings, status: SagaStatus, commands: list[str]) -> int | None:
    """How many records ClickHouse holds of the saga, once the sink has caught up with its end.

    Waits 20 s at most; None where ClickHouse does not answer. `commands` are the ids of those published for the saga.
    """
    try:
        client = await asyncio.to_thread(client_for, settings)
    except ConnectionFailed as failure:
        say(str(failure))
        return None
    try:
        return await _when_caught_up(client, status, commands)
    except ClickHouseError as error:
        say(str(await asyncio.to_thread(clickhouse_failure, settings, error)))
        return None
    finally:
        await asyncio.to_thread(client.close)


async def _when_caught_up(client: StoreClient, status: SagaStatus, commands: list[str]) -> int | None:
    named = {"saga": status.saga, "saga_id": status.saga_id, "commands": commands}
    deadline = time.monotonic() + CAUGHT_UP_WITHIN_SECONDS
    while True:
        ((count, *rest),) = (await asyncio.to_thread(client.query, COUNT, named)).result_rows
        # A saga that only stands still is told of by its status alone.
        told = status.state if status.state in FINAL_STATES else rest[0]
        if tuple(rest) == (told, status.state, len(commands)):
            return int(count)
        if time.monotonic() > deadline:
            say(f"the sink has not caught up within {CAUGHT_UP_WITHIN_SECONDS:.0f} s: `soma doctor`")
            return int(count)
        await asyncio.sleep(ASK_AGAIN_AFTER_SECONDS)


def result_of(status: SagaStatus, settings: Settings, records: int | None) -> dict[str, Any]:
    """The run as one JSON object."""
    return {
        "saga_id": status.saga_id,
        "saga": status.saga,
        "state": status.state,
        "outcome": status.outcome,
        "cause": status.cause,
        "links": links_of(status, settings.home),
        "site": str(settings.home / "site" / "index.html"),
        "mail": str(settings.home / "mail"),
        "clickhouse_records": records,
        "trace_id": status.trace_id,
    }


def links_of(status: SagaStatus, home: Path) -> dict[str, str]:
    """Where each channel's result lies, by channel, as absolute paths."""
    links = (status.outcome or {}).get("links")
    return {channel: str(home / path) for channel, path in links.items()} if isinstance(links, dict) else {}


def words_of(status: SagaStatus, settings: Settings, records: int | None) -> list[str]:
    """The same for people."""
    took_seconds = (status.updated_at - status.started_at).total_seconds()
    why = f": {printable(status.cause)}" if status.cause else ""
    lines = [f"{printable(status.saga_id)} {status.state} after {took_seconds:.1f} s{why}"]
    links = links_of(status, settings.home)
    width = max((len(name) for name in (*links, "site")), default=0)
    lines += [f"  {channel:<{width}}  {path}" for channel, path in links.items()]
    if links:
        lines.append(f"  {'site':<{width}}  {settings.home / 'site' / 'index.html'}")
    if "email" in links and settings.smtp_url is None:
        lines.append(f"  {'mail':<{width}}  {settings.home / 'mail'}")
    lines += [f"  {way}" for way in ways_on(status)]
    if records is not None:
        lines.append(f"  ClickHouse holds {records} records of it")
    return lines
