-- The records that are no JSON (tombstones among them), listed once more with the reason.
-- Fed from `messages`, not beside it: so a dead row never stands without its message.
CREATE TABLE IF NOT EXISTS dead_rows
(
    _topic       LowCardinality(String),
    _partition   UInt32,
    _offset      UInt64 CODEC(Delta(8), ZSTD(1)),
    _timestamp   DateTime64(3, 'UTC'),
    _key         Nullable(String),
    type         LowCardinality(String),
    id           String,
    reason       LowCardinality(String),
    headers      Map(LowCardinality(String), String),
    value        Nullable(String) CODEC(ZSTD(1)),
    _b0          UInt64,
    _b1          UInt64,
    _ingested_at DateTime('UTC'),
    _log_id      LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(_ingested_at)
ORDER BY (_topic, _partition, _offset)
SETTINGS non_replicated_deduplication_window = 10000;
ALTER TABLE dead_rows ADD COLUMN IF NOT EXISTS _log_id LowCardinality(String);

CREATE OR REPLACE MATERIALIZED VIEW dead_rows_from_messages TO dead_rows AS
SELECT _topic, _partition, _offset, _timestamp, _key, type, id,
       if(value IS NULL, 'tombstone', 'not_json') AS reason,
       headers, value, _b0, _b1, _ingested_at, _log_id
FROM messages
WHERE NOT valid_json;
