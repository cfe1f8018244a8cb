"""What is mended is what Kafka has set; the rest is told with what Kafka says, or with what a person has to do."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

import pytest

from consumers.topic_rules import Drift
from consumers.topics import mend
from producers.brokers import AdminClient
from producers.errors import AccessDenied
from producers.settings import Settings

POLICY_VIOLATION, TOPIC_AUTHORIZATION_FAILED = 44, 29
Errors = dict[str, tuple[int, str]]


class Cluster:
    """Takes settings as Kafka does; a test names the topics whose settings it refuses."""

    def __init__(self) -> None:
        self.errors: Errors = {}
        self.asked: dict[str, dict[str, str]] = {}

    async def change(self, _: AdminClient, settings: Mapping[str, Mapping[str, str]]) -> Errors:
        self.asked = {topic: dict(wanted) for topic, wanted in settings.items()}
        return self.errors


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()

    @asynccontextmanager
    async def administering(_: Settings) -> AsyncIterator[AdminClient]:
        yield cast("AdminClient", made)

    monkeypatch.setattr("consumers.topics.administering", administering)
    monkeypatch.setattr("consumers.topics.change_settings", made.change)
    return made


def drift(topic: str, setting: str, value: str | None) -> Drift:
    return Drift(topic, setting, "found", "wanted", "the danger", True, value, "do this by hand")


DRIFT = (drift("a", "retention.ms", "-1"), drift("a", "segment.ms", "5"), drift("b", "retention.ms", "-1"),
         drift("b", "partitions", None))  # fmt: skip
SETTINGS = Settings(kafka_bootstrap_servers="127.0.0.1:9")


async def test_only_what_has_a_value_is_set_and_the_rest_is_left_to_a_person(cluster: Cluster) -> None:
    mended, left = await mend(SETTINGS, DRIFT)
    assert cluster.asked == {"a": {"retention.ms": "-1", "segment.ms": "5"}, "b": {"retention.ms": "-1"}}
    assert (mended, left) == (DRIFT[:3], DRIFT[3:])


async def test_what_kafka_refuses_is_left_and_says_why(cluster: Cluster) -> None:
    cluster.errors = {"a": (POLICY_VIOLATION, "no retention without end here")}
    mended, left = await mend(SETTINGS, DRIFT)
    assert mended == (DRIFT[2],)
    assert [(one.topic, one.setting) for one in left] == [
        ("a", "retention.ms"),
        ("a", "segment.ms"),
        ("b", "partitions"),
    ]
    assert left[0].remedy == "Kafka refuses -1: no retention without end here" and left[2].remedy == "do this by hand"


async def test_a_missing_right_is_named(cluster: Cluster) -> None:
    cluster.errors = {"a": (TOPIC_AUTHORIZATION_FAILED, "denied")}
    with pytest.raises(AccessDenied, match="ALTER_CONFIGS on topic a"):
        await mend(SETTINGS, DRIFT)
