"""One real stack for all tests of the command line; `soma` runs as a program of its own, without a terminal."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[4] / "deploy" / "examples" / "campaign.yaml"
RUN_WITHIN_SECONDS = 100
ELSEWHERE = ("KAFKA_BOOTSTRAP_SERVERS", "SOMA_KAFKA__BOOTSTRAP_SERVERS", "CLICKHOUSE_URL", "SOMA_SMTP_URL")


@dataclass(frozen=True)
class Said:
    """What a program said, and how it ended."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout as exactly one JSON object."""
        (line,) = self.out.splitlines()
        return json.loads(line)


@dataclass(frozen=True)
class Soma:
    """The `soma` program for one home."""

    home: Path

    @property
    def command(self) -> tuple[str, ...]:
        return (sys.executable, "-P", "-m", "deploy.cli.main")

    @property
    def environment(self) -> dict[str, str]:
        named = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        return named | {"SOMA_HOME": str(self.home)}

    def __call__(self, *words: str, stdin: str = "", **environment: str) -> Said:
        ended = subprocess.run(
            [*self.command, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=RUN_WITHIN_SECONDS,
            check=False,
            env=self.environment | environment,
        )
        assert "Traceback" not in ended.stderr, ended.stderr
        return Said(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="session")
def soma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soma]:
    there = Soma(tmp_path_factory.mktemp("cli") / "home")
    try:
        up = there("up", "--detach")
        assert up.exit_code == 0, up.err
        yield there
    finally:
        there("down")


@pytest.fixture
def new_id() -> Callable[[], str]:
    """A saga id that no other test has."""
    return lambda: f"cli-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def saga_id(new_id: Callable[[], str]) -> str:
    return new_id()
