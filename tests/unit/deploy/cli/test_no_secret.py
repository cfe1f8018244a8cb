"""No verb and no daemon prints a secret: each is run with marked passwords, and nothing answers."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from deploy.cli import sink, worker
from deploy.cli.main import app

MARKER = "the-marker"
EXAMPLE = Path(__file__).parents[4] / "deploy" / "examples" / "campaign.yaml"
# Every verb there is, with words that make it do its work.
WORDS = {
    "doctor": [],
    "run": [str(EXAMPLE), "--approve"],
    "publish": ["campaign.cancel", "--set", "reason=x", "--id", "one"],
    "status": ["one", "--json"],
    "watch": ["one"],
    "approve": ["one"],
    "reject": ["one"],
    "cancel": ["one"],
    "flow": ["campaign"],
    "worker": [],
    "sink": [],
    "store": ["--port", "TAKEN"],
    "query": ["SELECT 1"],
    "dead list": [],
    "dead show": ["one"],
    "dead discard": ["one", "--reason", "x"],
    "dead replay": ["one"],
    "stuck list": [],
    "stuck retry": ["one"],
    "stuck resolve": ["one", "--evidence", "x"],
    "stuck skip": ["one", "--reason", "x"],
    "steps list": [],
    "steps resume": ["campaign.studio", "draft_content"],
    "topics plan": [],
    "topics apply": [],
    "topics abort": ["another-client"],
}
# They start and stop other programs, and connect to nothing.
OTHERS = {"up", "down"}


@pytest.fixture(autouse=True)
def all_is_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name, text in {
        "SOMA_HOME": str(tmp_path / "home"),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "SOMA_KAFKA_SECURITY__PROTOCOL": "SASL_PLAINTEXT",
        "SOMA_KAFKA_SECURITY__USERNAME": "me",
        "SOMA_KAFKA_SECURITY__PASSWORD": MARKER,
        "CLICKHOUSE_URL": f"http://me:{MARKER}@127.0.0.1:9?password={MARKER}",
        "SOMA_SMTP_URL": f"smtp://me:{MARKER}@127.0.0.1:9",
        "SOMA_LOG_LEVEL": "debug",
    }.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(worker, "REACHABLE_WITHIN_SECONDS", 0.0)
    monkeypatch.setattr(sink, "WAIT_FOR_SERVERS_SECONDS", 0.0)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


def verbs(command: Any, before: str = "") -> Iterator[str]:
    for name, below in getattr(command, "commands", {}).items():
        yield from verbs(below, f"{before} {name}".strip())
    if not hasattr(command, "commands"):
        yield before


def test_every_verb_is_tried_here() -> None:
    assert set(verbs(typer.main.get_command(app))) == WORDS.keys() | OTHERS


@pytest.mark.parametrize("verb", sorted(WORDS))
def test_a_verb_that_fails_prints_no_secret(verb: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = [port if word == "TAKEN" else word for word in WORDS[verb]]
        said = CliRunner().invoke(app, [*verb.split(), *words])
    assert said.exception is None or isinstance(said.exception, SystemExit)
    assert said.exit_code == (0 if verb == "flow" else 3)
    assert MARKER not in said.output + said.stderr
