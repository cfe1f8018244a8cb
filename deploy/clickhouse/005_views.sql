CREATE OR REPLACE VIEW events AS
SELECT saga, saga_id, type, id, occurred_at, tenant, source AS participant, correlation_id, causation_id, traceparent,
       round, attempt, started_at, body, _topic, _partition, _offset
FROM messages
WHERE channel = 'events' AND type NOT IN ('', 'soma.noop') AND valid_json;

CREATE OR REPLACE VIEW commands AS
SELECT saga, saga_id, type, id, occurred_at, tenant, correlation_id, causation_id, traceparent, body, _topic, _partition, _offset,
       source
FROM messages
WHERE channel = 'commands' AND type != 'soma.noop';

-- One row per saga that was opened. Its state is its first end; after a failing one it is `compensating` until every
-- participant of its opening has settled.
CREATE OR REPLACE VIEW sagas AS
WITH
    type_of.kind IN ('completion', 'failing_end')
        OR (e.type = concat(e.saga, '.step.failed') AND JSONExtractString(e.body, 'policy') = 'end') AS is_end,
    countIf(is_end) > 0 AS has_ended,
    argMinIf(type_of.kind, e._offset, is_end) AS end_kind,
    argMinIf(type_of.ends_as, e._offset, is_end) AS ends_as
SELECT
    e.saga AS saga,
    e.saga_id AS saga_id,
    multiIf(NOT has_ended, 'running',
            end_kind = 'completion', 'completed',
            length(settled) < length(participants), 'compensating',
            ends_as != '', ends_as,
            'compensated') AS state,
    argMinIf(e.tenant, e._offset, type_of.kind = 'opening') AS tenant,
    minIf(e.occurred_at, type_of.kind = 'opening') AS opened_at,
    if(has_ended, argMinIf(e.occurred_at, e._offset, is_end), NULL) AS ended_at,
    argMinIf(e.type, e._offset, is_end) AS end_type,
    argMinIf(JSONExtract(e.body, 'participants', 'Array(String)'), e._offset, type_of.kind = 'opening') AS participants,
    groupUniqArrayIf(JSONExtractString(e.body, 'participant'), e.type = concat(e.saga, '.participant.settled')) AS settled,
    countIf(type_of.kind = 'compensating') AS undone,
    max(e.round) AS rounds,
    count() AS event_count,
    max(e.occurred_at) AS updated_at
FROM events AS e
LEFT JOIN (SELECT type, kind, ends_as FROM message_types FINAL) AS type_of ON e.type = type_of.type
GROUP BY saga, saga_id
HAVING countIf(type_of.kind = 'opening') > 0;

-- Where each saga stands, as the tracker last said.
CREATE OR REPLACE VIEW statuses AS
SELECT saga, saga_id,
       JSONExtractString(text, 'state') AS state,
       JSONExtractUInt(text, 'progress_percent') AS progress_percent,
       JSONExtract(text, 'waiting_for', 'Nullable(String)') AS waiting_for,
       JSONExtract(text, 'cause', 'Nullable(String)') AS cause,
       parseDateTime64BestEffortOrNull(JSONExtractString(text, 'started_at'), 6, 'UTC') AS started_at,
       parseDateTime64BestEffortOrNull(JSONExtractString(text, 'updated_at'), 6, 'UTC') AS updated_at,
       text AS body
FROM
(
    SELECT saga, saga_id, argMax(body, _offset) AS text
    FROM messages
    WHERE channel = 'status' AND type != 'soma.noop' AND valid_json
    GROUP BY saga, saga_id
);

-- Each step of each saga, from the saga's newest status.
CREATE OR REPLACE VIEW steps AS
SELECT saga, saga_id, step.1 AS name, step.2 AS participant, step.3 AS state, step.4 AS attempts,
       parseDateTime64BestEffortOrNull(ifNull(step.5, ''), 6, 'UTC') AS started_at,
       parseDateTime64BestEffortOrNull(ifNull(step.6, ''), 6, 'UTC') AS ended_at,
       step.7 AS said, step.8 AS item
FROM statuses
ARRAY JOIN JSONExtract(body, 'steps',
    'Array(Tuple(name String, participant String, state String, attempts UInt32, started_at Nullable(String), ended_at Nullable(String), said Nullable(String), item Nullable(String)))') AS step;

CREATE OR REPLACE VIEW dead_letters AS
SELECT saga, saga_id, type, id, occurred_at, tenant, source AS participant, body, _topic, _partition, _offset
FROM messages
WHERE channel = 'dead' AND type NOT IN ('soma.noop', concat(saga, '.dead.discarded'), concat(saga, '.dead.replayed'));

-- What was decided of dead letters; of several decisions on one letter the first one counts.
CREATE OR REPLACE VIEW dead_letter_decisions AS
SELECT saga, saga_id, JSONExtractString(body, 'letter_id') AS letter_id,
       if(type = concat(saga, '.dead.discarded'), 'discarded', 'replayed') AS decision,
       occurred_at, JSONExtractString(body, 'by') AS decided_by, JSONExtractString(body, 'reason') AS reason,
       body, _topic, _partition, _offset
FROM messages
WHERE channel = 'dead' AND type IN (concat(saga, '.dead.discarded'), concat(saga, '.dead.replayed'));

CREATE OR REPLACE VIEW message_counts_by_minute AS
SELECT minute, saga, channel, type, tenant, sum(count) AS messages
FROM message_counts
GROUP BY minute, saga, channel, type, tenant;

CREATE OR REPLACE VIEW step_durations_by_minute AS
SELECT minute, saga, source AS participant, type, sum(count) AS ended, sum(attempts) AS tried,
       quantilesTDigestMerge(0.5, 0.9, 0.99)(seconds) AS quantiles_seconds
FROM step_durations
GROUP BY minute, saga, participant, type;

-- The batches that no consumer unpacks, because they unpack to too much or to nothing: Kafka has all of their offsets,
-- `messages` has one row for each batch, at its last offset. Kafka's offsets without a row are these and the markers of
-- transactions. (A publisher may write such a header; then the offsets that it names have rows of their own.)
CREATE OR REPLACE VIEW skipped_batches AS
SELECT _topic, _partition,
       JSONExtractUInt(told, 'first_offset') AS first_offset,
       _offset AS last_offset,
       JSONExtractInt(told, 'records') AS records,
       JSONExtractString(told, 'codec') AS codec,
       JSONExtractUInt(told, 'packed_bytes') AS packed_bytes,
       JSONExtractString(told, 'why') AS why,
       _timestamp, _ingested_at
FROM (SELECT *, headers['soma_skipped_batch'] AS told FROM dead_rows WHERE _key IS NULL)
WHERE told != '';
