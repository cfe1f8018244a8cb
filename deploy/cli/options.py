"""What several verbs ask for alike: the settings, and the options that mean the same everywhere."""

import logging
import sys
from typing import Annotated

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from deploy.cli.logs import configure_logs
from producers.settings import Settings, mistakes_in

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
SagaId = Annotated[str, typer.Argument(metavar="ID", help="The saga's id.", show_default=False)]
Kind = Annotated[str | None, typer.Option("--saga", help="The kind of saga, where several could be meant.")]


def settings() -> Settings:
    """The settings from the environment; leaves with exit code 2 and a line for every mistake in them."""
    try:
        found = Settings()
    except (ValidationError, SettingsError) as error:
        for mistake in mistakes_in(error):
            print(f"soma: setting {mistake}", file=sys.stderr)
        raise typer.Exit(2) from None
    try:
        return found.model_copy(update={"home": found.home.resolve()})
    except OSError as error:
        # A relative home, and a current folder that was removed.
        print(f"soma: SOMA_HOME={found.home} cannot be found from here ({error.strerror})", file=sys.stderr)
        raise typer.Exit(2) from None


def daemon_settings() -> Settings:
    """The same for a program that runs on: its log goes to stderr, one JSON object a line."""
    found = settings()
    configure_logs(getattr(logging, found.log_level.upper()))
    return found
