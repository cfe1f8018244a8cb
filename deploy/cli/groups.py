"""The verbs that come in groups: `soma dead …`, `soma stuck …`, `soma topics …`."""

from typing import Annotated, Literal

import typer

from deploy.cli import dead, stuck, topics
from deploy.cli.options import Json, Kind, SagaId, settings

dead_verbs = typer.Typer(no_args_is_help=True, help="What nobody could read, and what was given up.")
stuck_verbs = typer.Typer(no_args_is_help=True, help="The sagas that stand still.")
topics_verbs = typer.Typer(no_args_is_help=True, help="The topics the hub needs.")


@dead_verbs.command(name="list")
def dead_list(saga: Kind = None, as_json: Json = False) -> None:
    """List the dead letters, oldest first."""
    raise typer.Exit(dead.dead_list(settings(), saga, as_json))


@dead_verbs.command(name="show")
def dead_show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="As `soma dead list` shows it.", show_default=False)],
    saga: Kind = None,
    as_json: Json = False,
) -> None:
    """Print one dead letter whole: where the record stood, what it said, why it is dead."""
    raise typer.Exit(dead.dead_show(settings(), letter_id, saga, as_json))


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


@topics_verbs.command(name="plan")
def topics_plan(as_json: Json = False) -> None:
    """Show what is missing on the cluster; change nothing."""
    raise typer.Exit(topics.topics_plan(settings(), as_json))


@topics_verbs.command(name="apply")
def topics_apply(
    begin_from: Annotated[
        Literal["beginning", "now"] | None,
        typer.Option("--from", help="Where participants begin that join a saga with history."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create what is missing; never changes what is there."""
    raise typer.Exit(topics.topics_apply(settings(), begin_from, as_json))
