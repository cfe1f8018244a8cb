"""The verbs that come in groups: `soma dead …`, `soma stuck …`, `soma steps …`, `soma topics …`."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import typer

from deploy.cli import dead, replay, resetting, steps, stuck, topics
from deploy.cli.letters import Choice, moment, named
from deploy.cli.options import Json, Kind, SagaId, settings
from deploy.cli.talking import Invalid, say

T = TypeVar("T")
dead_verbs = typer.Typer(no_args_is_help=True, help="What nobody could read, and what was given up.")
stuck_verbs = typer.Typer(no_args_is_help=True, help="The sagas that stand still.")
steps_verbs = typer.Typer(no_args_is_help=True, help="The steps that are paused.")
topics_verbs = typer.Typer(no_args_is_help=True, help="The topics the hub needs.")


LetterId = Annotated[str | None, typer.Argument(metavar="[ID]", help="As `soma dead list --letters` shows it.")]
Step = Annotated[str | None, typer.Option(help="Only of this step.")]
Type = Annotated[str | None, typer.Option("--type", help="Only of this message type.")]
Fingerprint = Annotated[str | None, typer.Option(help="Only of this group.")]
LetterKind = Annotated[Literal["unreadable", "failed"] | None, typer.Option(help="Only of this kind.")]
Since = Annotated[str | None, typer.Option(help="Only from this moment on: 2026-04-01T12:00, or 2h for hours ago.")]
Until = Annotated[str | None, typer.Option(help="Only up to this moment.")]
OfSaga = Annotated[str | None, typer.Option("--saga-id", help="Only of this saga.")]


def _choice(since: str | None, until: str | None, **words: Any) -> Choice:
    now = datetime.now(UTC)
    return _or_leave(lambda: Choice(since=moment(since, now), until=moment(until, now), **words))


def _or_leave(meaning: Callable[[], T]) -> T:
    """What the words mean; leaves with exit code 2, before anything is connected, where they cannot be meant."""
    try:
        return meaning()
    except Invalid as invalid:
        say(*invalid.lines)
        raise typer.Exit(2) from None


@dead_verbs.command(name="list")
def dead_list(
    letters: Annotated[bool, typer.Option("--letters", help="Each letter by itself, not in groups.")] = False,
    discarded: Annotated[bool, typer.Option("--all", help="Those that were discarded as well.")] = False,
    saga: Kind = None,
    step: Step = None,
    wire_type: Type = None,
    fingerprint: Fingerprint = None,
    kind: LetterKind = None,
    since: Since = None,
    until: Until = None,
    saga_id: OfSaga = None,
    as_json: Json = False,
) -> None:
    """List the dead letters in groups of one cause, what happened last at the end."""
    words = {
        "saga": saga,
        "step": step,
        "type": wire_type,
        "fingerprint": fingerprint,
        "kind": kind,
        "saga_id": saga_id,
    }
    raise typer.Exit(dead.dead_list(settings(), _choice(since, until, **words), letters, discarded, as_json))


@dead_verbs.command(name="show")
def dead_show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="As `soma dead list` shows it.", show_default=False)],
    saga: Kind = None,
    as_json: Json = False,
) -> None:
    """Print one dead letter whole: where the record stood, what it said, why it is dead, what was decided."""
    raise typer.Exit(dead.dead_show(settings(), letter_id, saga, as_json))


@dead_verbs.command(name="discard")
def dead_discard(
    reason: Annotated[str, typer.Option(help="Why nothing more shall come of it.", show_default=False)],
    letter_id: LetterId = None,
    saga: Kind = None,
    step: Step = None,
    wire_type: Type = None,
    fingerprint: Fingerprint = None,
    kind: LetterKind = None,
    since: Since = None,
    until: Until = None,
    saga_id: OfSaga = None,
    as_json: Json = False,
) -> None:
    """Note that nothing more shall come of a dead letter, or of all that fit."""
    words = {
        "saga": saga,
        "step": step,
        "type": wire_type,
        "fingerprint": fingerprint,
        "kind": kind,
        "saga_id": saga_id,
    }
    choice = _choice(since, until, letter_id=letter_id, **words)
    why = _or_leave(lambda: dead.reason_of(reason))
    _or_leave(lambda: named(choice, "discard"))
    raise typer.Exit(dead.dead_discard(settings(), choice, why, as_json))


@dead_verbs.command(name="replay")
def dead_replay(
    letter_id: LetterId = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which would pass now; change nothing.")] = False,
    rate: Annotated[str, typer.Option(help="How fast the rest follows the first.")] = replay.RATE,
    saga: Kind = None,
    step: Step = None,
    wire_type: Type = None,
    fingerprint: Fingerprint = None,
    kind: LetterKind = None,
    since: Since = None,
    until: Until = None,
    saga_id: OfSaga = None,
    as_json: Json = False,
) -> None:
    """Try dead letters once more: one first, then the rest, no further after a repeated failure."""
    words = {
        "saga": saga,
        "step": step,
        "type": wire_type,
        "fingerprint": fingerprint,
        "kind": kind,
        "saga_id": saga_id,
    }
    choice = _choice(since, until, letter_id=letter_id, **words)
    per_second = _or_leave(lambda: replay.rate_of(rate))
    _or_leave(lambda: named(choice, "replay"))
    if dry_run:
        raise typer.Exit(replay.dead_rehearse(settings(), choice, as_json))
    raise typer.Exit(replay.dead_replay(settings(), choice, per_second, as_json))


@stuck_verbs.command(name="list")
def stuck_list(saga: Kind = None, as_json: Json = False) -> None:
    """List what stands still, why, and what frees it."""
    raise typer.Exit(stuck.stuck_list(settings(), saga, as_json))


@stuck_verbs.command(name="retry")
def stuck_retry(
    saga_id: SagaId,
    item: Annotated[str | None, typer.Option(help="Only this item; all that stand still otherwise.")] = None,
    reason: Annotated[str, typer.Option(help="Why it will work now.")] = "",
    as_json: Json = False,
) -> None:
    """Try a standing step or compensation again, with its original key."""
    raise typer.Exit(stuck.stuck_retry(settings(), saga_id, item, reason, as_json))


@stuck_verbs.command(name="resolve")
def stuck_resolve(
    saga_id: SagaId,
    evidence: Annotated[str, typer.Option(help="What was done by hand, and where it can be seen.", show_default=False)],
    item: Annotated[str | None, typer.Option(help="Only this item; all that stand still otherwise.")] = None,
    as_json: Json = False,
) -> None:
    """Count a stuck compensation as done: you have undone it by hand."""
    raise typer.Exit(stuck.stuck_resolve(settings(), saga_id, item, evidence, as_json))


@stuck_verbs.command(name="skip")
def stuck_skip(
    saga_id: SagaId,
    reason: Annotated[str, typer.Option(help="Why what it should have undone may stay.", show_default=False)],
    item: Annotated[str | None, typer.Option(help="Only this item; all that stand still otherwise.")] = None,
    as_json: Json = False,
) -> None:
    """Give a stuck compensation up; the saga goes on without it."""
    raise typer.Exit(stuck.stuck_skip(settings(), saga_id, item, reason, as_json))


@steps_verbs.command(name="list")
def steps_list(saga: Kind = None, as_json: Json = False) -> None:
    """List the steps that are paused because they failed too often: where, why, and what lets them go on."""
    raise typer.Exit(steps.steps_list(settings(), saga, as_json))


@steps_verbs.command(name="resume")
def steps_resume(
    participant: Annotated[str, typer.Argument(help="Whose step it is.", show_default=False)],
    step: Annotated[str, typer.Argument(help="As `soma steps list` shows it.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why it will work now.")] = "",
    as_json: Json = False,
) -> None:
    """Let a paused step go on, in every partition; what was held starts, unspent."""
    raise typer.Exit(steps.steps_resume(settings(), participant, step, reason, as_json))


@topics_verbs.command(name="plan")
def topics_plan(as_json: Json = False) -> None:
    """Show what is missing on the cluster, and each setting that differs with its danger; change nothing."""
    raise typer.Exit(topics.topics_plan(settings(), as_json))


@topics_verbs.command(name="apply")
def topics_apply(
    begin_from: Annotated[
        Literal["beginning", "now"] | None,
        typer.Option("--from", help="Where participants begin that join a saga with history, or the lane to reset."),
    ] = None,
    reset: Annotated[
        str | None,
        typer.Option(metavar="PARTICIPANT", help="Only set the position of this participant in one partition."),
    ] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="The partition of the lane to reset.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Reset without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Create what is missing and mend settings that differ, or give one lane another position with --reset."""
    if reset is None:
        if partition is not None or yes:
            say("--partition and --yes belong to --reset PARTICIPANT")
            raise typer.Exit(2)
        raise typer.Exit(topics.topics_apply(settings(), begin_from, as_json))
    if partition is None or begin_from is None:
        say("--reset PARTICIPANT needs --partition N and --from beginning|now")
        raise typer.Exit(2)
    raise typer.Exit(resetting.topics_reset(settings(), reset, partition, begin_from, yes, as_json))


@topics_verbs.command(name="abort")
def topics_abort(
    transactional_id: Annotated[str, typer.Argument(help="As `soma doctor` shows it.", show_default=False)],
    as_json: Json = False,
) -> None:
    """End an open transaction that hides records from every reader; nothing of it is ever read."""
    raise typer.Exit(topics.topics_abort(settings(), transactional_id, as_json))
