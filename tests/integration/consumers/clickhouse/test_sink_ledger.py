"""What goes missing behind the sink's back: each table is compared with Kafka, filled, or a gap says what is lost."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from consumers.app import sagas
from consumers.clickhouse.schema import applied_schema, apply_schema, prepare_schema, statements_in
from deploy.cli.coverage import check_ledger, check_readers
from deploy.cli.sink import SCHEMA_FOLDER
from producers.secrets import SecretUrl
from producers.settings import Settings
from tests.integration.consumers.clickhouse.programs import (
    SINK,
    SinkProgram,
    StoreProgram,
    check_exact,
    count_in,
    empty,
    in_kafka,
    make_topics,
    say,
    until,
)
from tests.integration.consumers.clickhouse.test_sink_exactly_once import all_stored, events

SUMS = ("messages", "dead_rows", "message_counts", "step_durations")


def garbage(count: int) -> Iterator[dict[str, object]]:
    return ({"topic": "campaign.events", "key": b"k", "value": b"no json"} for _ in range(count))


def until_exact(kafka: str, topics: Sequence[str], client: Client) -> None:
    """Wait until every table holds each of Kafka's records once."""

    def is_exact() -> bool:
        try:
            check_exact(kafka, topics, client)
        except AssertionError:
            return False
        return True

    until(is_exact, seconds=40, what="every table has every record once")


def started(sink: SinkProgram) -> None:
    sink.start()
    until(sink.is_ready, what="the sink is ready")


def gaps_of(client: Client) -> list[tuple[Any, ...]]:
    return [
        tuple(row)
        for row in client.query(
            "SELECT toString(_topic), _partition, target, first_offset, last_offset, cause FROM ledger_gaps FINAL"
            " ORDER BY _topic, _partition, first_offset"
        ).result_rows
    ]


def position(client: Client, topic: str, partition: int) -> int:
    """Up to where the ledger says that all is stored."""
    return int(
        client.query(
            "SELECT max(checked_up_to) FROM partition_positions WHERE _topic = {t:String} AND _partition = {p:UInt32}",
            parameters={"t": topic, "p": partition},
        ).result_rows[0][0]
    )


def ends(kafka: str, topic: str) -> dict[int, int]:
    """The offset after the last record, by partition."""
    found: dict[int, int] = {}
    for row in in_kafka(kafka, [topic]):
        found[row[1]] = row[2] + 1
    return found


@pytest.mark.parametrize(
    "view",
    [
        "messages_from_records",
        *(pytest.param(f"{table}_from_messages", marks=pytest.mark.long) for table in SUMS[1:]),
    ],
)
def test_what_a_dropped_view_did_not_store_is_filled_while_the_sink_runs(
    view: str, sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str]
) -> None:
    say(kafka, [*events(200), *garbage(5)])
    started(sink)
    all_stored(kafka, topics, store, database)
    client = store.client(database)
    client.command(f"DROP VIEW {view}")
    say(kafka, [*events(200), *garbage(5)])
    until_exact(kafka, topics, client)
    assert gaps_of(client) == []
    assert sink.stop() == 0


def in_transactions(kafka: str, *commits: bool) -> None:
    """Fifty records in each transaction; markers and aborted records leave holes in the offsets."""
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": "ledger"})
    producer.init_transactions()
    for commit in commits:
        producer.begin_transaction()
        for record in events(50):
            producer.produce(**record)  # type: ignore[arg-type]
        # A transaction that has sent nothing yet cannot be ended.
        producer.flush()
        producer.commit_transaction() if commit else producer.abort_transaction()


@pytest.mark.long
def test_holes_of_transactions_are_told_from_what_is_missing(
    sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str]
) -> None:
    in_transactions(kafka, True, False)
    started(sink)
    client = store.client(database)
    until_exact(kafka, topics, client)
    client.command("DROP VIEW messages_from_records")
    in_transactions(kafka, False, True, True, False)
    until_exact(kafka, topics, client)
    log_ends = dict.fromkeys((0, 1), 0)
    for one in log_ends:
        log_ends[one] = end_of(kafka, "campaign.events", one)

    def is_compared() -> bool:
        return all(position(client, "campaign.events", one) == end for one, end in log_ends.items())

    until(is_compared, what="markers behind the last record count as read")
    assert sink.stop() == 0
    empty(kafka, topics)
    started(sink)
    say(kafka, events(20))
    until(lambda: count_in(client) == 170, what="the sink goes on")
    assert gaps_of(client) == []
    assert sink.stop() == 0


def end_of(kafka: str, topic: str, partition: int) -> int:
    """The offset behind everything in the log, markers included."""
    reader = Consumer({"bootstrap.servers": kafka, "group.id": "nobody", "isolation.level": "read_committed"})
    try:
        return int(reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1])
    finally:
        reader.close()


@pytest.mark.long
@pytest.mark.parametrize("table", SUMS[1:])
def test_a_table_that_was_dropped_and_made_again_is_filled_and_no_other_counts_twice(
    table: str, sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str]
) -> None:
    say(kafka, [*events(200), *garbage(5)])
    started(sink)
    all_stored(kafka, topics, store, database)
    assert sink.stop() == 0
    client = store.client(database)
    # The batches are then so old that no token is known any more.
    client.command("INSERT INTO messages (_topic, _ingested_at) VALUES ('elsewhere', now() + 3600)")
    client.command(f"DROP TABLE {table}")
    started(sink)
    say(kafka, events(50))
    until(lambda: position(client, "campaign.events", 0) >= ends(kafka, "campaign.events")[0], what="all is compared")
    client.command("ALTER TABLE messages DELETE WHERE _topic = 'elsewhere' SETTINGS mutations_sync = 1")
    client.command("ALTER TABLE message_counts DELETE WHERE saga = '' SETTINGS mutations_sync = 1")
    client.command("ALTER TABLE dead_rows DELETE WHERE _topic = 'elsewhere' SETTINGS mutations_sync = 1")
    until_exact(kafka, topics, client)


@pytest.mark.long
def test_a_column_that_is_added_to_table_and_view_loses_nothing(
    sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str]
) -> None:
    say(kafka, events(100))
    started(sink)
    all_stored(kafka, topics, store, database)
    client = store.client(database)
    client.command("ALTER TABLE dead_rows ADD COLUMN size UInt64")
    client.command("ALTER TABLE messages ADD COLUMN seen_by String")
    view = next(one for one in statements_in(SCHEMA_FOLDER) if "VIEW dead_rows_from_messages" in one)
    client.command("DROP VIEW dead_rows_from_messages")
    say(kafka, garbage(5))
    client.command(re.sub("SELECT", "SELECT length(value) AS size,", view, count=1))
    say(kafka, garbage(5))
    until_exact(kafka, topics, client)
    assert client.query("SELECT count() FROM dead_rows WHERE size = 7").result_rows[0][0] >= 5


def test_what_kafka_deleted_before_it_was_read_is_a_gap_with_its_offsets_and_the_rest_goes_on(
    sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str]
) -> None:
    say(kafka, events(40, "campaign.dead"))
    started(sink)
    all_stored(kafka, topics, store, database)
    assert sink.stop() == 0
    before = ends(kafka, "campaign.dead")
    say(kafka, events(40, "campaign.dead"))
    after = ends(kafka, "campaign.dead")
    empty(kafka, ["campaign.dead"])
    started(sink)
    say(kafka, events(30, "campaign.dead"))
    say(kafka, events(30, "campaign.events"))
    client = store.client(database)
    until(lambda: len(gaps_of(client)) == 2, what="both gaps are told")
    assert gaps_of(client) == [
        ("campaign.dead", one, "*", before[one], after[one] - 1, "deleted_before_read") for one in (0, 1)
    ]
    until(lambda: count_in(client) == 100, what="what came later is stored")
    assert "sink.gap" in sink.log.read_text()
    settings = Settings(
        kafka_bootstrap_servers=kafka, clickhouse_url=SecretUrl(store.url), clickhouse_database=database
    )
    told = check_ledger(settings)
    assert not told.ok
    assert f"campaign.dead[0] {before[0]}..{after[0] - 1}" in told.detail
    (statement,) = re.findall(r'soma query "(INSERT[^"]*)"', told.remedy or "")
    client.command(statement)
    assert check_ledger(settings).ok
    assert sink.stop() == 0
    started(sink)
    say(kafka, events(5))
    until(lambda: count_in(client) == 105, what="the sink goes on after a restart")
    assert check_ledger(settings).ok


@pytest.mark.parametrize("is_running", [True, False])
def test_a_topic_that_was_deleted_and_made_again_is_stored_from_its_beginning(
    is_running: bool, sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str]
) -> None:
    say(kafka, events(60, "campaign.dead"))
    started(sink)
    all_stored(kafka, topics, store, database)
    client = store.client(database)
    old = ends(kafka, "campaign.dead")
    until(lambda: position(client, "campaign.dead", 0) >= old[0], what="all is compared")
    if not is_running:
        assert sink.stop() == 0
    made_again(kafka, "campaign.dead")
    say(kafka, events(30, "campaign.dead"))
    if not is_running:
        started(sink)
    until(lambda: count_in(client) == 90, seconds=60, what="the new topic's records are stored beside the old ones")
    rows = client.query(
        "SELECT count(), uniqExact(_log_id), uniqExact(_log_id, _partition, _offset) FROM messages"
    ).result_rows
    assert rows == [(90, 2, 90)]
    assert [gap[:6] for gap in gaps_of(client)] == [
        ("campaign.dead", one, "*", old[one], None, "topic_made_again") for one in (0, 1)
    ]
    assert sink.stop() == 0


def made_again(kafka: str, topic: str, config: dict[str, str] | None = None) -> None:
    """Delete the topic and make it again."""
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_topics([topic])[topic].result()

    def is_made() -> bool:
        try:
            admin.create_topics([NewTopic(topic, 2, 1, config=config or {})])[topic].result()
        except KafkaException:
            return False
        return True

    until(is_made, what=f"{topic} is made again")


@pytest.mark.long
def test_two_sinks_share_the_partitions_and_when_one_dies_the_other_goes_on(
    sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str], tmp_path: Path
) -> None:
    started(sink)
    second = SinkProgram(tmp_path, kafka, store.url, database)
    try:
        started(second)
        for _ in range(5):
            for topic in topics:
                say(kafka, events(100, topic))
        all_stored(kafka, topics, store, database)
        second.kill()
        say(kafka, [*events(100), *garbage(5)])
        until_exact(kafka, topics, store.client(database))
        assert sink.stop() == 0
    finally:
        second.kill()


@pytest.mark.long
def test_a_sink_of_another_group_takes_over_and_the_first_says_who_did(
    sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str], tmp_path: Path
) -> None:
    started(sink)
    say(kafka, events(100))
    all_stored(kafka, topics, store, database)
    second = SinkProgram(tmp_path, kafka, store.url, database)
    grouped = "import deploy.cli.sink as d; from functools import partial; d.new_consumer = partial(d.new_consumer, "
    second.command = [sys.executable, "-c", f"{grouped}group='another');{SINK}", *second.command[3:]]
    try:
        started(second)
        say(kafka, [*events(100), *garbage(5)])
        until_exact(kafka, topics, store.client(database))
        assert sink.exit_code() == 1
        said = sink.log.read_text()
        assert "belongs to another sink now: soma.sink@" in said
        assert f":{second.pid}:" in said
        say(kafka, events(100))
        until_exact(kafka, topics, store.client(database))
        assert second.stop() == 0
    finally:
        second.kill()


@pytest.fixture
def compacted(kafka: str, topics: list[str]) -> Iterator[Callable[[], None]]:
    """`campaign.status` with small segments; the function waits until they are compacted."""
    made_again(
        kafka,
        "campaign.status",
        {
            "cleanup.policy": "compact",
            "segment.ms": "200",
            "min.cleanable.dirty.ratio": "0.001",
            "delete.retention.ms": "0",
        },
    )

    def wait() -> None:
        def is_compacted() -> bool:
            # A later record rolls the segment, so that the one before can be compacted.
            say(kafka, (status(b"roller", 0) | {"partition": one} for one in (0, 1)))
            of_sagas = [row for row in in_kafka(kafka, ["campaign.status"]) if row[3] != b"roller"]
            return len(of_sagas) < 100

        until(is_compacted, seconds=90, what="statuses are compacted")

    yield wait
    made_again(kafka, "campaign.status")


def status(key: bytes, number: int) -> dict[str, object]:
    return {"topic": "campaign.status", "key": key, "value": b'{"number": %d}' % number}


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_sink_that_was_away_while_statuses_were_compacted_stores_every_record_that_is_left(
    compacted: Callable[[], None],
    sink: SinkProgram,
    kafka: str,
    store: StoreProgram,
    database: str,
    topics: list[str],
) -> None:
    say(kafka, (status(b"saga-%d" % (number % 7), number) for number in range(70)))
    started(sink)
    all_stored(kafka, topics, store, database)
    client = store.client(database)
    assert sink.stop() == 0
    say(kafka, (status(b"saga-%d" % (number % 7), number) for number in range(70, 700)))
    compacted()
    left = in_kafka(kafka, ["campaign.status"])
    started(sink)

    def is_stored() -> bool:
        stored = client.query("SELECT _partition, _offset FROM messages").result_rows
        return {row[1:3] for row in left} <= {tuple(row) for row in stored}

    until(is_stored, what="what is left is stored")
    newest = client.query(
        "SELECT _key, argMax(value, _offset) FROM messages WHERE startsWith(_key, 'saga') GROUP BY _key ORDER BY _key"
    ).result_rows
    assert newest == [(f"saga-{one}", f'{{"number": {693 + one}}}') for one in range(7)]
    assert count_in(client) == client.query("SELECT uniqExact(_partition, _offset) FROM messages").result_rows[0][0]
    assert gaps_of(client) == []
    assert sink.stop() == 0


@pytest.mark.long
def test_a_partition_that_was_added_while_the_sink_was_away_is_read(
    sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str]
) -> None:
    started(sink)
    assert sink.stop() == 0
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_partitions([NewPartitions("campaign.dead", 3)])["campaign.dead"].result()
    try:
        started(sink)
        say(kafka, ({"topic": "campaign.dead", "key": b"k", "value": b"{}", "partition": 2} for _ in range(5)))
        until_exact(kafka, topics, store.client(database))
    finally:
        made_again(kafka, "campaign.dead")


@pytest.mark.long
def test_a_new_sagas_topics_reach_the_sink_and_fewer_sagas_do_not_end_it(
    sink: SinkProgram, kafka: str, store: StoreProgram, database: str, topics: list[str]
) -> None:
    started(sink)
    assert sink.stop() == 0
    errand = [f"errand.{kind}" for kind in ("commands", "events", "status", "dead")]
    make_topics(kafka, errand, 2)
    sink.environment["SOMA_FAULTS"] = str(sink.home)
    sink.environment["SOMA_APPLICATION"] = "tests.integration.consumers.clickhouse.two_sagas:sagas"
    started(sink)
    say(kafka, events(20, "errand.events"))
    until_exact(kafka, [*topics, *errand], store.client(database))
    assert sink.stop() == 0
    del sink.environment["SOMA_APPLICATION"]
    started(sink)
    say(kafka, events(20))
    until_exact(kafka, [*topics, *errand], store.client(database))
    assert sink.stop() == 0


def test_doctor_names_the_partitions_that_no_sink_or_no_worker_reads(
    sink: SinkProgram, kafka: str, store: StoreProgram, topics: list[str]
) -> None:
    settings = Settings(kafka_bootstrap_servers=kafka, clickhouse_url=SecretUrl(store.url))
    started(sink)
    with_sink = check_readers(settings, sagas())
    assert not with_sink.ok
    assert "has no sink" not in with_sink.detail
    assert "campaign.commands[0], campaign.commands[1], campaign.events[0]" in with_sink.detail
    assert "has no worker for campaign.review" in with_sink.detail
    sink.kill()

    def has_no_sink() -> bool:
        return "campaign.dead[0]" in check_readers(settings, sagas()).detail

    until(has_no_sink, what="the session of the killed sink is over")


def test_a_schema_that_is_there_is_not_applied_again(store: StoreProgram, database: str) -> None:
    client = prepare_schema(store.url, database, SCHEMA_FOLDER)
    assert applied_schema(client)
    client.command("DROP VIEW dead_rows_from_messages")
    client.command("CREATE MATERIALIZED VIEW dead_rows_from_messages TO dead_rows AS SELECT * FROM dead_rows")
    prepare_schema(store.url, database, SCHEMA_FOLDER).close()
    assert "FROM " + database + ".dead_rows" in str(client.command("SHOW CREATE VIEW dead_rows_from_messages"))
    assert count_in(client, "applied_schema") == 1
    client.command("DROP VIEW message_counts_from_messages")
    prepare_schema(store.url, database, SCHEMA_FOLDER).close()
    assert count_in(client, "applied_schema") == 2
    assert "FROM " + database + ".messages" in str(client.command("SHOW CREATE VIEW dead_rows_from_messages"))


def test_statements_for_a_cluster_can_be_read_by_clickhouse(store: StoreProgram, database: str) -> None:
    client = apply_schema(store.url, database, SCHEMA_FOLDER)
    for statement in statements_in(SCHEMA_FOLDER, "main"):
        assert client.command(f"EXPLAIN AST {statement}")
