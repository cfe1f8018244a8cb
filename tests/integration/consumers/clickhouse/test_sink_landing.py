"""What the tables promise: a batch counts once, however often and however broken it was sent."""

from collections.abc import Iterator
from datetime import UTC, datetime
from threading import Thread
from typing import Any

import pytest
from aiokafka import TopicPartition
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from consumers.clickhouse.batches import Batch, StoredRecord
from consumers.clickhouse.errors import NoDeduplication, PartitionTaken
from consumers.clickhouse.landing import Landing, comment_for
from consumers.clickhouse.schema import apply_schema, note_types, smallest_window
from deploy.cli.sink import SCHEMA_FOLDER
from schemas.topics import catalogue
from tests.integration.consumers.clickhouse.programs import StoreProgram, count_in, sum_of, until

EVENTS = TopicPartition("campaign.events", 0)
NOW = datetime.now(UTC).replace(microsecond=0)


def record(
    offset: int, value: bytes | None = b'{"a": 1}', key: bytes | None = b"s1", headers: dict[str, str] | None = None
) -> StoredRecord:
    said = tuple((name, text.encode()) for name, text in (headers or {}).items())
    return StoredRecord(offset, 1_764_000_000_000, key, value, said)


def event(offset: int, wire_type: str, body: bytes = b"{}", **more: str) -> StoredRecord:
    return record(offset, body, headers={"ce_type": wire_type, "ce_source": "campaign.studio"} | more)


def batch(records: list[StoredRecord], topic: str = EVENTS.topic, partition: int = 0) -> Batch:
    return Batch(topic, partition, records, NOW)


@pytest.fixture
def client(store: StoreProgram, database: str) -> Iterator[Client]:
    client = apply_schema(store.url, database, SCHEMA_FOLDER)
    note_types(client, catalogue())
    yield client
    client.command(f"DROP DATABASE {database}")
    client.close()


@pytest.fixture
def landing(client: Client) -> Landing:
    landing = Landing(client, "me", smallest_window(client))
    landing.claim([EVENTS])
    return landing


def one(client: Client, sql: str) -> Any:
    return client.query(sql).result_rows[0][0]


TYPES = ["campaign.opened", "campaign.content.drafted", "campaign.assets.designed"]
FIVE = [*(event(n, TYPES[n], ce_startedat="2026-11-24T01:00:00Z") for n in range(3)), record(3, b"no"), record(4, None)]


def test_a_batch_sent_three_times_counts_once_in_every_table(landing: Landing, client: Client) -> None:
    for _ in range(3):
        landing.insert(batch(FIVE))
    assert count_in(client) == 5
    assert client.query("SELECT _offset, reason FROM dead_rows ORDER BY _offset").result_rows == [
        (3, "not_json"),
        (4, "tombstone"),
    ]
    assert (sum_of(client, "message_counts"), sum_of(client, "step_durations")) == (5, 3)


@pytest.mark.parametrize("lagging", ["dead_rows", "message_counts", "step_durations"])
def test_a_view_left_behind_is_filled_by_the_replay_and_the_others_are_not_counted_twice(
    landing: Landing, client: Client, lagging: str
) -> None:
    client.command(f"DETACH TABLE {lagging}_from_messages")
    landing.insert(batch(FIVE))
    client.command(f"ATTACH TABLE {lagging}_from_messages")
    assert count_in(client, lagging) == 0
    stored = landing.last_batches([EVENTS])[EVENTS]
    assert (stored.first, stored.last, stored.ingested_at, stored.known) == (0, 4, NOW, True)
    for _ in range(2):
        landing.insert(landing.read_back(EVENTS, stored))
    assert (count_in(client), count_in(client, "dead_rows")) == (5, 2)
    assert (sum_of(client, "message_counts"), sum_of(client, "step_durations")) == (5, 3)


def test_a_batch_whose_token_is_forgotten_is_not_replayed(landing: Landing, client: Client) -> None:
    landing.window = 6
    others = [TopicPartition("campaign.events", number) for number in range(1, 8)]
    landing.claim(others)
    landing.insert(Batch("campaign.events", 0, [record(0)], NOW.replace(year=NOW.year - 1)))
    for other in others[:2]:
        landing.insert(batch([record(0)], partition=other.partition))
    assert not landing.last_batches([EVENTS, *others])[EVENTS].known
    assert landing.last_batches([EVENTS, *others])[others[0]].known
    for other in others[2:]:
        landing.insert(batch([record(0)], partition=other.partition))
    assert not any(stored.known for stored in landing.last_batches([EVENTS, *others]).values())


def test_whoever_lost_a_partition_can_store_nothing_more_in_it(landing: Landing, client: Client) -> None:
    landing.insert(batch([record(0)]))
    successor = Landing(client, "you", 100)
    successor.claim([EVENTS])
    with pytest.raises(PartitionTaken, match="belongs to another sink"):
        landing.insert(batch([record(1)]))
    successor.insert(batch([record(1)]))
    assert count_in(client) == 2


def test_an_insert_still_running_is_seen(landing: Landing, client: Client) -> None:
    assert landing.running_inserts([EVENTS]) == 0
    slow = ["SELECT sleep(3) SETTINGS log_comment = {comment:String}"]
    asking = Thread(
        target=client.query, args=slow, kwargs={"parameters": {"comment": comment_for(EVENTS.topic, EVENTS.partition)}}
    )
    asking.start()
    until(lambda: landing.running_inserts([EVENTS]) == 1, seconds=2.5, what="the running statement is seen")
    assert landing.running_inserts([TopicPartition("campaign.events", 1)]) == 0
    asking.join()


def test_two_batches_with_other_offsets_are_both_kept(landing: Landing, client: Client) -> None:
    landing.insert(batch([record(0), record(1)]))
    landing.insert(batch([record(2), record(7)]))
    assert landing.last_batches([EVENTS])[EVENTS][:2] == (2, 7)
    assert count_in(client) == 4


def test_typed_columns_say_what_can_be_read_and_nothing_throws(landing: Landing, client: Client) -> None:
    envelope = b'{"id":"i9","type":"campaign.start","time":"2026-01-01T00:00:00.123456Z","tenant":"t","data":{"x":[1]}}'
    landing.insert(
        batch(
            [
                event(0, "t", ce_id="i0", ce_time="2026-11-24T02:00:00.5+01:00", ce_round="3", ce_tenant="acme"),
                record(1, b"{}", None, {"ce_time": "rubbish", "ce_round": "99999999999999", "ce_attempt": "-1"}),
                record(2, b"\xff", b"\xff\x00"),
                record(3, envelope, headers={"content-type": "application/cloudevents+json; charset=utf-8"}),
                record(4, b"[" * 5_000, headers={"ce_time": "9999-12-31T00:00:00Z", "ce_startedat": "0000-00-00"}),
                StoredRecord(5, -1, b"k", b"{}", ((b"CE_Type", b"upper"), (b"CE_Type", b"last"), (b"\xfe", None))),
                StoredRecord(6, 2**62, b"k", b"{}", ()),
            ]
        )
    )
    rows = client.query(
        "SELECT type, id, saga_id, saga, channel, toString(occurred_at), tenant, round, attempt, valid_json, body"
        " FROM messages ORDER BY _offset",
        query_formats={"String": "bytes"},
    ).result_rows
    kafka_time = b"2025-11-24 16:00:00.000000"
    here = (b"campaign", b"events")
    assert rows == [
        (
            b"t",
            b"i0",
            b"s1",
            *here,
            b"2026-11-24 01:00:00.500000",
            b"acme",
            3,
            0,
            True,
            b"{}",
        ),
        (b"", b"campaign.events/0/1", b"", *here, kafka_time, b"", rows[1][7], 0, True, b"{}"),
        (b"", b"campaign.events/0/2", b"\xff\x00", *here, kafka_time, b"", 0, 0, False, b"\xff"),
        (b"campaign.start", b"i9", b"s1", *here, b"2026-01-01 00:00:00.123456", b"t", 0, 0, True, b'{"x":[1]}'),
        (b"", b"campaign.events/0/4", b"s1", *here, kafka_time, b"", 0, 0, False, b"[" * 5_000),
        (b"last", b"campaign.events/0/5", b"k", *here, b"1970-01-01 00:00:00.000000", b"", 0, 0, True, b"{}"),
        (b"", b"campaign.events/0/6", b"k", *here, b"2100-01-01 00:00:00.000000", b"", 0, 0, True, b"{}"),
    ]


def test_a_saga_is_in_the_state_of_its_first_end_and_compensating_until_all_have_settled(
    landing: Landing, client: Client
) -> None:
    def state() -> Any:
        return one(client, "SELECT state FROM sagas WHERE saga_id = 's1'")

    says = iter(range(100))

    def say(wire_type: str, body: bytes = b"{}") -> None:
        landing.insert(batch([event(next(says), wire_type, body)]))

    say("campaign.command.refused")
    assert count_in(client, "sagas") == 0
    say("campaign.opened", b'{"participants": ["campaign.review", "campaign.studio"]}')
    say("soma.noop")
    assert state() == "running"
    say("campaign.step.failed", b'{"policy": "hold"}')
    assert state() == "running"
    say("campaign.rejected")
    say("campaign.completed")
    assert state() == "compensating"
    say("campaign.participant.settled", b'{"participant": "campaign.studio"}')
    assert state() == "compensating"
    say("campaign.participant.settled", b'{"participant": "campaign.review"}')
    assert state() == "rejected"
    assert client.query("SELECT end_type, event_count FROM sagas").result_rows == [("campaign.rejected", 7)]
    assert count_in(client, "events") == 7


@pytest.mark.parametrize(
    ("last", "state"),
    [
        (("campaign.completed", b"{}"), "completed"),
        (("campaign.step.failed", b'{"policy": "end"}'), "compensated"),
        (("campaign.blog.refused", b"{}"), "compensated"),
        (("campaign.expired", b"{}"), "expired"),
    ],
)
def test_every_kind_of_end_is_known(landing: Landing, client: Client, last: tuple[str, bytes], state: str) -> None:
    landing.insert(batch([event(0, "campaign.opened"), event(1, *last)]))
    assert one(client, "SELECT state FROM sagas") == state


def test_steps_and_states_come_from_the_newest_status(landing: Landing, client: Client) -> None:
    place = TopicPartition("campaign.status", 0)
    landing.claim([place])
    older = b'{"saga_id":"s1","saga":"campaign","state":"running","progress_percent":10,"steps":[]}'
    newer = (
        b'{"saga_id":"s1","saga":"campaign","state":"waiting","progress_percent":60,"waiting_for":"approve or reject",'
        b'"steps":[{"name":"draft_content","participant":"campaign.studio","state":"done","attempts":2,'
        b'"started_at":"2026-11-24T02:00:00Z","ended_at":"2026-11-24T02:00:03Z","said":"campaign.content.drafted"}]}'
    )
    landing.insert(batch([record(0, older), record(1, newer), record(2, None, b"s2")], place.topic))
    found = client.query("SELECT saga_id, state, progress_percent, waiting_for FROM statuses").result_rows
    assert found == [("s1", "waiting", 60, "approve or reject")]
    steps = client.query(
        "SELECT name, state, attempts, dateDiff('second', started_at, ended_at) FROM steps"
    ).result_rows
    assert steps == [("draft_content", "done", 2, 3)]


def test_the_views_answer_figures(landing: Landing, client: Client) -> None:
    landing.insert(batch([event(0, "t", ce_time="2026-11-24T02:00:02Z", ce_startedat="2026-11-24T02:00:00Z")]))
    assert client.query("SELECT saga, type, messages FROM message_counts_by_minute").result_rows == [
        ("campaign", "t", 1)
    ]
    assert one(client, "SELECT quantiles_seconds[1] FROM step_durations_by_minute") == 2.0
    for view in ("commands", "dead_letters", "events", "sagas", "steps", "statuses"):
        client.query(f"SELECT * FROM {view}")


def test_the_schema_can_be_applied_again_and_keeps_what_is_there(
    landing: Landing, client: Client, store: StoreProgram, database: str
) -> None:
    landing.insert(batch([record(0)]))
    apply_schema(store.url, database, SCHEMA_FOLDER).close()
    assert count_in(client) == 1


@pytest.mark.parametrize("table", ["messages", "dead_rows", "message_counts", "step_durations"])
def test_a_table_without_a_deduplication_window_is_refused(client: Client, table: str) -> None:
    client.command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 0")
    with pytest.raises(NoDeduplication, match=table):
        smallest_window(client)


def test_a_view_somebody_added_is_checked_too(client: Client) -> None:
    client.command("CREATE TABLE mine (n UInt64) ENGINE = MergeTree ORDER BY n")
    client.command("CREATE MATERIALIZED VIEW my_view TO mine AS SELECT _offset AS n FROM messages")
    with pytest.raises(NoDeduplication, match="mine"):
        smallest_window(client)


def test_an_error_that_repeating_does_not_help_is_not_hidden(landing: Landing, client: Client) -> None:
    client.command("DROP TABLE records")
    with pytest.raises(DatabaseError) as refused:
        landing.insert(batch([record(0)]))
    assert refused.value.code == 60
