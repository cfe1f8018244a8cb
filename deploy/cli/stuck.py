"""`soma stuck list|retry|resolve|skip`: the sagas that stand still, and the verbs that free them."""

import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from deploy.cli.live import standing_steps
from deploy.cli.publish import tell
from deploy.cli.status import status_of
from deploy.cli.tables import print_rows
from deploy.cli.talking import Invalid, ask, chosen, printable, show, talk, user_name
from producers.client import Client
from producers.dead_letters import Kept, dead_letters, note_replayed
from producers.settings import Settings
from schemas.engine import EngineCommand, ResolveItem, RetryItem, SkipItem
from schemas.status import FLOW_CHANGED, STANDING_STATES, SagaStatus, StepStatus

COLUMNS = ("saga_id", "state", "participant", "step", "item", "cause", "freed_by")


@dataclass(frozen=True)
class StandingItem:
    """One item that a person must free. `step` is the item's own: the undo's name where a compensation is stuck.

    `item` is empty where the whole step is paused: that is freed for every saga at once, and not item by item. So it is
    where only another build lets the saga go on; `freed_by` is empty then too.
    `freed_by` has the command lines that free it, joined by " | ".
    """

    saga_id: str
    saga: str
    state: str
    participant: str
    step: str
    item: str
    cause: str
    freed_by: str


def standing_in(status: SagaStatus) -> list[StandingItem]:
    """The items of one saga that stand still; where no verb frees it, one without item that tells the cause."""
    if status.state not in STANDING_STATES:
        return []
    found = [
        StandingItem(
            saga_id=status.saga_id,
            saga=status.saga,
            state=step.state,
            participant=step.participant,
            step=step.name if step.freed_by or not step.item else step.item.partition("/")[0],
            item="" if step.freed_by or not step.item else step.item,
            cause=step.cause or status.cause or "",
            freed_by=step.freed_by or " | ".join(_verbs(status, step)),
        )
        for step in standing_steps(status)
        if step.item or step.freed_by
    ]
    cause = status.cause or ""
    return found or [StandingItem(status.saga_id, status.saga, status.state, "", "", "", cause, "")]


def _verbs(status: SagaStatus, step: StepStatus) -> list[str]:
    named = shlex.join([status.saga_id, "--item", step.item or ""])
    verbs = [f"soma stuck retry {named}"]
    if step.state == "stuck" and status.outcome is not None:
        # It is a compensation, for the saga has ended: what it should undo can be undone by hand, or stay.
        verbs += [f"soma stuck resolve {named} --evidence TEXT", f"soma stuck skip {named} --reason TEXT"]
    elif step.state == "held" and (step.cause or "").startswith(FLOW_CHANGED):
        verbs.append(f"soma stuck skip {named} --reason TEXT")
    return verbs


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


def letters_about(one: StandingItem, letters: Iterable[Kept]) -> list[Kept]:
    """The open dead letters of an item that stands still: when it is retried, they are replayed. PURE."""
    named = (one.saga_id, one.participant, one.item)
    return [
        kept
        for kept in letters
        if kept.state == "open" and (kept.letter.saga_id, kept.letter.participant, kept.letter.item) == named
    ]


def stuck_retry(settings: Settings, saga_id: str, item: str | None, reason: str, as_json: bool) -> int:
    """Ask for another attempt at one item of the saga, or at all that stand still; see `_free` for what it returns."""
    return _free(settings, RetryItem, saga_id, item, {"reason": reason}, as_json)


def stuck_resolve(settings: Settings, saga_id: str, item: str | None, evidence: str, as_json: bool) -> int:
    """Say that a stuck compensation was done by hand, or all of the saga; see `_free` for what it returns."""
    return _free(settings, ResolveItem, saga_id, item, {"evidence": evidence}, as_json)


def stuck_skip(settings: Settings, saga_id: str, item: str | None, reason: str, as_json: bool) -> int:
    """Give a stuck compensation up, or all of the saga; see `_free` for what it returns."""
    return _free(settings, SkipItem, saga_id, item, {"reason": reason}, as_json)


def _free(
    settings: Settings,
    verb: type[EngineCommand],
    saga_id: str,
    item: str | None,
    words: dict[str, str],
    as_json: bool,
) -> int:
    """Publish the command for one item or for all that stand still, and wait for the answers; blocks.

    Returns 0 when all go on, 1 when one is refused, 2 where nothing stands still or the words are missing, 3 where
    Kafka or an answer does not come in time.
    """

    async def work(client: Client) -> int:
        for option, text in words.items():
            if verb is not RetryItem and not text.strip():
                raise Invalid(f"--{option} is empty: it is what tells others why the item was freed")
        status = await status_of(client, chosen(settings, None), saga_id)
        standing = standing_in(status)
        wanted = [one for one in standing if one.item and item in (None, one.item)]
        paused = [one.freed_by for one in standing if not one.item and one.freed_by]
        if not wanted and paused and item is None:
            raise Invalid(f"{printable(saga_id)} waits at a paused step: `{printable(paused[0])}` lets it go on")
        if standing and not standing[0].freed_by:
            raise Invalid(f"{printable(saga_id)} has no item that could be freed: {printable(standing[0].cause)}")
        if not wanted:
            named = f"item {printable(item)} of " if item is not None else ""
            raise Invalid(f"{named}{printable(saga_id)} does not stand still; `soma stuck list` lists what does")
        # Read before: what fails again has a letter of its own, which is open.
        letters = await dead_letters(client, status.saga) if verb is RetryItem else []
        exit_code = 0
        for one in wanted:
            body = {"participant": one.participant, "step": one.step, "item": one.item} | words
            published, answer = await ask(client, one.saga, verb.type_in(one.saga), saga_id, body)
            exit_code = max(exit_code, tell(published, answer, as_json))
            if answer.kind == "event":
                for kept in letters_about(one, letters):
                    await note_replayed(client, kept, published.id, user_name())
        return exit_code

    return talk(settings, work)
