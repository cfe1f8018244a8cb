"""`soma topics plan|apply` and what a worker does about a topic that is not as it should be, on topics of its own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from deploy.cli.coverage import check_topics
from producers.settings import Settings
from schemas.topics import state_topic
from tests.benchmarks.relay.application import sagas
from tests.integration.deploy.cli.conftest import Said, Soma

Run = Callable[..., Said]
Change = Callable[[str, dict[str, str]], None]
DAMAGED = {"cleanup.policy": "delete", "retention.ms": "604800000"}


@pytest.fixture
def address(soma: Soma) -> str:
    """The shared stack's Kafka."""
    return str(json.loads((soma.home / "stack.json").read_text())["kafka"])


@pytest.fixture
def relay(soma: Soma, address: str, tmp_path: Path) -> Run:
    """`soma WORDS` for a saga that no other test has, from a home of its own; its topics are made."""
    environment = {
        "SOMA_APPLICATION": "tests.benchmarks.relay.application:sagas",
        "SOMA_HOME": str(tmp_path),
        "KAFKA_BOOTSTRAP_SERVERS": address,
    }

    def run(*words: str) -> Said:
        return soma(*words, **environment)

    assert run("topics", "apply").exit_code == 0
    return run


@pytest.fixture
def change(address: str) -> Change:
    """Set these settings on a topic, as an operator does, and no others."""
    admin = AdminClient({"bootstrap.servers": address})

    def alter(topic: str, wanted: dict[str, str]) -> None:
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wanted.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        for done in admin.incremental_alter_configs([resource]).values():
            done.result(10)

    return alter


def settings_now(address: str, topic: str) -> dict[str, str]:
    admin = AdminClient({"bootstrap.servers": address})
    (described,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    return {name: entry.value for name, entry in described.result(10).items()}


def test_a_change_is_planned_with_its_danger_keeps_a_worker_from_starting_and_is_mended(
    relay: Run, change: Change, address: str
) -> None:
    topic = state_topic(sagas()[0].participants[0])
    settings = Settings(kafka_bootstrap_servers=address)
    well = check_topics(settings, sagas())
    assert well.ok and well.detail == "each that is there is as it should be"
    change(topic, DAMAGED)
    change("relay.dead", {"retention.ms": "3600000", "segment.ms": "1234567"})
    planned = relay("topics", "plan", "--json")
    assert planned.exit_code == 1
    told = {(one["topic"], one["setting"]): one for one in planned.json["differing"]}
    assert told.keys() == {(topic, "cleanup.policy"), ("relay.dead", "retention.ms")}
    policy = told[topic, "cleanup.policy"]
    assert policy["found"] == "delete" and policy["is_dangerous"]
    assert policy["danger"].startswith("the positions and journals are deleted after 7 days")
    assert not told["relay.dead", "retention.ms"]["is_dangerous"]
    assert planned.json["differing"][0]["is_dangerous"], "what is dangerous is told first"
    assert f"{topic}: cleanup.policy is delete, not compact: DANGER: the positions" in planned.err

    unwell = check_topics(settings, sagas())
    assert not unwell.ok and topic in unwell.detail and "relay.dead" not in unwell.detail
    assert "`soma topics apply`" in (unwell.remedy or "")

    refused = relay("worker")
    assert refused.exit_code == 2
    last = refused.err.strip().splitlines()
    assert any(topic in line and "cleanup.policy" in line and "`soma topics apply`" in line for line in last)
    assert not any("soma worker" in line and "relay.dead" in line for line in last)

    applied = relay("topics", "apply", "--json")
    assert applied.exit_code == 0 and applied.json["differing"] == []
    assert {(one["topic"], one["setting"]) for one in applied.json["mended"]} == told.keys()
    now = settings_now(address, topic)
    assert (now["cleanup.policy"], now["segment.ms"]) == ("compact", "600000")
    dead = settings_now(address, "relay.dead")
    assert (dead["retention.ms"], dead["segment.ms"]) == ("-1", "1234567"), "what it does not need it leaves alone"
    assert relay("topics", "plan", "--json").json == {"missing": [], "differing": []}


def test_what_cannot_be_mended_is_told_with_what_to_do(relay: Run, change: Change, soma: Soma, address: str) -> None:
    change("relay.events", {"retention.ms": "1000"})
    wanted = {"SOMA_APPLICATION": "tests.benchmarks.relay.application:sagas", "KAFKA_BOOTSTRAP_SERVERS": address}
    said = soma("topics", "apply", "--json", **wanted, SOMA_REPLICATION="3", SOMA_PARTITIONS="5")
    assert said.exit_code == 1
    left = {(one["topic"], one["setting"]) for one in said.json["differing"]}
    assert {setting for _, setting in left} == {"partitions", "replication factor"}
    assert "kafka-reassign-partitions" in said.err and "set SOMA_PARTITIONS=4 if that is meant" in said.err
    assert ("relay.events", "retention.ms") in {(one["topic"], one["setting"]) for one in said.json["mended"]}
    assert settings_now(address, "relay.events")["retention.ms"] == "-1"
