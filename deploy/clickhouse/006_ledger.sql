-- Up to which offset each log is stored whole, in every table: from there on the next sink reads and compares. `log_id` is
-- the topic's id, and `~n` after it once its end was lost n times: offsets of one log mean nothing in another one.
-- `targets_id` stands for the tables: where one was dropped and made again, its offsets are compared from `began_at` on.
CREATE TABLE IF NOT EXISTS partition_positions
(
    _topic        LowCardinality(String),
    _partition    UInt32,
    cluster_id    LowCardinality(String),
    log_id        LowCardinality(String),
    targets_id    LowCardinality(String),
    began_at      SimpleAggregateFunction(min, UInt64),
    checked_up_to SimpleAggregateFunction(max, UInt64),
    said_at       SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (_topic, _partition, cluster_id, log_id, targets_id);

-- What a table lacks and nothing can fill any more, with the reason. `last_offset` NULL: where it ends is not known.
-- The offsets may include markers of transactions, which are no records. `acknowledged` rows keep `soma doctor` quiet.
CREATE TABLE IF NOT EXISTS ledger_gaps
(
    _topic       LowCardinality(String),
    _partition   UInt32,
    log_id       LowCardinality(String),
    target       LowCardinality(String),
    first_offset UInt64,
    last_offset  Nullable(UInt64),
    cause        LowCardinality(String),
    detail       String,
    found_at     DateTime('UTC') DEFAULT now(),
    acknowledged Bool DEFAULT false
)
ENGINE = ReplacingMergeTree(acknowledged)
ORDER BY (_topic, _partition, log_id, target, first_offset, cause);

-- The statements of this folder that were applied last: while they are the same, a sink that starts runs none of them.
CREATE TABLE IF NOT EXISTS applied_schema
(
    schema_id  String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY applied_at;
