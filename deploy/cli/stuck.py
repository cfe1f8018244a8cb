"""`soma stuck list|retry`: the sagas that stand still, and the verb that frees them."""

from dataclasses import asdict, dataclass

from deploy.cli.publish import tell
from deploy.cli.status import status_of
from deploy.cli.tables import print_rows
from deploy.cli.talking import Invalid, ask, chosen, printable, show, talk
from producers.client import Client
from producers.settings import Settings
from schemas.engine import RetryItem
from schemas.status import STANDING_STATES, SagaStatus

COLUMNS = ("saga_id", "state", "participant", "step", "item", "cause", "freed_by")


@dataclass(frozen=True)
class StandingItem:
    """One item that a person must free. `step` is the item's own: the undo's name where a compensation is stuck."""

    saga_id: str
    saga: str
    state: str
    participant: str
    step: str
    item: str
    cause: str
    freed_by: str


def standing_in(status: SagaStatus) -> list[StandingItem]:
    """The items of one saga that stand still."""
    return [
        StandingItem(
            saga_id=status.saga_id,
            saga=status.saga,
            state=step.state,
            participant=step.participant,
            step=step.item.partition("/")[0],
            item=step.item,
            cause=status.cause or "",
            freed_by=f"soma stuck retry {status.saga_id} --item {step.item}",
        )
        for step in status.steps
        if status.state in STANDING_STATES and step.state in STANDING_STATES and step.item
    ]


def stuck_list(settings: Settings, saga: str | None, as_json: bool) -> int:
    """Print every item that stands still; returns 0, or 3 where Kafka does not answer. Blocks."""

    async def work(client: Client) -> int:
        found = [
            item
            for kind in chosen(settings, saga)
            for status in (await client.statuses(kind)).values()
            for item in standing_in(status)
        ]
        if as_json:
            show({"stuck": [asdict(item) for item in found]})
        else:
            print_rows(COLUMNS, [[getattr(item, name) for name in COLUMNS] for item in found])
        return 0

    return talk(settings, work)


def stuck_retry(settings: Settings, saga_id: str, item: str | None, reason: str, as_json: bool) -> int:
    """Ask for another attempt at one item of the saga, or at all that stand still, and wait for the answers; blocks.

    Returns 0 when all go on, 1 when one is refused, 2 where nothing stands still, 3 where Kafka or an answer does not
    come in time.
    """

    async def work(client: Client) -> int:
        status = await status_of(client, chosen(settings, None), saga_id)
        wanted = [one for one in standing_in(status) if item in (None, one.item)]
        if not wanted:
            named = f"item {printable(item)} of " if item is not None else ""
            raise Invalid(f"{named}{printable(saga_id)} does not stand still; `soma stuck list` lists what does")
        exit_code = 0
        for one in wanted:
            body = {"participant": one.participant, "step": one.step, "item": one.item, "reason": reason}
            published, answer = await ask(client, one.saga, f"{one.saga}.{RetryItem.suffix}", saga_id, body)
            exit_code = max(exit_code, tell(published, answer, as_json))
        return exit_code

    return talk(settings, work)
