"""Rows per second of the sink, against ClickHouse given the same rows in one file of its own format."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from consumers.clickhouse.batches import Limits
from consumers.clickhouse.kafka import topics_of
from consumers.clickhouse.schema import apply_schema
from deploy.cli.sink import SCHEMA_FOLDER
from producers.headers import headers_for
from schemas.topics import catalogue
from tests.benchmarks.figures import Figures
from tests.benchmarks.stack import broker
from tests.integration.consumers.clickhouse.programs import SinkProgram, StoreProgram, count_in, make_topics, say, until

PARTITIONS = 4
TOPIC = "campaign.events"
WITHIN_SECONDS = 300.0
# `records` is what the sink writes to; every table and view hangs on it.
AS_RECORDS = """
SELECT toString(_topic) AS _topic, _partition, _offset, toUnixTimestamp64Milli(_timestamp) AS _timestamp, _key,
    mapKeys(headers) AS header_names, mapValues(headers) AS header_values, value, _b0, _b1, _ingested_at,
    'bench' AS _owner
FROM messages
FORMAT Native
"""


def measure(runs: int, number: int) -> Figures:
    """`number` events for each run; the sink is started with all of them waiting."""
    figures = Figures()
    with TemporaryDirectory(prefix="soma-bench-", ignore_cleanup_errors=True) as folder, broker() as kafka:
        home = Path(folder)
        make_topics(kafka.bootstrap_servers, topics_of(catalogue().values()), PARTITIONS)
        say(kafka.bootstrap_servers, ({"topic": TOPIC, **_event(index)} for index in range(number)))
        store = StoreProgram(home)
        store.start()
        try:
            for run in range(runs):
                sink_rate = _by_the_sink(home, kafka.bootstrap_servers, store, f"sunk_{run}", number)
                own_rate = _by_itself(store, f"sunk_{run}", f"filed_{run}", number)
                figures.note("sink_rows_per_second", sink_rate)
                figures.note("native_rows_per_second", own_rate)
                figures.note("sink_ratio", sink_rate / own_rate)
        finally:
            store.kill()
    return figures


def _by_the_sink(home: Path, servers: str, store: StoreProgram, database: str, number: int) -> float:
    """From the moment the sink is ready until ClickHouse has every row."""
    sink = SinkProgram(home, servers, store.url, database, Limits())
    sink.start()
    try:
        until(sink.is_ready, WITHIN_SECONDS, "the sink is ready")
        began = time.perf_counter()
        client = store.client(database)
        until(lambda: count_in(client) >= number, WITHIN_SECONDS, "every row is stored")
        return number / (time.perf_counter() - began)
    finally:
        sink.stop()


def _by_itself(store: StoreProgram, source: str, database: str, number: int) -> float:
    """One insert of all rows, in the format that ClickHouse need not parse."""
    file = store.client(source).raw_query(AS_RECORDS)
    client = apply_schema(store.url, database, SCHEMA_FOLDER)
    client.command(
        "INSERT INTO partition_owners (_topic, _partition, owner, claim)"
        f" SELECT DISTINCT toString(_topic), _partition, 'bench', 1 FROM {source}.messages"
    )
    began = time.perf_counter()
    client.raw_insert("records", insert_block=file, fmt="Native")
    seconds = time.perf_counter() - began
    if count_in(client) != number:
        raise RuntimeError(f"{count_in(client)} rows of {number} were stored")
    return number / seconds


def _event(index: int) -> dict[str, Any]:
    saga_id = f"c-{index // 10:08d}"
    headers = headers_for(
        wire_type="campaign.researched",
        message_id=f"researched/{saga_id}/{index}",
        source="campaign.studio",
        saga_id=saga_id,
        at=time.time(),
        correlation=saga_id,
        causation=f"opened/{saga_id}",
        tenant="default",
        attempt=1,
    )
    value = b'{"summary":"what there is to know about tulips in spring","sources":["a","b","c"],"number":%d}' % index
    return {"key": saga_id.encode(), "value": value, "headers": list(headers)}
