-- Figures that are kept up as the records come. Not partitioned: one batch, one part.
-- Each row names the batch it counts (`_topic, _partition, _b0, _log_id`): so the sink can compare, batch by batch, what
-- a table has counted with what `messages` holds. The views of 005_views.sql sum over the batches.
CREATE TABLE IF NOT EXISTS message_counts
(
    minute  DateTime('UTC'),
    saga    LowCardinality(String),
    channel LowCardinality(String),
    type    LowCardinality(String),
    tenant  LowCardinality(String),
    count   SimpleAggregateFunction(sum, UInt64),
    _topic       LowCardinality(String),
    _partition   UInt32,
    _b0          UInt64,
    _log_id      LowCardinality(String),
    _ingested_at SimpleAggregateFunction(max, DateTime('UTC')),
    INDEX by_arrival _ingested_at TYPE minmax GRANULARITY 1
)
ENGINE = AggregatingMergeTree
ORDER BY (saga, channel, type, tenant, minute, _topic, _partition, _b0, _log_id)
SETTINGS non_replicated_deduplication_window = 10000;
ALTER TABLE message_counts
    ADD COLUMN IF NOT EXISTS _topic LowCardinality(String),
    ADD COLUMN IF NOT EXISTS _partition UInt32,
    ADD COLUMN IF NOT EXISTS _b0 UInt64,
    ADD COLUMN IF NOT EXISTS _log_id LowCardinality(String),
    ADD COLUMN IF NOT EXISTS _ingested_at SimpleAggregateFunction(max, DateTime('UTC')),
    MODIFY ORDER BY (saga, channel, type, tenant, minute, _topic, _partition, _b0, _log_id);
ALTER TABLE message_counts ADD INDEX IF NOT EXISTS by_arrival _ingested_at TYPE minmax GRANULARITY 1;

CREATE OR REPLACE MATERIALIZED VIEW message_counts_from_messages TO message_counts AS
SELECT toStartOfMinute(toDateTime(occurred_at, 'UTC')) AS minute, saga, channel, type, tenant, count() AS count,
       _topic, _partition, _b0, _log_id, max(messages._ingested_at) AS _ingested_at
FROM messages
WHERE type != 'soma.noop'
GROUP BY minute, saga, channel, type, tenant, _topic, _partition, _b0, _log_id;

CREATE TABLE IF NOT EXISTS step_durations
(
    minute   DateTime('UTC'),
    saga     LowCardinality(String),
    source   LowCardinality(String),
    type     LowCardinality(String),
    count    SimpleAggregateFunction(sum, UInt64),
    attempts SimpleAggregateFunction(sum, UInt64),
    seconds  AggregateFunction(quantilesTDigest(0.5, 0.9, 0.99), Float64),
    _topic       LowCardinality(String),
    _partition   UInt32,
    _b0          UInt64,
    _log_id      LowCardinality(String),
    _ingested_at SimpleAggregateFunction(max, DateTime('UTC')),
    INDEX by_arrival _ingested_at TYPE minmax GRANULARITY 1
)
ENGINE = AggregatingMergeTree
ORDER BY (saga, source, type, minute, _topic, _partition, _b0, _log_id)
SETTINGS non_replicated_deduplication_window = 10000;
ALTER TABLE step_durations
    ADD COLUMN IF NOT EXISTS _topic LowCardinality(String),
    ADD COLUMN IF NOT EXISTS _partition UInt32,
    ADD COLUMN IF NOT EXISTS _b0 UInt64,
    ADD COLUMN IF NOT EXISTS _log_id LowCardinality(String),
    ADD COLUMN IF NOT EXISTS _ingested_at SimpleAggregateFunction(max, DateTime('UTC')),
    MODIFY ORDER BY (saga, source, type, minute, _topic, _partition, _b0, _log_id);
ALTER TABLE step_durations ADD INDEX IF NOT EXISTS by_arrival _ingested_at TYPE minmax GRANULARITY 1;

CREATE OR REPLACE MATERIALIZED VIEW step_durations_from_messages TO step_durations AS
SELECT toStartOfMinute(toDateTime(occurred_at, 'UTC')) AS minute, saga, source, type,
       count() AS count,
       sum(greatest(attempt, 1)) AS attempts,
       quantilesTDigestState(0.5, 0.9, 0.99)(
           greatest(dateDiff('microsecond', assumeNotNull(started_at), occurred_at), 0) / 1000000.) AS seconds,
       _topic, _partition, _b0, _log_id, max(messages._ingested_at) AS _ingested_at
FROM messages
WHERE channel = 'events' AND type != 'soma.noop' AND started_at IS NOT NULL
GROUP BY minute, saga, source, type, _topic, _partition, _b0, _log_id;
