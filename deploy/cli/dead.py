"""`soma dead list|show`: what nobody could read, and what was given up."""

import json

from deploy.cli.tables import print_rows
from deploy.cli.talking import Invalid, chosen, printable, show, talk
from producers.client import Client
from producers.settings import Settings
from schemas.dead_letter import DeadLetter

COLUMNS = ["id", "kind", "saga id", "step or type", "reason", "at"]


def dead_list(settings: Settings, saga: str | None, as_json: bool) -> int:
    """Print every dead letter, oldest first; returns 0, or 3 where Kafka does not answer. Blocks."""

    async def work(client: Client) -> int:
        found = await _letters(client, chosen(settings, saga))
        if as_json:
            show({"dead_letters": [letter.model_dump(mode="json") for letter in found]})
        else:
            print_rows(COLUMNS, [_row(letter) for letter in found])
        return 0

    return talk(settings, work)


def dead_show(settings: Settings, letter_id: str, saga: str | None, as_json: bool) -> int:
    """Print one dead letter whole, as JSON, on one line with `as_json`; blocks.

    Returns 0, 2 where there is none of this id, 3 where Kafka does not answer.
    """

    async def work(client: Client) -> int:
        for letter in await _letters(client, chosen(settings, saga)):
            if letter.id == letter_id:
                print(json.dumps(letter.model_dump(mode="json"), indent=None if as_json else 2), flush=True)
                return 0
        raise Invalid(f"there is no dead letter {printable(letter_id)}; `soma dead list` lists them")

    return talk(settings, work)


async def _letters(client: Client, kinds: list[str]) -> list[DeadLetter]:
    found = [letter for kind in kinds for letter in await client.dead_letters(kind)]
    return sorted(found, key=lambda letter: letter.at)


def _row(letter: DeadLetter) -> list[str]:
    at = letter.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return [letter.id, letter.kind, letter.saga_id or "", letter.step or letter.type or "", letter.reason, at]
