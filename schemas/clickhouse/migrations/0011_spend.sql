-- What advertising cost, in place of `costs`: the currency and the source (the platform) belong to the key, so that two
-- of them do not replace each other.
--
-- A row with `is_marker` says that a file was imported for its day and source: rows of that day and source from earlier
-- imports no longer stand, whether the new file names them or not.
CREATE TABLE IF NOT EXISTS spend
(
    app_id LowCardinality(String),
    date Date,
    channel LowCardinality(String),
    campaign LowCardinality(String),
    source LowCardinality(String),
    cost_minor Int64 CODEC(ZSTD(1)),
    currency LowCardinality(String),
    imported_at_ms Int64 CODEC(ZSTD(1)),
    revision UInt64 CODEC(ZSTD(1)),
    is_marker Bool DEFAULT false,
    is_deleted Bool DEFAULT false,
    CONSTRAINT has_identity CHECK app_id != '' AND (channel != '' OR is_marker)
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (app_id, date, source, channel, campaign, currency)
SETTINGS non_replicated_deduplication_window = 1000;

INSERT INTO spend (app_id, date, channel, campaign, source, cost_minor, currency, imported_at_ms, revision, is_deleted)
SELECT app_id, date, channel, campaign, '' AS source, cost_minor, currency, imported_at_ms, revision, is_deleted
FROM costs;
