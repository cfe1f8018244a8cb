"""`soma approve|reject|cancel ID`: a person's decision about one saga."""

from typing import Any

from deploy.cli.bodies import Written
from deploy.cli.publish import tell
from deploy.cli.talking import Invalid, ask, chosen, graphs_of, printable, talk
from producers.client import Client
from producers.settings import Settings


def decide(
    settings: Settings, verb: str, saga_id: str, body: dict[str, Any], saga: str | None = None, as_json: bool = False
) -> int:
    """Publish `<saga>.<verb>` with this body, and wait for the answer; blocks.

    Returns 0 when it is done, 1 when it is refused (the reason goes to stderr), 2 where no saga of this id takes such a
    command, 3 where Kafka or an answer does not come in time.
    """

    async def work(client: Client) -> int:
        kind = await _kind_of(client, settings, verb, saga_id, saga)
        command = graphs_of(settings)[kind].schema.commands()[f"{kind}.{verb}"]
        checked = Written(f"soma {verb}", body).checked(command, saga_id)
        published, answer = await ask(client, kind, f"{kind}.{verb}", saga_id, checked)
        return tell(published, answer, as_json)

    return talk(settings, work)


async def _kind_of(client: Client, settings: Settings, verb: str, saga_id: str, saga: str | None) -> str:
    """The saga kind that is meant: the only one with this command, or the one that knows the id."""
    graphs = graphs_of(settings)
    able = [kind for kind in chosen(settings, saga) if f"{kind}.{verb}" in graphs[kind].schema.commands()]
    if not able:
        raise Invalid(f"no saga kind has a command {verb}" if saga is None else f"{saga} has no command {verb}")
    if len(able) > 1:
        able = [kind for kind in able if saga_id in await client.statuses(kind, saga_id)]
    if len(able) > 1:
        raise Invalid(f"{printable(saga_id)} is the id of several sagas: name one with --saga, {' or '.join(able)}")
    if not able:
        raise Invalid(f"there is no saga {printable(saga_id)}; `soma status` lists them")
    return able[0]
