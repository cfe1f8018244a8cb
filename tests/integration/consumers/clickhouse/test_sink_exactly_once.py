"""The sink as a program on a real broker and a real store: killed, frozen out, fed with garbage."""

import random
import time
from collections.abc import Iterator
from itertools import count as numbers_from

import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer

from consumers.clickhouse.schema import apply_schema
from deploy.cli.sink import SCHEMA_FOLDER
from tests.integration.consumers.clickhouse.programs import (
    SinkProgram,
    StoreProgram,
    check_exact,
    count_in,
    in_kafka,
    say,
    until,
)

NUMBERS = numbers_from()
GARBAGE = [
    None,
    b"",
    b"\xff\xfe\x00",
    b"{",
    b"not json",
    b"[" * 3_000,
    b'"\\ud800"',
    b"5",
    b"null",
    b'{"a": 1} trailing',
]


def events(count: int, topic: str = "campaign.events", size: int = 200) -> Iterator[dict[str, object]]:
    """Records as the engine says them, no-ops among them."""
    for number in (next(NUMBERS) for _ in range(count)):
        yield {
            "topic": topic,
            "key": f"saga-{number % 97}",
            "value": b'{"saga_id": "saga-%d", "text": "%s"}' % (number % 97, b"x" * size),
            "headers": [
                ("content-type", b"application/json"),
                ("ce_id", b"id-%d" % number),
                ("ce_type", b"campaign.content.drafted" if number % 5 else b"soma.noop"),
                ("ce_startedat", b"2026-11-24T02:00:00.000Z"),
            ],
        }


def garbage(topic: str) -> Iterator[dict[str, object]]:
    """What anybody may publish."""
    for value in GARBAGE:
        yield {"topic": topic, "key": None, "value": value, "headers": [("ce_time", b"\xff"), ("ce_round", b"-7" * 99)]}
        yield {"topic": topic, "key": b"\x00\xff'\\", "value": value, "headers": [("a", b"1"), ("a", None), ("", b"")]}
        yield {
            "topic": topic,
            "key": b"",
            "value": value,
            "headers": [("content-type", b"application/cloudevents+json")],
        }


def all_stored(kafka: str, topics: list[str], store: StoreProgram, database: str) -> None:
    """Wait until the sink has as many rows as Kafka has records."""
    wanted = len(in_kafka(kafka, topics))
    client = store.client("default")
    until(lambda: count_in(client, f"{database}.messages") >= wanted, seconds=40, what=f"{wanted} rows are stored")


def until_more(client: Client, database: str, before: int) -> None:
    """Wait until something has been stored."""
    until(lambda: count_in(client, f"{database}.messages") > before, what="the sink is at work")


def test_every_record_is_stored_once_and_the_sink_stops_cleanly(
    sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str]
) -> None:
    for topic in topics:
        say(kafka, events(300, topic))
    sink.start()
    until(sink.is_ready, what="the sink is ready")
    all_stored(kafka, topics, store, database)
    say(kafka, events(7))
    assert sink.stop() == 0
    assert not sink.ready_file.exists()
    sink.start()
    all_stored(kafka, topics, store, database)
    check_exact(kafka, topics, store.client(database))


def test_whatever_anybody_publishes_is_stored_and_listed_as_dead_where_it_is_no_json(
    sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str]
) -> None:
    for topic in topics:
        say(kafka, garbage(topic))
        say(kafka, events(20, topic), **{"compression.type": "gzip"})
    sink.start()
    all_stored(kafka, topics, store, database)
    rows = check_exact(kafka, topics, store.client(database))
    assert any(row[4] == GARBAGE[2] for row in rows)


def test_records_of_aborted_transactions_are_not_stored(
    sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str]
) -> None:
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": "test"})
    producer.init_transactions()
    for commits in (True, False, True, False):
        producer.begin_transaction()
        for record in events(50):
            producer.produce(**record)  # type: ignore[arg-type]
        producer.commit_transaction() if commits else producer.abort_transaction()
    sink.start()
    all_stored(kafka, topics, store, database)
    check_exact(kafka, topics, store.client(database))


def test_a_sink_killed_at_any_moment_goes_on_exactly_where_it_was(
    sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str]
) -> None:
    chance = random.Random(7)
    for topic in topics:
        say(kafka, events(4_000, topic, size=50))
        say(kafka, garbage(topic))
    client = store.client("default")
    for _ in range(5):
        before = count_in(client, f"{database}.messages")
        sink.start()
        until_more(client, database, before)
        # Anywhere within the next inserts: some are on their way, some acknowledged, some not begun.
        time.sleep(chance.uniform(0, 0.15))
        sink.kill()
    sink.start()
    all_stored(kafka, topics, store, database)
    check_exact(kafka, topics, store.client(database))


def test_a_store_killed_in_the_middle_of_inserts_loses_and_repeats_nothing(
    sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str]
) -> None:
    chance = random.Random(11)
    for topic in topics:
        say(kafka, events(4_000, topic, size=50))
    sink.start()
    for _ in range(4):
        client = store.client("default")
        before = count_in(client, f"{database}.messages")
        until_more(client, database, before)
        time.sleep(chance.uniform(0, 0.1))
        store.kill()
        store.start()
        say(kafka, events(500))
    all_stored(kafka, topics, store, database)
    check_exact(kafka, topics, store.client(database))
    assert sink.stop() == 0


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("INSERT INTO {}.kafka_cluster (cluster_id) VALUES ('another')", "holds records of the Kafka cluster another"),
        (
            "ALTER TABLE {}.dead_rows MODIFY SETTING non_replicated_deduplication_window = 0",
            "no deduplication window on dead_rows",
        ),
    ],
)
def test_wrong_tables_are_refused_before_anything_is_stored(
    sink: SinkProgram, store: StoreProgram, database: str, statement: str, words: str
) -> None:
    client = apply_schema(store.url, database, SCHEMA_FOLDER)
    client.command(statement.format(database))
    sink.start()
    assert sink.exit_code() == 2
    assert words in sink.log.read_text()
    assert count_in(client) == 0
