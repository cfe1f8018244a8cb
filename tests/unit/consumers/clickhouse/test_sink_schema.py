"""The tables' statements on a cluster, and the deduplication window that each engine heeds."""

import math
from pathlib import Path

import pytest

import deploy
from consumers.clickhouse.kafka import member_name
from consumers.clickhouse.schema import Window, name_in, on_cluster, statements_in, window_in

FOLDER = Path(deploy.__file__).parent / "clickhouse"
DEFAULTS = {
    "non_replicated_deduplication_window": "0",
    "replicated_deduplication_window": "10000",
    "replicated_deduplication_window_seconds": "3600",
}


@pytest.mark.parametrize(
    ("engine", "settings", "window"),
    [
        ("MergeTree", "", Window(0)),
        ("MergeTree", "non_replicated_deduplication_window = 100", Window(100)),
        ("AggregatingMergeTree", "replicated_deduplication_window = 100", Window(0)),
        ("ReplicatedMergeTree", "non_replicated_deduplication_window = 5", Window(10_000, 3_600.0, True)),
        ("ReplicatedMergeTree", "replicated_deduplication_window = 5", Window(5, 3_600.0, True)),
        ("SharedAggregatingMergeTree", "replicated_deduplication_window_seconds = 60", Window(10_000, 60.0, True)),
        ("Null", "non_replicated_deduplication_window = 100", Window(0)),
    ],
)
def test_a_table_is_judged_by_the_setting_of_its_own_engine(engine: str, settings: str, window: Window) -> None:
    assert window_in(engine, f"{engine} ORDER BY n SETTINGS index_granularity = 8192, {settings}", DEFAULTS) == window


def test_a_table_that_does_not_replicate_forgets_by_number_alone() -> None:
    assert window_in("MergeTree", "non_replicated_deduplication_window = 1", DEFAULTS).seconds == math.inf


def test_every_statement_names_what_it_makes_and_runs_on_a_cluster_only_when_told() -> None:
    plain, clustered = statements_in(FOLDER), statements_in(FOLDER, "main")
    assert not any("ON CLUSTER" in one for one in plain)
    for before, after in zip(plain, clustered, strict=True):
        assert f"{name_in(before)} ON CLUSTER `main`" in after
        assert after.count("ON CLUSTER") == 1
        assert "non_replicated" not in after
        assert before.count("MergeTree") == after.count("Replicated")


def test_a_table_on_a_cluster_replicates() -> None:
    statement = "CREATE TABLE IF NOT EXISTS t (n Int8)\nENGINE = ReplacingMergeTree(n)\nORDER BY n"
    assert on_cluster(statement, "main") == (
        "CREATE TABLE IF NOT EXISTS t ON CLUSTER `main` (n Int8)\nENGINE = ReplicatedReplacingMergeTree(n)\nORDER BY n"
    )


def test_a_sink_of_other_topics_is_another_static_member() -> None:
    assert member_name("here", ["a", "b"]) == member_name("here", ["b", "a"])
    assert member_name("here", ["a", "b"]) != member_name("here", ["a"])
