-- Where the sink inserts: raw records, one Kafka partition per INSERT. Keeps nothing; the views below do.
CREATE TABLE IF NOT EXISTS records
(
    _topic        String,
    _partition    UInt32,
    _offset       UInt64,
    _timestamp    Int64,
    _key          Nullable(String),
    header_names  Array(String),
    header_values Array(String),
    value         Nullable(String),
    _b0           UInt64,
    _b1           UInt64,
    _ingested_at  DateTime('UTC'),
    _owner        String,
    _log_id       String,
    _batch_rows   UInt32
)
ENGINE = Null;
ALTER TABLE records ADD COLUMN IF NOT EXISTS _log_id String, ADD COLUMN IF NOT EXISTS _batch_rows UInt32;

-- One row per record of every commands, events, status and dead topic, whatever its bytes are. `value` is the record's
-- value as it came (NULL for a tombstone); what could be read of it stands in the typed columns, and `valid_json` says
-- whether anything could. Ordered like Kafka's log: the question "how far did we get" reads the last marks only.
-- Partitioned by the time of arrival, which is one per batch: a batch is one part, so it is stored whole or not at all.
-- A batch covers the offsets from `_b0` to `_b1`, holes of markers and compaction included, and had `_batch_rows` records.
-- The batches of one log (`_log_id`: the topic's id) follow each other without a gap: where one is missing it is seen.
CREATE TABLE IF NOT EXISTS messages
(
    _topic         LowCardinality(String),
    _partition     UInt32,
    _offset        UInt64 CODEC(Delta(8), ZSTD(1)),
    _timestamp     DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    _key           Nullable(String) CODEC(ZSTD(1)),
    saga           LowCardinality(String),
    channel        LowCardinality(String),
    type           LowCardinality(String),
    id             String CODEC(ZSTD(1)),
    saga_id        String CODEC(ZSTD(1)),
    occurred_at    DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    tenant         LowCardinality(String),
    source         LowCardinality(String),
    subject        String CODEC(ZSTD(1)),
    correlation_id String CODEC(ZSTD(1)),
    causation_id   String CODEC(ZSTD(1)),
    traceparent    String CODEC(ZSTD(1)),
    round          UInt32,
    attempt        UInt32,
    started_at     Nullable(DateTime64(6, 'UTC')),
    structured     Bool,
    valid_json     Bool,
    headers        Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    value          Nullable(String) CODEC(ZSTD(1)),
    body           String ALIAS if(structured, JSONExtractRaw(ifNull(value, ''), 'data'), ifNull(value, '')),
    _b0            UInt64 CODEC(Delta(8), ZSTD(1)),
    _b1            UInt64 CODEC(Delta(8), ZSTD(1)),
    _ingested_at   DateTime('UTC'),
    _log_id        LowCardinality(String),
    _batch_rows    UInt32 CODEC(ZSTD(1)),
    INDEX by_saga_id saga_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_correlation correlation_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_time occurred_at TYPE minmax GRANULARITY 1,
    INDEX by_arrival _ingested_at TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(_ingested_at)
ORDER BY (_topic, _partition, _offset)
SETTINGS non_replicated_deduplication_window = 10000;
ALTER TABLE messages
    ADD COLUMN IF NOT EXISTS _log_id LowCardinality(String),
    ADD COLUMN IF NOT EXISTS _batch_rows UInt32 CODEC(ZSTD(1));

-- No function here throws, whatever a record holds: unreadable is empty. Only a writer that is not the owner is refused.
CREATE OR REPLACE MATERIALIZED VIEW messages_from_records TO messages AS
WITH
    ifNull(value, '') AS text,
    -- Of headers said twice the last one counts, as in `producers.headers`; a map answers with its first.
    mapFromArrays(arrayReverse(arrayMap(name -> lower(name), header_names)), arrayReverse(header_values)) AS header,
    startsWith(lower(header['content-type']), 'application/cloudevents+json') AS is_structured,
    fromUnixTimestamp64Milli(least(greatest(records._timestamp, 0), 4102444800000), 'UTC') AS broker_time,
    if(is_structured, JSONExtractString(text, 'time'), header['ce_time']) AS said_time,
    parseDateTime64BestEffortOrNull(said_time, 6, 'UTC') AS event_time,
    if(is_structured, JSONExtractString(text, 'startedat'), header['ce_startedat']) AS said_start,
    if(is_structured, JSONExtractString(text, 'id'), header['ce_id']) AS said_id
SELECT
    records._topic AS _topic,
    records._partition AS _partition,
    records._offset AS _offset,
    broker_time AS _timestamp,
    records._key AS _key,
    arrayStringConcat(arrayPopBack(splitByChar('.', records._topic)), '.') AS saga,
    splitByChar('.', records._topic)[-1] AS channel,
    if(is_structured, JSONExtractString(text, 'type'), header['ce_type']) AS type,
    if(said_id != '', said_id, concat(records._topic, '/', toString(records._partition), '/', toString(records._offset))) AS id,
    ifNull(records._key, '') AS saga_id,
    if(event_time > toDateTime64(0, 6, 'UTC') AND event_time < toDateTime64('2100-01-01 00:00:00', 6, 'UTC'),
       assumeNotNull(event_time), toDateTime64(broker_time, 6, 'UTC')) AS occurred_at,
    if(is_structured, JSONExtractString(text, 'tenant'), header['ce_tenant']) AS tenant,
    if(is_structured, JSONExtractString(text, 'source'), header['ce_source']) AS source,
    if(is_structured, JSONExtractString(text, 'subject'), header['ce_subject']) AS subject,
    if(is_structured, JSONExtractString(text, 'correlationid'), header['ce_correlationid']) AS correlation_id,
    if(is_structured, JSONExtractString(text, 'causationid'), header['ce_causationid']) AS causation_id,
    if(is_structured, JSONExtractString(text, 'traceparent'), header['traceparent']) AS traceparent,
    toUInt32OrZero(if(is_structured, JSONExtractString(text, 'round'), header['ce_round'])) AS round,
    toUInt32OrZero(if(is_structured, JSONExtractString(text, 'attempt'), header['ce_attempt'])) AS attempt,
    parseDateTime64BestEffortOrNull(said_start, 6, 'UTC') AS started_at,
    is_structured AS structured,
    records.value IS NOT NULL AND isValidJSON(text) AS valid_json,
    CAST((header_names, header_values), 'Map(LowCardinality(String), String)') AS headers,
    records.value AS value,
    records._b0 AS _b0,
    records._b1 AS _b1,
    records._ingested_at AS _ingested_at,
    records._log_id AS _log_id,
    records._batch_rows AS _batch_rows
FROM records
WHERE throwIf(
    (records._topic, records._partition, records._owner) NOT IN
        (SELECT _topic, _partition, argMax(owner, (claim, owner)) FROM partition_owners GROUP BY _topic, _partition),
    'this Kafka partition has another owner') = 0;
