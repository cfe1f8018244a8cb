"""`soma topics apply --reset`: gives a lane another position, after saying what is skipped."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import typer

from consumers.kinds import SagaKind
from consumers.resets import lane_reset
from consumers.runtime.resetting import BeginFrom, InputReset, Reset
from deploy.cli.tables import print_rows
from deploy.cli.talking import Invalid, guarded, kinds_of, printable, say, show, talk
from producers.client import Client
from producers.errors import PositionLost
from producers.settings import Settings

COLUMNS = ("topic", "position", "log start", "log end", "begins at", "deleted", "skipped", "read again")


def topics_reset(
    settings: Settings,
    participant: str,
    partition: int,
    begin_from: BeginFrom,
    yes: bool,
    as_json: bool,
    confirm: Callable[[str], bool] | None = None,
) -> int:
    """Say what another position of this lane skips, ask, and write it; a lane that runs is fenced. Blocks.

    `confirm` asks a person; by default at the terminal, where there is one.

    Returns 0 when it is written, 1 where the person says no, 2 where the lane does not exist or there is no person to
    ask, 3 where Kafka does not answer or the lane opens again each time before the position is written.
    """
    asks = confirm or (_ask if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() else None)

    async def work(kind: SagaKind, _: Client) -> int:
        async with lane_reset(settings, kind, participant, partition) as lane:
            try:
                planned = await lane.plan(begin_from)
            except PositionLost as error:
                raise Invalid(str(error)) from None
            if not (as_json and yes):
                tell(planned, as_json, is_done=False)
            if not yes and (as_json or asks is None):
                say("nothing is changed: repeat the command with --yes")
                return 2
            if not yes and asks is not None and not await asyncio.to_thread(asks, "Write this position?"):
                say("nothing is changed")
                return 1
            done = await lane.write(begin_from)
        if as_json:
            tell(done, as_json, is_done=True)
        place = f"{printable(participant)}.{partition}"
        say(f"the position of {place} is written; a worker that carries it opens it from there by itself")
        return 0

    # A participant that does not exist is refused before anything is connected.
    return guarded(settings, lambda: talk(settings, partial(work, _kind_of(settings, participant))))


def _kind_of(settings: Settings, participant: str) -> SagaKind:
    kinds = kinds_of(settings)
    found = next((kind for kind in kinds if participant in kind.participants), None)
    if found is None:
        known = ", ".join(name for kind in kinds for name in kind.participants)
        raise Invalid(f"there is no participant {printable(participant)!r}; there are {known}")
    return found


def _ask(question: str) -> bool:
    return typer.confirm(question, err=True)


def tell(reset: Reset, as_json: bool, is_done: bool) -> None:
    """Print what is skipped: rows or JSON on stdout, the words about them on stderr."""
    place = f"{reset.participant}.{reset.partition}"
    if as_json:
        said = {"participant": reset.participant, "partition": reset.partition, "from": reset.begin_from}
        show(said | {"causes": reset.causes, "inputs": [asdict(one) for one in reset.inputs], "reset": is_done})
        return
    print_rows(COLUMNS, [_row(one) for one in reset.inputs])
    say(*(f"{place} {cause}" for cause in reset.causes))
    for one in reset.inputs:
        say(*_consequences(one, reset.participant))


def _row(one: InputReset) -> list[object]:
    position = "none" if one.position is None else one.position
    return [one.topic, position, one.log_start, one.log_end, one.begins_at, one.deleted, one.skipped, one.repeated]


def _consequences(one: InputReset, participant: str) -> list[str]:
    lines: list[str] = []
    if one.deleted:
        lines.append(f"{one.topic}: up to {one.deleted} records were deleted unread; no position brings them back")
    if one.skipped:
        lines.append(
            f"{one.topic}: up to {one.skipped} records from {one.begins_at - one.skipped} to {one.begins_at - 1} are"
            f" skipped: {participant} never reads them, and a saga that waits for what they lead to stands still"
        )
    if one.repeated:
        lines.append(
            f"{one.topic}: up to {one.repeated} records may have been read before; what the lane still remembers of a"
            " saga is not done again"
        )
    return lines
