-- What the gateways counted, what alert rules came to, and the alerts.

CREATE TABLE IF NOT EXISTS gateway_counts
(
    app_id LowCardinality(String),
    gateway_id LowCardinality(String),
    minute_ms Int64 CODEC(Delta, ZSTD(1)),
    sequence Int64 CODEC(ZSTD(1)),
    accepted Int64 CODEC(ZSTD(1)),
    duplicates Int64 CODEC(ZSTD(1)),
    rejected Int64 CODEC(ZSTD(1)),
    requests Int64 CODEC(ZSTD(1)),
    failed Int64 CODEC(ZSTD(1)),
    latency_counts Array(Int64) CODEC(ZSTD(1)),
    `minute` DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(minute_ms, 'UTC'),
    CONSTRAINT has_identity CHECK app_id != '' AND gateway_id != ''
)
ENGINE = ReplacingMergeTree(sequence)
ORDER BY (app_id, minute_ms, gateway_id)
SETTINGS non_replicated_deduplication_window = 1000;

-- Of two processes that judged one window the first stands (2^62 - the time of it is the greater rank).
CREATE TABLE IF NOT EXISTS alert_windows
(
    app_id LowCardinality(String),
    rule_id LowCardinality(String),
    window_start_ms Int64 CODEC(Delta, ZSTD(1)),
    window_end_ms Int64 CODEC(Delta, ZSTD(1)),
    value Nullable(Float64) CODEC(ZSTD(1)),
    evaluated_at_us Int64 CODEC(Delta, ZSTD(1)),
    rank UInt64 MATERIALIZED toUInt64(4611686018427387904 - evaluated_at_us) CODEC(Delta, ZSTD(1)),
    window_start DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(window_start_ms, 'UTC'),
    CONSTRAINT has_identity CHECK app_id != '' AND rule_id != ''
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY (app_id, rule_id, window_start_ms)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS alerts
(
    app_id LowCardinality(String),
    alert_id String CODEC(ZSTD(1)),
    rule_id LowCardinality(String),
    rule_name String CODEC(ZSTD(1)),
    metric LowCardinality(String),
    subject LowCardinality(String),
    comparison LowCardinality(String),
    threshold Float64 CODEC(ZSTD(1)),
    value Float64 CODEC(ZSTD(1)),
    average Nullable(Float64) CODEC(ZSTD(1)),
    unit LowCardinality(String),
    state LowCardinality(String),
    window_start_ms Int64 CODEC(Delta, ZSTD(1)),
    window_end_ms Int64 CODEC(Delta, ZSTD(1)),
    began_at_ms Int64 CODEC(Delta, ZSTD(1)),
    fired_at_ms Int64 CODEC(Delta, ZSTD(1)),
    revision UInt64 CODEC(ZSTD(1)),
    is_deleted Bool DEFAULT false,
    window_end DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(window_end_ms, 'UTC'),
    fired_at DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(fired_at_ms, 'UTC'),
    CONSTRAINT has_identity CHECK app_id != '' AND alert_id != ''
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (app_id, window_end_ms, alert_id)
SETTINGS non_replicated_deduplication_window = 1000;
