"""The `soma` command: every verb is one file beside this one; here they get their options."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from deploy.cli import doctor, down, query, sink, store, up, worker
from deploy.cli.logs import configure_logs
from producers.settings import Settings, mistakes_in

app = typer.Typer(name="soma", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def settings() -> Settings:
    """The settings from the environment; leaves with exit code 2 and a line for every mistake in them."""
    try:
        found = Settings()
    except ValidationError as error:
        for mistake in mistakes_in(error):
            print(f"soma: setting {mistake}", file=sys.stderr)
        raise typer.Exit(2) from None
    return found.model_copy(update={"home": found.home.resolve()})


def daemon_settings() -> Settings:
    """The same for a program that runs on: its log goes to stderr, one JSON object a line."""
    found = settings()
    configure_logs(getattr(logging, found.log_level.upper()))
    return found


@app.command(name="up")
def up_(detach: Annotated[bool, typer.Option("--detach", help="Return when it is ready.")] = False) -> None:
    """Start the embedded stack: Kafka, ClickHouse's engine, mail, workers, sink."""
    raise typer.Exit(up.up(settings(), detach))


@app.command(name="down")
def down_() -> None:
    """Stop the embedded stack; nothing is lost."""
    raise typer.Exit(down.down(settings()))


@app.command(name="doctor")
def doctor_(as_json: Json = False) -> None:
    """Say what runs, where, and what is wrong with it."""
    raise typer.Exit(doctor.doctor(settings(), as_json))


@app.command(name="worker")
def worker_(
    only: Annotated[list[str] | None, typer.Option(help="Carry only this participant; may be repeated.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check the flows.")] = False,
) -> None:
    """Carry the sagas' participants."""
    raise typer.Exit(worker.worker(daemon_settings(), only or [], check))


@app.command(name="sink")
def sink_() -> None:
    """Write every record into ClickHouse."""
    raise typer.Exit(sink.sink(daemon_settings()))


@app.command(name="store")
def store_(port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None) -> None:
    """Serve ClickHouse's engine over HTTP."""
    raise typer.Exit(store.store(daemon_settings(), port))


@app.command(name="query")
def query_(sql: str, as_json: Json = False) -> None:
    """Ask ClickHouse."""
    raise typer.Exit(query.query(settings(), sql, as_json))


def main() -> None:
    """The entry point of `soma` and of `python -m deploy.cli.main`."""
    app()


if __name__ == "__main__":
    main()
