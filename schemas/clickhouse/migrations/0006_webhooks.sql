-- The attempts of webhooks, and why a conversion's row was written.
--
-- An attempt is named by its delivery, its number and its time. The body stands in each row, so that a delivery can be
-- sent again from any of them; equal ones lie side by side and compress to next to nothing.

CREATE TABLE IF NOT EXISTS webhook_attempts
(
    app_id LowCardinality(String),
    delivery_id String CODEC(ZSTD(1)),
    attempt_id String CODEC(ZSTD(1)),
    endpoint_id LowCardinality(String),
    event_type LowCardinality(String),
    fact_id String CODEC(ZSTD(1)),
    sequence Int64 CODEC(ZSTD(1)),
    attempt Int64 CODEC(ZSTD(1)),
    outcome LowCardinality(String),
    attempted_at_ms Int64 CODEC(Delta, ZSTD(1)),
    duration_ms Int64 CODEC(ZSTD(1)),
    status Int64 CODEC(ZSTD(1)),
    error String CODEC(ZSTD(1)),
    response_head String CODEC(ZSTD(1)),
    next_attempt_ms Int64 CODEC(ZSTD(1)),
    created_at_ms Int64 CODEC(Delta, ZSTD(1)),
    queued_at_ms Int64 CODEC(Delta, ZSTD(1)),
    is_resent Bool,
    payload String CODEC(ZSTD(1)),
    attempted_at DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(attempted_at_ms, 'UTC'),
    INDEX by_created_at_ms created_at_ms TYPE minmax GRANULARITY 1,
    CONSTRAINT has_identity CHECK app_id != '' AND delivery_id != '' AND attempt_id != ''
)
ENGINE = ReplacingMergeTree
ORDER BY (app_id, delivery_id, attempt_id)
TTL toDateTime(intDiv(attempted_at_ms, 1000)) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000;

ALTER TABLE conversions ADD COLUMN IF NOT EXISTS reason LowCardinality(String) DEFAULT '';
