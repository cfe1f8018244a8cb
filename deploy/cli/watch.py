"""`soma watch [ID]`: one line for every change."""

import asyncio

from deploy.cli.live import line_of
from deploy.cli.talking import chosen, ended, exit_code_of, show, talk
from producers.client import Client
from producers.settings import Settings
from schemas.status import FINAL_STATES, SagaStatus

CHANGES_WAITING_MAX = 1_000


def watch(settings: Settings, saga_id: str | None, saga: str | None, as_json: bool) -> int:
    """Print the newest status of every saga, or of one, and each change from then on; blocks.

    Ends when the saga named has ended, with 0 where it completed and 1 where it ended otherwise; without an id only
    Ctrl-C ends it (3, as for a Kafka that does not answer).
    """

    async def work(client: Client) -> int:
        changes: asyncio.Queue[SagaStatus] = asyncio.Queue(maxsize=CHANGES_WAITING_MAX)

        async def follow(kind: str) -> None:
            async for one in client.watch_status(kind, saga_id):
                await changes.put(one)

        async def tell_all() -> int:
            while True:
                one = await changes.get()
                if as_json:
                    show(one.model_dump(mode="json"))
                else:
                    print(line_of(one), flush=True)
                if saga_id is not None and one.state in FINAL_STATES:
                    return exit_code_of(one.state)

        telling = asyncio.create_task(tell_all())
        following = [asyncio.create_task(follow(kind)) for kind in chosen(settings, saga)]
        try:
            await asyncio.wait([telling, *following], return_when=asyncio.FIRST_COMPLETED)
            for task in following:
                if task.done():
                    task.result()
            return await telling
        finally:
            await ended(telling, *following)

    return talk(settings, work, "no longer watching; the sagas go on")
