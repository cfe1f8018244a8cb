"""`soma run BRIEF.yaml`: a campaign from its brief to its results."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from consumers.runtime.drawing import story_of
from deploy.cli.bodies import Written, read_file
from deploy.cli.following import Following, Silence
from deploy.cli.live import Lines, Screen, View
from deploy.cli.publish import id_for, tell
from deploy.cli.results import result_of, stored_records, words_of
from deploy.cli.review import Decision, EndOfInput, Keyboard, Verb, decided, decision, show_draft
from deploy.cli.talking import Invalid, ask, exit_code_of, graphs_of, guarded, printable, say, show, talk
from deploy.cli.up import bring_up
from deploy.local.stack import Stack
from producers.answers import Published
from producers.client import Client
from producers.settings import Settings
from schemas.campaign import StartCampaign
from schemas.status import SagaStatus

SAGA = StartCampaign.saga()


class Run:
    """One `soma run`. `verb` decides instead of the person; without it and without a terminal nobody is asked."""

    def __init__(self, settings: Settings, saga_id: str, verb: Verb | None, as_json: bool) -> None:
        self._settings, self._saga_id, self._verb, self._as_json = settings, saga_id, verb, as_json
        self._terminal = has_terminal()
        self._console = Console(stderr=True, highlight=False)
        self._commands: list[str] = []
        self._started: Published | None = None

    async def carry(self, client: Client, body: dict[str, Any]) -> int:
        """Start the campaign, or find it where its id was used before, and see it to its end; returns the exit code."""
        published, answer = await ask(client, SAGA, StartCampaign.wire_type, self._saga_id, body)
        self._commands.append(published.id)
        if answer.kind == "event":
            self._started = published
        elif answer.kind == "refused" and self._saga_id in await client.statuses(SAGA, self._saga_id):
            say(f"{printable(answer.reason)}; this shows how it stands")
        else:
            return tell(published, answer, self._as_json)
        following = Following(self._view(), partial(self._asks, client), partial(self._decide, client))
        try:
            last = await following.to_the_end(client, SAGA, self._saga_id)
        except Silence as silence:
            say(f"{silence}: `soma doctor` looks why, `soma watch {printable(self._saga_id)}` goes on")
            if self._as_json and silence.last is not None:
                show(result_of(silence.last, self._settings, None))
            return 3
        except EndOfInput:
            say(going_on(self._saga_id))
            return 3
        return await self._tell_end(last)

    def _view(self) -> View:
        return Screen(self._console, story_of(graphs_of(self._settings)[SAGA])) if self._terminal else Lines()

    async def _asks(self, client: Client, status: SagaStatus) -> Decision | None:
        if self._verb is not None:
            return decision(self._verb)
        if not self._terminal:
            say(f"it waits for {status.waiting_for}: {going_on(self._saga_id)}")
            return None
        show_draft(self._console, await client.facts(SAGA, self._saga_id, self._started), self._settings.home)
        return await decided(self._console, Keyboard())

    async def _decide(self, client: Client, made: Decision) -> None:
        published, answer = await ask(client, SAGA, f"{SAGA}.{made.verb}", self._saga_id, made.body)
        self._commands.append(published.id)
        if answer.kind != "event":
            say(f"{made.verb} was not taken: {printable(answer.reason)}")

    async def _tell_end(self, last: SagaStatus) -> int:
        records = await stored_records(self._settings, last, self._commands)
        lines = words_of(last, self._settings, records)
        if self._as_json:
            say(*lines)
            show(result_of(last, self._settings, records))
        else:
            print("\n".join(lines), flush=True)
        if self._settings.kafka_bootstrap_servers is None:
            say("the stack goes on: `soma down` stops it")
        return exit_code_of(last.state)


def run(settings: Settings, brief: Path, verb: Verb | None, saga_id: str | None, as_json: bool) -> int:
    """Bring the stack up if none is named elsewhere, start the campaign and follow it to its end; blocks.

    Returns 0 where it completed; 1 where it ended otherwise, was refused or stands still; 2 for a brief or a use that
    cannot be meant (nothing is started then); 3 where something does not answer, nothing happens for two minutes, or
    the person leaves.
    """

    def start() -> int:
        written = read_file(brief)
        graph = graphs_of(settings)[SAGA]
        identity = id_for(graph, StartCampaign.wire_type, saga_id, written)
        body = checked(written, identity, verb)
        if settings.kafka_bootstrap_servers is None:
            bring_up(Stack(settings))
        say(f"campaign {printable(identity)}")
        carried = Run(settings, identity, verb, as_json)
        return talk(settings, lambda client: carried.carry(client, body), going_on(identity))

    return guarded(settings, start, "interrupted before the campaign was started")


def checked(written: Written, saga_id: str, verb: Verb | None) -> dict[str, Any]:
    """The brief as the command's body; raises `Invalid` for mistakes in it, and where nobody could decide."""
    body = written.checked(StartCampaign, saga_id)
    review = StartCampaign.model_validate(body).review
    if review == "none" and verb == "reject":
        raise Invalid(f"{written.where(('review',))}: the brief asks for no review, so --reject would not be heard")
    if review == "required" and verb is None and not has_terminal():
        raise Invalid(
            f"{written.where(('review',))}: the brief asks for a review, but there is no terminal to ask at: use"
            " --approve or --reject, or `soma publish campaign.start` and `soma approve` later"
        )
    return body


def has_terminal() -> bool:
    """Whether a person can be shown something, and answer."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def going_on(saga_id: str) -> str:
    """What a person can do about a campaign they no longer follow."""
    named = printable(saga_id)
    return f"the campaign goes on: `soma watch {named}`, `soma approve {named}`, `soma reject {named}`"
