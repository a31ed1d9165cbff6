-- The tables of the facts, one for each struct of schemas.events and schemas.facts; a field's name is its column's.
--
-- Each is a ReplacingMergeTree: of the rows with one sort key the greatest revision counts, and none if that one is
-- deleted. So a fact's sort key holds only what can never change about it, its id last, and no table is split into
-- ClickHouse partitions, across which rows do not replace each other. Read with FINAL. A line of JSON without the ids of
-- its fact is refused: ClickHouse would fill them with empty strings.
--
-- A later migration gives each app its own TTL: `history_limit_days` lives in the control plane, not here.

CREATE TABLE IF NOT EXISTS events
(
    app_id LowCardinality(String),
    event_id String CODEC(ZSTD(1)),
    event_name LowCardinality(String),
    timestamp_ms Int64 CODEC(Delta, ZSTD(1)),
    received_us Int64 CODEC(Delta, ZSTD(1)),
    user_id String CODEC(ZSTD(1)),
    anonymous_id String CODEC(ZSTD(1)),
    properties String DEFAULT '{}' CODEC(ZSTD(1)),
    page_url String CODEC(ZSTD(1)),
    page_title String CODEC(ZSTD(1)),
    referrer String CODEC(ZSTD(1)),
    campaign_source LowCardinality(String),
    campaign_medium LowCardinality(String),
    campaign_name LowCardinality(String),
    campaign_term String CODEC(ZSTD(1)),
    campaign_content String CODEC(ZSTD(1)),
    ip String CODEC(ZSTD(1)),
    user_agent String CODEC(ZSTD(1)),
    locale LowCardinality(String),
    original_timestamp_ms Int64 CODEC(ZSTD(1)),
    is_bot Bool,
    key_id LowCardinality(String),
    -- Of repeats with one timestamp the first received wins, so an earlier receipt is the greater revision (2^62 - it).
    revision UInt64 DEFAULT toUInt64(4611686018427387904 - received_us) CODEC(Delta, ZSTD(1)),
    is_deleted Bool DEFAULT false,
    -- The same as schemas.events.person_key.
    person_key String MATERIALIZED multiIf(
        user_id != '', concat('u:', user_id), anonymous_id != '', concat('a:', anonymous_id), concat('e:', event_id)
    ) CODEC(ZSTD(1)),
    timestamp DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(timestamp_ms, 'UTC'),
    received_at DateTime64(6, 'UTC') ALIAS fromUnixTimestamp64Micro(received_us, 'UTC'),
    INDEX by_event_id event_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_person_key person_key TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_user_id user_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_anonymous_id anonymous_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_event_name event_name TYPE set(100) GRANULARITY 4,
    CONSTRAINT has_identity CHECK app_id != '' AND event_id != ''
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (app_id, timestamp_ms, event_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS sessions
(
    app_id LowCardinality(String),
    session_id String CODEC(ZSTD(1)),
    person_key String CODEC(ZSTD(1)),
    user_id String CODEC(ZSTD(1)),
    anonymous_id String CODEC(ZSTD(1)),
    start_ms Int64 CODEC(Delta, ZSTD(1)),
    end_ms Int64 CODEC(Delta, ZSTD(1)),
    events Int64 CODEC(ZSTD(1)),
    page_views Int64 CODEC(ZSTD(1)),
    entry_page String CODEC(ZSTD(1)),
    exit_page String CODEC(ZSTD(1)),
    channel LowCardinality(String),
    source LowCardinality(String),
    medium LowCardinality(String),
    campaign LowCardinality(String),
    conversions Int64 CODEC(ZSTD(1)),
    values_minor Map(LowCardinality(String), Int64),
    is_bounce Bool,
    is_closed Bool,
    revision UInt64 CODEC(ZSTD(1)),
    is_deleted Bool DEFAULT false,
    `start` DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(start_ms, 'UTC'),
    `end` DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(end_ms, 'UTC'),
    duration_ms Int64 ALIAS end_ms - start_ms,
    INDEX by_session_id session_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_person_key person_key TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_user_id user_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_anonymous_id anonymous_id TYPE bloom_filter(0.01) GRANULARITY 1,
    CONSTRAINT has_identity CHECK app_id != '' AND session_id != ''
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (app_id, start_ms, session_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS touches
(
    app_id LowCardinality(String),
    touch_id String CODEC(ZSTD(1)),
    person_key String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    touched_at_ms Int64 CODEC(Delta, ZSTD(1)),
    touch_type LowCardinality(String),
    channel LowCardinality(String),
    source LowCardinality(String),
    medium LowCardinality(String),
    campaign LowCardinality(String),
    revision UInt64 CODEC(ZSTD(1)),
    is_deleted Bool DEFAULT false,
    touched_at DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(touched_at_ms, 'UTC'),
    INDEX by_touch_id touch_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_session_id session_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_person_key person_key TYPE bloom_filter(0.01) GRANULARITY 1,
    CONSTRAINT has_identity CHECK app_id != '' AND touch_id != ''
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (app_id, touched_at_ms, touch_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS conversions
(
    app_id LowCardinality(String),
    conversion_id String CODEC(ZSTD(1)),
    goal LowCardinality(String),
    goal_type LowCardinality(String),
    event_id String CODEC(ZSTD(1)),
    person_key String CODEC(ZSTD(1)),
    user_id String CODEC(ZSTD(1)),
    anonymous_id String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    converted_at_ms Int64 CODEC(Delta, ZSTD(1)),
    value_minor Int64 CODEC(ZSTD(1)),
    currency LowCardinality(String),
    order_id String CODEC(ZSTD(1)),
    path_touch_ids Array(String) CODEC(ZSTD(1)),
    path_touched_at_ms Array(Int64) CODEC(ZSTD(1)),
    path_touch_types Array(LowCardinality(String)),
    path_channels Array(LowCardinality(String)),
    path_sources Array(LowCardinality(String)),
    path_mediums Array(LowCardinality(String)),
    path_campaigns Array(LowCardinality(String)),
    revision UInt64 CODEC(ZSTD(1)),
    is_deleted Bool DEFAULT false,
    converted_at DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(converted_at_ms, 'UTC'),
    INDEX by_conversion_id conversion_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_event_id event_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_session_id session_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_person_key person_key TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_user_id user_id TYPE bloom_filter(0.01) GRANULARITY 1,
    CONSTRAINT has_identity CHECK app_id != '' AND conversion_id != ''
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (app_id, converted_at_ms, conversion_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS attributions
(
    app_id LowCardinality(String),
    conversion_id String CODEC(ZSTD(1)),
    goal LowCardinality(String),
    person_key String CODEC(ZSTD(1)),
    converted_at_ms Int64 CODEC(Delta, ZSTD(1)),
    value_minor Int64 CODEC(ZSTD(1)),
    currency LowCardinality(String),
    touch_ids Array(String) CODEC(ZSTD(1)),
    touched_at_ms Array(Int64) CODEC(ZSTD(1)),
    touch_types Array(LowCardinality(String)),
    channels Array(LowCardinality(String)),
    sources Array(LowCardinality(String)),
    mediums Array(LowCardinality(String)),
    campaigns Array(LowCardinality(String)),
    credits_nanos Map(LowCardinality(String), Array(Int64)),
    values_minor Map(LowCardinality(String), Array(Int64)),
    reason LowCardinality(String),
    revision UInt64 CODEC(ZSTD(1)),
    is_deleted Bool DEFAULT false,
    converted_at DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(converted_at_ms, 'UTC'),
    INDEX by_conversion_id conversion_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_person_key person_key TYPE bloom_filter(0.01) GRANULARITY 1,
    CONSTRAINT has_identity CHECK app_id != '' AND conversion_id != ''
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (app_id, converted_at_ms, conversion_id)
SETTINGS non_replicated_deduplication_window = 1000;

-- A reject is named by its place, while its time may be that of a second look: so the time is no part of the key. The
-- stream and the loader read the same lines; of one that both refuse, the stream's account stands.
CREATE TABLE IF NOT EXISTS rejected
(
    app_id LowCardinality(String),
    reject_id String CODEC(ZSTD(1)),
    rejected_at_ms Int64 CODEC(Delta, ZSTD(1)),
    stage LowCardinality(String),
    code LowCardinality(String),
    field LowCardinality(String),
    reason String CODEC(ZSTD(1)),
    payload String CODEC(ZSTD(1)),
    key_id LowCardinality(String),
    rank UInt8 MATERIALIZED stage != 'loader',
    rejected_at DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(rejected_at_ms, 'UTC'),
    INDEX by_rejected_at_ms rejected_at_ms TYPE minmax GRANULARITY 1,
    CONSTRAINT has_identity CHECK reject_id != ''
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY (app_id, reject_id)
SETTINGS non_replicated_deduplication_window = 1000;

-- A mark is named by the place of its event in the topic. No deduplication window: a repeated block must run the view
-- below again, for the crash may have come between the two.
CREATE TABLE IF NOT EXISTS event_marks
(
    app_id LowCardinality(String),
    event_id String CODEC(ZSTD(1)),
    mark LowCardinality(String),
    timestamp_ms Int64 CODEC(Delta, ZSTD(1)),
    first_timestamp_ms Int64 CODEC(Delta, ZSTD(1)),
    received_us Int64 CODEC(Delta, ZSTD(1)),
    `partition` Int64 CODEC(ZSTD(1)),
    `offset` Int64 CODEC(ZSTD(1)),
    `index` Int64 CODEC(ZSTD(1)),
    timestamp DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(timestamp_ms, 'UTC'),
    received_at DateTime64(6, 'UTC') ALIAS fromUnixTimestamp64Micro(received_us, 'UTC'),
    INDEX by_received_us received_us TYPE minmax GRANULARITY 1,
    CONSTRAINT has_identity CHECK app_id != '' AND event_id != ''
)
ENGINE = ReplacingMergeTree
ORDER BY (app_id, event_id, mark, `partition`, `offset`, `index`);

-- A repeat with the kept event's timestamp has its sort key and collapses into it. One with another timestamp (clock
-- skew corrected twice, say) is a row of its own and is taken back here, whichever of the two arrives first.
CREATE MATERIALIZED VIEW IF NOT EXISTS event_tombstones TO events AS
SELECT
    app_id,
    event_id,
    timestamp_ms,
    received_us,
    toUInt64(9223372036854775807) AS revision,
    true AS is_deleted
FROM event_marks
WHERE mark = 'duplicate' AND timestamp_ms != first_timestamp_ms;

CREATE TABLE IF NOT EXISTS progress
(
    `partition` Int64,
    next_offset Int64,
    watermark_ms Int64,
    pending_sessions Int64,
    derived_offsets Map(LowCardinality(String), Int64),
    reported_at_ms Int64,
    watermark DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(watermark_ms, 'UTC'),
    reported_at DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(reported_at_ms, 'UTC')
)
ENGINE = ReplacingMergeTree(reported_at_ms)
ORDER BY `partition`;

-- Written by the loader after the rows themselves: everything below `next_offset` of the topic's partition is readable.
CREATE TABLE IF NOT EXISTS loaded_offsets
(
    topic LowCardinality(String),
    `partition` Int64,
    next_offset Int64,
    loaded_at_ms Int64,
    loaded_at DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(loaded_at_ms, 'UTC')
)
ENGINE = ReplacingMergeTree(loaded_at_ms)
ORDER BY (topic, `partition`);
