"""The main job, by the command of the README, on a stack of its own."""

import json
import mailbox
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults.hub import TOPICS, eventually
from tests.faults.witness import committed, newest_states, said_twice

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy/examples/campaign.yaml"


class Home:
    """A state folder, and the `soma` command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = os.environ | {"SOMA_HOME": str(folder)}
        for name in ("KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL", "SOMA_SMTP_URL"):
            self._environment.pop(name, None)

    def soma(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command without a terminal."""
        command = [sys.executable, "-m", "deploy.cli.main", *words]
        return subprocess.run(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
            cwd=ROOT,
        )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A fresh home; whatever was started in it is stopped."""
    fresh = Home(tmp_path_factory.mktemp("main-job"))
    yield fresh
    assert fresh.soma("down").returncode == 0


def kafka(home: Home) -> str:
    """The address of the home's Kafka."""
    found = home.soma("doctor", "--json")
    assert found.returncode == 0, found.stdout
    address: str = json.loads(found.stdout)["kafka"]
    return address


def mails(home: Home) -> list[mailbox.MaildirMessage]:
    """All mail that was sent from this home."""
    folder = home.folder / "mail"
    return list(mailbox.Maildir(folder, create=False)) if folder.exists() else []


def folders_of(home: Home, saga: str) -> list[Path]:
    """What people can find of the saga below the state folder."""
    return [
        path for shelf in ("drafts", "pictures", "outbox", "site") for path in (home.folder / shelf).rglob(f"*{saga}*")
    ]


def test_one_command_runs_a_campaign_to_its_end(home: Home) -> None:
    before = {mail["Message-ID"] for mail in mails(home)}
    done = home.soma("run", str(EXAMPLE), "--approve", "--id", "smoke-approved", "--json")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert (result["saga_id"], result["state"]) == ("smoke-approved", "completed")

    brief = yaml.safe_load(EXAMPLE.read_text())
    sent = [mail for mail in mails(home) if mail["Message-ID"] not in before]
    assert sorted(mail["To"] for mail in sent) == sorted(brief["audience"]["recipients"])
    assert [path for path in folders_of(home, "smoke-approved") if list(path.rglob("*.png"))]
    assert "smoke-approved" in (home.folder / "site" / "feed.json").read_text()

    records = committed(kafka(home), TOPICS)
    assert newest_states(records)["smoke-approved"] == "completed"
    assert said_twice(records) == []
    count = "SELECT count() AS n, uniqExact(_topic, _partition, _offset) AS distinct FROM messages"

    def same() -> bool:
        answered = home.soma("query", count, "--json")
        assert answered.returncode == 0, answered.stderr
        return bool(json.loads(answered.stdout)["rows"] == [[len(records), len(records)]])

    eventually(same, seconds=30)


def test_a_rejected_campaign_leaves_nothing_and_exits_with_one(home: Home) -> None:
    done = home.soma("run", str(EXAMPLE), "--reject", "--id", "smoke-rejected", "--json")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["state"] == "rejected"
    assert folders_of(home, "smoke-rejected") == []


def test_the_same_id_again_shows_the_same_end(home: Home) -> None:
    first = home.soma("run", str(EXAMPLE), "--approve", "--id", "smoke-twice", "--json")
    again = home.soma("run", str(EXAMPLE), "--approve", "--id", "smoke-twice", "--json")
    assert (first.returncode, again.returncode) == (0, 0), again.stderr
    opened = [one for one in committed(kafka(home), [TOPICS.events]) if one.headers["ce_type"] == "campaign.opened"]
    assert sum(one.key == "smoke-twice" for one in opened) == 1
