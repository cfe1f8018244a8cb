"""A missing right is named: which user, which operation, on what."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.connections.conftest import Environment, Run
from tests.integration.connections.secured_kafka import PASSWORD, SecuredKafka

Login = Callable[..., Environment]


@pytest.mark.parametrize(
    ("user", "words", "told"),
    [
        ("without_rights", ("status",), "denies User:without_rights DESCRIBE on topic campaign.status"),
        ("without_rights", ("topics", "plan"), "denies User:without_rights DESCRIBE on topic campaign."),
        ("without_rights", ("topics", "apply"), "denies User:without_rights DESCRIBE on topic campaign."),
        ("reader", ("topics", "plan"), "denies User:reader DESCRIBE_CONFIGS on topic campaign."),
        (
            "without_group",
            ("topics", "apply", "--json"),
            "denies User:without_group ALTER_CONFIGS on topic campaign.dead",
        ),
        ("reader", ("cancel", "one"), "denies User:reader WRITE on topic campaign.commands"),
        ("reader", ("worker",), "WRITE on topic campaign.status"),
        ("without_group", ("worker",), "denies User:without_group READ on group campaign."),
        ("without_transactions", ("worker",), "denies User:without_transactions WRITE on transactional id campaign."),
        ("without_status", ("worker",), "denies User:without_status WRITE on topic campaign.status"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_missing_right_is_named_in_one_line(
    login: Login, run: Run, program: Run, user: str, words: tuple[str, ...], told: str
) -> None:
    said = (program if words == ("worker",) else run)(login("plain", user), *words)
    assert said.exit_code == 3
    last = said.err.strip().splitlines()[-1]
    assert told in last and "kafka-acls --add" in last
    assert "not reachable" not in said.err and "soma up" not in said.err


@pytest.mark.parametrize(
    ("user", "told"),
    [
        ("without_rights", "denies User:without_rights READ, WRITE or DESCRIBE on topic campaign."),
        ("without_group", "denies User:without_group READ on group soma.sink"),
    ],
)
def test_a_sink_names_the_right_it_lacks(login: Login, program: Run, store: str, user: str, told: str) -> None:
    said = program(login("plain", user, CLICKHOUSE_URL=f"http://soma:{PASSWORD}@{store}"), "sink")
    assert said.exit_code == 3
    assert told in said.err.strip().splitlines()[-1]


HOP = {"SOMA_APPLICATION": "tests.benchmarks.hop.application:sagas"}


def test_a_missing_right_to_create_topics_is_named(login: Login, run: Run) -> None:
    said = run(login("plain", "without_create") | HOP, "topics", "apply")
    assert said.exit_code == 3
    assert "denies User:without_create CREATE on topic hop." in said.err and len(said.err.splitlines()) == 1


def test_a_topic_that_cannot_be_created_is_told_with_what_to_check(
    secured: SecuredKafka, run: Run, tmp_path: Path
) -> None:
    environment = {"SOMA_HOME": str(tmp_path), "KAFKA_BOOTSTRAP_SERVERS": secured.address("open")} | HOP
    said = run(environment | {"SOMA_REPLICATION": "3"}, "topics", "apply")
    assert said.exit_code == 3
    assert "does not create the topic hop." in said.err and "InvalidReplicationFactor" in said.err
    assert "SOMA_REPLICATION" in said.err and len(said.err.splitlines()) == 1
