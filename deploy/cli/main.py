"""The `soma` command: every verb is one file beside this one; here they get their options.

What a verb alone needs (the store's engine, the stack, Kafka's jars) is loaded when it is called, so that the others
answer sooner.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from deploy.cli import decide, flow, publish, status, watch
from deploy.cli.groups import dead_verbs, steps_verbs, stuck_verbs, topics_verbs
from deploy.cli.options import Json, Kind, SagaId, daemon_settings, settings
from deploy.cli.review import REASON
from deploy.cli.talking import user_name
from deploy.cli.terminal import fall_back

app = typer.Typer(name="soma", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(dead_verbs, name="dead")
app.add_typer(stuck_verbs, name="stuck")
app.add_typer(steps_verbs, name="steps")
app.add_typer(topics_verbs, name="topics")
Id = Annotated[str | None, typer.Option("--id", help="The saga's id; a new one is made where none is given.")]
MaybeId = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="The saga's id; all without it.", show_default=False)
]
Reviewer = Annotated[str | None, typer.Option(help="Who decides; your user name without it.", show_default=False)]


@app.command(name="up")
def up_(detach: Annotated[bool, typer.Option("--detach", help="Return when it is ready.")] = False) -> None:
    """Start the embedded stack: Kafka, ClickHouse's engine, mail, workers, sink."""
    from deploy.cli import up

    raise typer.Exit(up.up(settings(), detach))


@app.command(name="down")
def down_() -> None:
    """Stop the embedded stack; nothing is lost."""
    from deploy.cli import down

    raise typer.Exit(down.down(settings()))


@app.command(name="doctor")
def doctor_(as_json: Json = False) -> None:
    """Say what runs, where, and what is wrong with it."""
    from deploy.cli import doctor

    raise typer.Exit(doctor.doctor(settings(), as_json))


@app.command(name="run")
def run_(
    brief: Annotated[Path, typer.Argument(metavar="BRIEF.yaml", help="The brief; - reads stdin.", show_default=False)],
    approve: Annotated[bool, typer.Option("--approve", help="Approve without asking.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Reject without asking.")] = False,
    saga_id: Id = None,
    as_json: Json = False,
) -> None:
    """Run a campaign from its brief to its results; starts the stack if it is not up."""
    from deploy.cli import run

    if approve and reject:
        raise typer.BadParameter("--approve and --reject exclude each other")
    verb: Literal["approve", "reject"] | None = "approve" if approve else "reject" if reject else None
    raise typer.Exit(run.run(settings(), brief, verb, saga_id, as_json))


@app.command(name="publish")
def publish_(
    wire_type: Annotated[str, typer.Argument(metavar="TYPE", help="Such as campaign.start.", show_default=False)],
    file: Annotated[Path | None, typer.Option(help="The body, as YAML or JSON; - reads stdin.")] = None,
    pairs: Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="A field; a.b=v nests.")] = None,
    saga_id: Id = None,
    as_json: Json = False,
) -> None:
    """Publish a command, and say what it led to."""
    raise typer.Exit(publish.publish(settings(), wire_type, file, pairs or [], saga_id, as_json))


@app.command(name="status")
def status_(saga_id: MaybeId = None, saga: Kind = None, as_json: Json = False) -> None:
    """Say where the sagas stand, or one of them."""
    raise typer.Exit(status.status(settings(), saga_id, saga, as_json))


@app.command(name="watch")
def watch_(saga_id: MaybeId = None, saga: Kind = None, as_json: Json = False) -> None:
    """Print every change of the sagas, or of one until it has ended."""
    raise typer.Exit(watch.watch(settings(), saga_id, saga, as_json))


@app.command(name="approve")
def approve_(
    saga_id: SagaId,
    note: Annotated[str, typer.Option(help="A word to go with it.")] = "",
    reviewer: Reviewer = None,
    saga: Kind = None,
    as_json: Json = False,
) -> None:
    """Say yes to what a saga waits for."""
    body = {"reviewer": reviewer if reviewer is not None else user_name(), "note": note}
    raise typer.Exit(decide.decide(settings(), "approve", saga_id, body, saga, as_json))


@app.command(name="reject")
def reject_(
    saga_id: SagaId,
    reason: Annotated[str, typer.Option(help="Why.")] = REASON,
    reviewer: Reviewer = None,
    saga: Kind = None,
    as_json: Json = False,
) -> None:
    """Say no; what was made is taken back."""
    body = {"reviewer": reviewer if reviewer is not None else user_name(), "reason": reason}
    raise typer.Exit(decide.decide(settings(), "reject", saga_id, body, saga, as_json))


@app.command(name="cancel")
def cancel_(
    saga_id: SagaId,
    reason: Annotated[str, typer.Option(help="Why.")] = "cancelled on the command line",
    saga: Kind = None,
    as_json: Json = False,
) -> None:
    """Call a saga off; what it has done is taken back."""
    raise typer.Exit(decide.decide(settings(), "cancel", saga_id, {"reason": reason}, saga, as_json))


@app.command(name="flow")
def flow_(
    saga: Annotated[str | None, typer.Argument(metavar="[SAGA]", help="All without it.", show_default=False)] = None,
    shape: Annotated[Literal["text", "mermaid", "json"], typer.Option("--format", help="How it is drawn.")] = "text",
    as_json: Json = False,
) -> None:
    """Draw who hears what and says what; needs no stack."""
    raise typer.Exit(flow.flow(settings(), saga, "json" if as_json else shape))


@app.command(name="worker")
def worker_(
    only: Annotated[list[str] | None, typer.Option(help="Carry only this participant; may be repeated.")] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Carry nothing: check the flows and, where Kafka is there, compare them with the sagas in flight."
            " Ends with 1 if this build cannot carry all of them.",
        ),
    ] = False,
    in_flight: Annotated[
        bool, typer.Option("--in-flight", help="With --check: end with 3 where Kafka is not there to compare with.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Needed for a second worker of the same participants on this machine.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --check: print one JSON object on stdout.")] = False,
) -> None:
    """Carry the sagas' participants."""
    from deploy.cli import worker

    if check or in_flight:
        raise typer.Exit(worker.check_build(settings(), only or [], in_flight, as_json))
    if as_json:
        raise typer.BadParameter("--json goes with --check")
    raise typer.Exit(worker.worker(daemon_settings(), only or [], name=name))


@app.command(name="sink")
def sink_() -> None:
    """Write every record into ClickHouse."""
    from deploy.cli import sink

    raise typer.Exit(sink.sink(daemon_settings()))


@app.command(name="store")
def store_(port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None) -> None:
    """Serve ClickHouse's engine over HTTP."""
    from deploy.cli import store

    raise typer.Exit(store.store(daemon_settings(), port))


@app.command(name="query")
def query_(sql: str, as_json: Json = False) -> None:
    """Ask ClickHouse."""
    from deploy.cli import query

    raise typer.Exit(query.query(settings(), sql, as_json))


def main() -> None:
    """The entry point of `soma` and of `python -m deploy.cli.main`; quiet where whoever read its words has gone."""
    fall_back()
    try:
        app()
    except BrokenPipeError:
        leave_quietly()
        sys.exit(1)
    finally:
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:
            leave_quietly()


def leave_quietly() -> None:
    """Let what is still to be written to stdout vanish, or Python complains of it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
