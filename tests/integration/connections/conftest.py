"""A secured broker for the session, and `soma` as a program that is told how to connect to it."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.cimpl import NewTopic
from typer.testing import CliRunner

from consumers.app import sagas
from consumers.topics import wanted_topics
from deploy.cli.main import app
from deploy.local.parts import store_answers
from deploy.local.ports import choose_port
from producers.settings import Settings
from tests.integration.connections.secured_kafka import PASSWORD, SecuredKafka

PARTITIONS = 2
TOPIC, GROUP, TRANSACTION = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID
READ, WRITE, DESCRIBE, CREATE = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE, AclOperation.CREATE
DESCRIBE_CONFIGS = AclOperation.DESCRIBE_CONFIGS
LETTERS = {"campaign.dead": {"retention.ms": "86400000"}}
Rights = dict[str, list[tuple[ResourceType, str, tuple[AclOperation, ...]]]]
# By user: what it may do with what begins so. All else is denied.
RIGHTS: Rights = {
    "soma": [(TOPIC, "campaign.", (READ, WRITE, CREATE)), (GROUP, "campaign.", (READ,)), (GROUP, "soma.", (READ,)),
             (TRANSACTION, "campaign.", (WRITE,))],
    "without_create": [(TOPIC, "hop.", (DESCRIBE,))],
    "reader": [(TOPIC, "campaign.", (READ,))],
    "without_group": [(TOPIC, "campaign.", (READ, WRITE, DESCRIBE_CONFIGS)), (TRANSACTION, "campaign.", (WRITE,))],
    "without_transactions": [(TOPIC, "campaign.", (READ, WRITE)), (GROUP, "campaign.", (READ,))],
    "without_status": [(TOPIC, "campaign.commands", (READ, WRITE)), (TOPIC, "campaign.events", (READ, WRITE)),
                       (TOPIC, "campaign.status", (READ,)), (TOPIC, "campaign.dead", (READ, WRITE)),
                       *((TOPIC, f"campaign.{name}.state", (READ, WRITE))
                         for name in ("review", "studio", "distribution", "analytics", "tracker")),
                       (GROUP, "campaign.", (READ,)), (TRANSACTION, "campaign.", (WRITE,))],
}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a program ended, and all it said."""

    exit_code: int
    out: str
    err: str


Environment = dict[str, str]
Run = Callable[..., Ended]


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    kafka = SecuredKafka(tmp_path_factory.mktemp("secured"))
    try:
        kafka.start()
        admin = AdminClient({"bootstrap.servers": kafka.address("open")})
        settings = Settings(kafka_bootstrap_servers=kafka.address("open"), partitions=PARTITIONS)
        topics = [
            # The letters would be kept for a day, which is told, and keeps no worker from its start.
            NewTopic(one.name, one.partitions, 1, config=one.configuration | LETTERS.get(one.name, {}))
            for one in wanted_topics(sagas(), settings)
        ]
        for future in admin.create_topics(topics).values():
            future.result()
        for made in admin.create_acls(list(acls(RIGHTS))).values():
            made.result()
        yield kafka
    finally:
        kafka.stop()


def acls(rights: Rights) -> Iterator[AclBinding]:
    prefixed, allow = ResourcePatternType.PREFIXED, AclPermissionType.ALLOW
    for user, resources in rights.items():
        for resource, prefix, operations in resources:
            for operation in operations:
                yield AclBinding(resource, prefix, prefixed, f"User:{user}", "*", operation, allow)


STORE = """
import asyncio, sys
from pathlib import Path
from deploy.local.store import serve_store
asyncio.run(serve_store(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2]), sys.argv[3]))
"""


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded store with a password, at `127.0.0.1:port`."""
    port = choose_port([])
    folder = tmp_path_factory.mktemp("store")
    with (folder / "store.log").open("ab") as log:
        running = subprocess.Popen([sys.executable, "-c", STORE, folder, str(port), PASSWORD], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while not store_answers(f"http://127.0.0.1:{port}"):
            assert running.poll() is None and time.monotonic() < deadline, (folder / "store.log").read_text()
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        running.kill()
        running.wait()


@pytest.fixture
def login(secured: SecuredKafka, tmp_path: Path) -> Callable[..., Environment]:
    """What the environment says of a connection; what is given replaces what works, None leaves it out."""

    def make(listener: str = "tls", user: str = "soma", **otherwise: str | None) -> Environment:
        named: dict[str, str | None] = {
            "SOMA_HOME": str(tmp_path / "home"),
            "KAFKA_BOOTSTRAP_SERVERS": secured.address(listener),
            "CLICKHOUSE_URL": f"http://{PASSWORD}:{PASSWORD}@127.0.0.1:{choose_port([])}",
            "SOMA_SMTP_URL": f"smtp://{PASSWORD}:{PASSWORD}@127.0.0.1:9",
            "SOMA_PARTITIONS": str(PARTITIONS),
            "SOMA_KAFKA_SECURITY__PROTOCOL": "SASL_PLAINTEXT" if listener == "plain" else "SASL_SSL",
            "SOMA_KAFKA_SECURITY__SASL_MECHANISM": "PLAIN" if listener == "plain" else "SCRAM-SHA-512",
            "SOMA_KAFKA_SECURITY__USERNAME": user,
            "SOMA_KAFKA_SECURITY__PASSWORD": PASSWORD,
            "SOMA_KAFKA_SECURITY__CA_FILE": None if listener == "plain" else str(secured.ca_file(listener)),
        } | {
            name if name.isupper() else f"SOMA_KAFKA_SECURITY__{name.upper()}": text for name, text in otherwise.items()
        }
        return {name: text for name, text in named.items() if text is not None}

    return make


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """`soma WORDS`, in this process; fails where it says a password, or ends otherwise than with an exit code."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for name in os.environ:
        if name.startswith(("SOMA_", "KAFKA_", "CLICKHOUSE_")):
            monkeypatch.delenv(name)

    def soma(environment: Environment, *words: str) -> Ended:
        ended = CliRunner().invoke(app, words, env=environment)
        said = ended.stdout + ended.stderr
        assert PASSWORD not in said
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exc_info
        assert "Traceback" not in said, said
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    yield soma
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def program() -> Run:
    """The same as a program of its own, for those that run on."""

    def soma(environment: Environment, *words: str) -> Ended:
        others = {
            name: text for name, text in os.environ.items() if not name.startswith(("SOMA_", "KAFKA_", "CLICKHOUSE_"))
        }
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "deploy.cli.main", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            env=others | environment,
        )
        said = ended.stdout + ended.stderr
        assert PASSWORD not in said
        assert "Traceback" not in said, said
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return soma
