-- What makes reading fast, and what it tells beside the facts: sessions by person, properties that can be looked up,
-- when a row could be read, every revision of an attribution, what advertising cost.

-- The same rows as `sessions`, for questions about people. A view fills it row by row, older revisions and tombstones
-- included, and it replaces them as `sessions` does, so it is exact whatever is restated. A repeated block must run the
-- view again, for a crash may have come between the two: so `sessions` deduplicates no blocks any more (a repeated row
-- replaces itself anyway). Small granules: a person is a handful of rows.
CREATE TABLE IF NOT EXISTS sessions_by_person
(
    app_id LowCardinality(String),
    person_key String CODEC(ZSTD(1)),
    start_ms Int64 CODEC(Delta, ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    anonymous_id String CODEC(ZSTD(1)),
    end_ms Int64 CODEC(Delta, ZSTD(1)),
    events Int64 CODEC(ZSTD(1)),
    page_views Int64 CODEC(ZSTD(1)),
    channel LowCardinality(String),
    conversions Int64 CODEC(ZSTD(1)),
    values_minor Map(LowCardinality(String), Int64),
    revision UInt64 CODEC(ZSTD(1)),
    is_deleted Bool DEFAULT false
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (app_id, person_key, start_ms, session_id)
SETTINGS index_granularity = 256;

ALTER TABLE sessions MODIFY SETTING non_replicated_deduplication_window = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS sessions_to_persons TO sessions_by_person AS
SELECT app_id, person_key, start_ms, session_id, anonymous_id, end_ms, events, page_views, channel, conversions,
    values_minor, revision, is_deleted
FROM sessions;

INSERT INTO sessions_by_person
SELECT app_id, person_key, start_ms, session_id, anonymous_id, end_ms, events, page_views, channel, conversions,
    values_minor, revision, is_deleted
FROM sessions;

-- One hash for each property at the top of an event's object: of its name and its text, or the number the text is. Only
-- the index is kept. `services.query.events.property_condition` asks for the same hash.
ALTER TABLE events ADD INDEX IF NOT EXISTS by_property arrayMap(
    property -> cityHash64(property.1, ifNull(toString(toFloat64OrNull(property.2)), property.2)),
    JSONExtractKeysAndValues(properties, 'String')
) TYPE bloom_filter(0.02) GRANULARITY 1;

-- When the row that stands could be read here. Rows from before this migration say 0: not known.
ALTER TABLE events ADD COLUMN IF NOT EXISTS stored_at_ms Int64 DEFAULT 0 CODEC(Delta, ZSTD(1));
ALTER TABLE events MATERIALIZE COLUMN stored_at_ms SETTINGS mutations_sync = 1;
ALTER TABLE events MODIFY COLUMN stored_at_ms Int64 MATERIALIZED toUnixTimestamp64Milli(now64(3)) CODEC(Delta, ZSTD(1));
ALTER TABLE sessions ADD COLUMN IF NOT EXISTS stored_at_ms Int64 DEFAULT 0 CODEC(Delta, ZSTD(1));
ALTER TABLE sessions MATERIALIZE COLUMN stored_at_ms SETTINGS mutations_sync = 1;
ALTER TABLE sessions MODIFY COLUMN stored_at_ms Int64 MATERIALIZED toUnixTimestamp64Milli(now64(3)) CODEC(Delta, ZSTD(1));
ALTER TABLE conversions ADD COLUMN IF NOT EXISTS stored_at_ms Int64 DEFAULT 0 CODEC(Delta, ZSTD(1));
ALTER TABLE conversions MATERIALIZE COLUMN stored_at_ms SETTINGS mutations_sync = 1;
ALTER TABLE conversions MODIFY COLUMN stored_at_ms Int64 MATERIALIZED toUnixTimestamp64Milli(now64(3)) CODEC(Delta, ZSTD(1));

-- Every revision of every attribution; of one that is written again, by a replay say, the first time it could be read
-- stays (the greater rank).
CREATE TABLE IF NOT EXISTS attribution_revisions
(
    app_id LowCardinality(String),
    conversion_id String CODEC(ZSTD(1)),
    revision UInt64 CODEC(ZSTD(1)),
    supersedes UInt64 CODEC(ZSTD(1)),
    reason LowCardinality(String),
    config_version Int64 CODEC(ZSTD(1)),
    value_minor Int64 CODEC(ZSTD(1)),
    refunded_minor Int64 CODEC(ZSTD(1)),
    touch_ids Array(String) CODEC(ZSTD(1)),
    is_taken_back Bool,
    stored_at_ms Int64 CODEC(ZSTD(1)),
    rank UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY (app_id, conversion_id, revision)
SETTINGS index_granularity = 512;

ALTER TABLE attributions MODIFY SETTING non_replicated_deduplication_window = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS attributions_to_revisions TO attribution_revisions AS
SELECT app_id, conversion_id, revision, supersedes, reason, config_version, value_minor, refunded_minor, touch_ids,
    is_deleted AS is_taken_back, toUnixTimestamp64Milli(now64(3)) AS stored_at_ms,
    toUInt64(9223372036854775807 - stored_at_ms) AS rank
FROM attributions;

INSERT INTO attribution_revisions
SELECT app_id, conversion_id, revision, supersedes, reason, config_version, value_minor, refunded_minor, touch_ids,
    is_deleted AS is_taken_back, 0 AS stored_at_ms, toUInt64(9223372036854775807) AS rank
FROM attributions;

-- What advertising cost. A file imported again replaces its rows.
CREATE TABLE IF NOT EXISTS costs
(
    app_id LowCardinality(String),
    date Date,
    channel LowCardinality(String),
    campaign LowCardinality(String),
    cost_minor Int64 CODEC(ZSTD(1)),
    currency LowCardinality(String),
    imported_at_ms Int64 CODEC(ZSTD(1)),
    revision UInt64 CODEC(ZSTD(1)),
    is_deleted Bool DEFAULT false,
    CONSTRAINT has_identity CHECK app_id != '' AND channel != ''
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (app_id, date, channel, campaign)
SETTINGS non_replicated_deduplication_window = 1000;
