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
from consumers.clickhouse.errors import NoDeduplication, PartitionTaken, TablesChanged
from consumers.clickhouse.gaps import Gap, Span, StoredBatch
from consumers.clickhouse.landing import Landing, comment_for
from consumers.clickhouse.schema import Window, apply_schema, mend_schema, note_types, smallest_window
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


def last(landing: Landing, partition: TopicPartition, log_id: str = "") -> StoredBatch:
    return landing.last_batches({partition: 0})[partition][log_id]


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
    stored = last(landing, EVENTS)
    assert (stored.first, stored.last, stored.ingested_at, stored.known) == (0, 4, NOW, True)
    for _ in range(2):
        landing.insert(landing.read_back(EVENTS, stored))
    assert (count_in(client), count_in(client, "dead_rows")) == (5, 2)
    assert (sum_of(client, "message_counts"), sum_of(client, "step_durations")) == (5, 3)


def test_a_batch_whose_token_is_forgotten_is_not_replayed(landing: Landing, client: Client) -> None:
    landing.window = Window(6)
    others = [TopicPartition("campaign.events", number) for number in range(1, 8)]
    landing.claim(others)
    landing.insert(Batch("campaign.events", 0, [record(0)], NOW.replace(year=NOW.year - 1)))
    for other in others[:2]:
        landing.insert(batch([record(0)], partition=other.partition))
    assert not last(landing, EVENTS).known
    assert last(landing, others[0]).known
    for other in others[2:]:
        landing.insert(batch([record(0)], partition=other.partition))
    assert not any(last(landing, one).known for one in (EVENTS, *others))


def test_whoever_lost_a_partition_can_store_nothing_more_in_it(landing: Landing, client: Client) -> None:
    landing.insert(batch([record(0)]))
    successor = Landing(client, "you", Window(100))
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
    assert last(landing, EVENTS)[:2] == (2, 7)
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


def ten(first: int) -> Batch:
    """Ten records that every table has something of, in a log of known id."""
    said = [
        event(one, TYPES[one % 3], b"{}" if one % 5 else b"no", ce_startedat="2026-11-24T01:00:00Z")
        for one in range(first, first + 10)
    ]
    return Batch(EVENTS.topic, 0, said, NOW, first, "A")


@pytest.mark.parametrize("lagging", ["dead_rows", "message_counts", "step_durations"])
def test_a_batch_that_one_table_lacks_is_found_and_filled_from_messages_once(
    landing: Landing, client: Client, lagging: str
) -> None:
    span = Span(EVENTS, "A", 0, 30)
    landing.insert(ten(0))
    client.command(f"DETACH TABLE {lagging}_from_messages")
    landing.insert(ten(10))
    client.command(f"ATTACH TABLE {lagging}_from_messages")
    landing.insert(ten(20))
    (lack,) = landing.lacking([span])
    assert (lack.target, lack.first, lack.found, lack.expected) == (lagging, 10, 0, 2 if lagging == "dead_rows" else 10)
    for _ in range(2):
        landing.fill(lagging, Span(EVENTS, "A", 10, 20))
    assert landing.lacking([span]) == []
    assert [sum_of(client, "message_counts"), sum_of(client, "step_durations"), count_in(client, "dead_rows")] == [
        30,
        30,
        6,
    ]


def test_a_batch_that_a_table_has_twice_is_found(landing: Landing, client: Client) -> None:
    landing.insert(ten(0))
    client.command("INSERT INTO message_counts SELECT * FROM message_counts", settings={"insert_deduplicate": 0})
    (lack,) = landing.lacking([Span(EVENTS, "A", 0, 10)])
    assert (lack.target, lack.expected, lack.found) == ("message_counts", 10, 20)


def test_rows_that_an_operator_dropped_from_messages_are_not_missed_elsewhere(landing: Landing, client: Client) -> None:
    landing.insert(ten(0))
    landing.note_bookmarks({EVENTS: ("A", 10)})
    client.command(f"ALTER TABLE messages DROP PARTITION {NOW:%Y%m}")
    assert landing.lacking([Span(EVENTS, "A", 0, 10)]) == []
    assert landing.bookmarks([EVENTS])[EVENTS][0].checked_up_to == 10


def test_a_sink_that_lost_the_partition_fills_nothing(landing: Landing, client: Client) -> None:
    client.command("DETACH TABLE dead_rows_from_messages")
    landing.insert(ten(0))
    client.command("ATTACH TABLE dead_rows_from_messages")
    Landing(client, "you", Window(100)).claim([EVENTS])
    landing.fill("dead_rows", Span(EVENTS, "A", 0, 10))
    assert count_in(client, "dead_rows") == 0


def test_a_bookmark_never_goes_back_and_is_void_for_tables_that_were_made_again(
    landing: Landing, client: Client
) -> None:
    landing.note_bookmarks({EVENTS: ("A", 10)})
    landing.note_bookmarks({EVENTS: ("A", 40)})
    landing.note_bookmarks({EVENTS: ("A", 30), TopicPartition("campaign.events", 1): ("A", 5)})
    (mark,) = landing.bookmarks([EVENTS])[EVENTS]
    assert (mark.log_id, mark.checked_up_to, mark.of_these_targets) == ("A", 40, 40)
    client.command("DROP TABLE dead_rows")
    mend_schema(client, SCHEMA_FOLDER)
    later = Landing(client, "me", Window(100))
    assert later.targets_id != landing.targets_id
    (mark,) = later.bookmarks([EVENTS])[EVENTS]
    assert (mark.checked_up_to, mark.of_these_targets) == (40, 10)


def test_the_same_offsets_of_a_topic_that_was_made_again_are_other_records(landing: Landing, client: Client) -> None:
    landing.insert(ten(0))
    landing.insert(Batch(EVENTS.topic, 0, ten(0).records, NOW, 0, "B"))
    assert (count_in(client), sum_of(client, "message_counts")) == (20, 20)
    assert landing.lacking([Span(EVENTS, log_id, 0, 10) for log_id in ("A", "B")]) == []
    assert landing.last_batches({EVENTS: 0})[EVENTS].keys() == {"A", "B"}


def test_a_gap_that_is_written_twice_stands_in_the_ledger_once(landing: Landing, client: Client) -> None:
    for _ in range(2):
        landing.note_gaps([Gap(EVENTS, "A", "*", 3, None, "topic_made_again", "why")])
    rows = client.query("SELECT _partition, first_offset, last_offset, detail FROM ledger_gaps FINAL").result_rows
    assert rows == [(0, 3, None, "why")]


def test_a_batch_is_read_back_as_it_was_sent(landing: Landing) -> None:
    landing.insert(ten(20))
    stored = last(landing, EVENTS, "A")
    assert landing.read_back(EVENTS, stored).token == ten(20).token
    assert landing.batch_at(EVENTS, "A", 20)[:3] == (20, 29, NOW)
    (found,) = landing.batches_in([Span(EVENTS, "A", 20, 30)])[EVENTS]
    assert (found.rows, found.sent) == (10, 10)


def test_a_table_whose_rows_name_no_batch_is_told_to_be_unchecked(landing: Landing, client: Client) -> None:
    assert landing.unchecked() == []
    client.command(
        "CREATE TABLE mine (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 9"
    )
    client.command("CREATE MATERIALIZED VIEW my_view TO mine AS SELECT _offset AS n FROM messages")
    assert [name.partition(".")[2] for name in landing.unchecked()] == ["mine"]


def test_rows_that_went_with_the_table_messages_are_known_to_be_lost(landing: Landing, client: Client) -> None:
    landing.note_bookmarks({EVENTS: ("A", 10)})
    landing.note_bookmarks({EVENTS: ("A", 40)})
    client.command("DROP TABLE messages")
    mend_schema(client, SCHEMA_FOLDER)
    with pytest.raises(TablesChanged):
        landing.mend_schema()
    (mark,) = Landing(client, "me", Window(100)).bookmarks([EVENTS])[EVENTS]
    assert (mark.began_at, mark.checked_up_to, mark.in_these_messages) == (10, 40, False)
