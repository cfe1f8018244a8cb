-- Which sink may write which Kafka partition: the newest claim. Whoever lost a partition and does not know it yet
-- (a frozen program that wakes up) is refused by the landing view, before anything is stored.
CREATE TABLE IF NOT EXISTS partition_owners
(
    _topic     LowCardinality(String),
    _partition UInt32,
    owner      String,
    claim      UInt64,
    claimed_at DateTime DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (_topic, _partition, claim);

-- The one Kafka cluster whose records lie here: offsets of another one would be taken for "already there".
CREATE TABLE IF NOT EXISTS kafka_cluster
(
    cluster_id String,
    seen_at    DateTime DEFAULT now()
)
ENGINE = MergeTree
ORDER BY seen_at;

-- What each wire type is, as the message classes say: written by the sink at its start, read by the views.
CREATE TABLE IF NOT EXISTS message_types
(
    type    String,
    saga    LowCardinality(String),
    kind    LowCardinality(String),
    ends_as LowCardinality(String),
    undoes  String,
    said_at DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree(said_at)
ORDER BY type;
