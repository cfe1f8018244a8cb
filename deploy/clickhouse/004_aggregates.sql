-- Figures that are kept up as the records come. Not partitioned: one batch, one part.
CREATE TABLE IF NOT EXISTS message_counts
(
    minute  DateTime('UTC'),
    saga    LowCardinality(String),
    channel LowCardinality(String),
    type    LowCardinality(String),
    tenant  LowCardinality(String),
    count   SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (saga, channel, type, tenant, minute)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS message_counts_from_messages TO message_counts AS
SELECT toStartOfMinute(toDateTime(occurred_at, 'UTC')) AS minute, saga, channel, type, tenant, count() AS count
FROM messages
WHERE type != 'soma.noop'
GROUP BY minute, saga, channel, type, tenant;

CREATE TABLE IF NOT EXISTS step_durations
(
    minute   DateTime('UTC'),
    saga     LowCardinality(String),
    source   LowCardinality(String),
    type     LowCardinality(String),
    count    SimpleAggregateFunction(sum, UInt64),
    attempts SimpleAggregateFunction(sum, UInt64),
    seconds  AggregateFunction(quantilesTDigest(0.5, 0.9, 0.99), Float64)
)
ENGINE = AggregatingMergeTree
ORDER BY (saga, source, type, minute)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS step_durations_from_messages TO step_durations AS
SELECT toStartOfMinute(toDateTime(occurred_at, 'UTC')) AS minute, saga, source, type,
       count() AS count,
       sum(greatest(attempt, 1)) AS attempts,
       quantilesTDigestState(0.5, 0.9, 0.99)(
           greatest(dateDiff('microsecond', assumeNotNull(started_at), occurred_at), 0) / 1000000.) AS seconds
FROM messages
WHERE channel = 'events' AND type != 'soma.noop' AND started_at IS NOT NULL
GROUP BY minute, saga, source, type;
