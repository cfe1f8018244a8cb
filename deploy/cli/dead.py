"""`soma dead list|show|discard`: what nobody could read, and what was given up. Replaying is in `replay.py`."""

import json

from deploy.cli.letters import GROUP_COLUMNS, Choice, as_json, group_row, grouped, letters_of, meant, shown
from deploy.cli.tables import print_rows
from deploy.cli.talking import Invalid, printable, say, show, talk, user_name
from producers.client import Client
from producers.dead_letters import Kept, discard
from producers.settings import Settings

COLUMNS = ["id", "state", "kind", "saga id", "step or type", "reason", "at"]


def dead_list(settings: Settings, choice: Choice, each: bool, discarded: bool, print_json: bool) -> int:
    """Print the dead letters in groups, or `each` by itself, oldest first; blocks.

    Discarded ones only on request. Returns 0, or 3 where Kafka does not answer.
    """

    async def work(client: Client) -> int:
        found = [kept for kept in await letters_of(client, settings, choice) if discarded or kept.state != "discarded"]
        if print_json:
            show({"groups": grouped(found), "dead_letters": [as_json(kept) for kept in found]})
        elif each:
            print_rows(COLUMNS, [_row(kept) for kept in found])
        else:
            print_rows(GROUP_COLUMNS, [group_row(group) for group in grouped(found)])
        return 0

    return talk(settings, work)


def dead_show(settings: Settings, letter_id: str, saga: str | None, on_one_line: bool) -> int:
    """Print one dead letter whole, as JSON; blocks.

    Returns 0, 2 where there is none of this id, 3 where Kafka does not answer.
    """

    async def work(client: Client) -> int:
        for kept in await letters_of(client, settings, Choice(letter_id=letter_id, saga=saga)):
            print(json.dumps(as_json(kept), indent=None if on_one_line else 2), flush=True)
            return 0
        raise Invalid(f"there is no dead letter {printable(letter_id)}; `soma dead list` lists them")

    return talk(settings, work)


def dead_discard(settings: Settings, choice: Choice, reason: str, print_json: bool) -> int:
    """Note for each letter that is meant that nothing more shall come of it; doing it twice does nothing more. Blocks.

    Returns 0, 2 where there is no letter of the id that is named, 3 where Kafka does not answer.
    """

    async def work(client: Client) -> int:
        found = await meant(client, settings, choice)
        wanted = [kept for kept in found if kept.state != "discarded"]
        for kept in wanted:
            await discard(client, kept, reason, user_name())
        before = len(found) - len(wanted)
        if print_json:
            show({"discarded": [kept.letter.id for kept in wanted], "discarded_before": before})
        say(f"{len(wanted)} discarded" + (f", {before} were before" if before else ""))
        return 0

    return talk(settings, work)


def reason_of(text: str) -> str:
    """The reason for a discard; raises `Invalid` for one without words. PURE."""
    if not text.strip():
        raise Invalid("--reason is empty: it is what tells others why nothing more shall come of the letter")
    return text.strip()


def _row(kept: Kept) -> list[str]:
    letter = kept.letter
    what = letter.step or letter.type or ""
    return [letter.id, kept.state, letter.kind, letter.saga_id or "", what, letter.reason, shown(letter.at)]
