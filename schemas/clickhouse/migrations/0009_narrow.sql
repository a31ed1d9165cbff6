-- What reports and lists read whole, without what they leave alone.
--
-- FINAL compares sort keys, and where those end in an id as text, the ids of all rows are most of what a report reads.
-- So two tables stand here a second time: the same rows by the same key, of which the id is a 64-bit number, with the
-- few columns that are counted and grouped by. A view fills them row by row, older revisions and tombstones included,
-- and they replace rows as the tables they are made of do, so they are exact whatever is restated. A repeated block must
-- run its view again, for a crash may have come between the two: so `touches` deduplicates no blocks any more, as
-- `sessions` does not (a repeated row replaces itself anyway).

CREATE TABLE IF NOT EXISTS narrow_sessions
(
    app_id LowCardinality(String),
    start_ms Int64 CODEC(Delta, LZ4),
    end_ms Int64 CODEC(Delta, LZ4),
    session_hash UInt64 CODEC(NONE),
    person_hash UInt64 CODEC(NONE),
    channel LowCardinality(String),
    source LowCardinality(String),
    medium LowCardinality(String),
    campaign LowCardinality(String),
    conversions Int64 CODEC(LZ4),
    revision UInt64 CODEC(LZ4),
    is_deleted Bool DEFAULT false
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (app_id, start_ms, session_hash);

CREATE MATERIALIZED VIEW IF NOT EXISTS sessions_to_narrow TO narrow_sessions AS
SELECT app_id, start_ms, end_ms, sipHash64(session_id) AS session_hash, sipHash64(person_key) AS person_hash, channel,
    source, medium, campaign, conversions, revision, is_deleted
FROM sessions;

INSERT INTO narrow_sessions
SELECT app_id, start_ms, end_ms, sipHash64(session_id) AS session_hash, sipHash64(person_key) AS person_hash, channel,
    source, medium, campaign, conversions, revision, is_deleted
FROM sessions
SETTINGS max_execution_time = 0;

CREATE TABLE IF NOT EXISTS narrow_touches
(
    app_id LowCardinality(String),
    touched_at_ms Int64 CODEC(Delta, LZ4),
    touch_hash UInt64 CODEC(NONE),
    touch_type LowCardinality(String),
    channel LowCardinality(String),
    source LowCardinality(String),
    medium LowCardinality(String),
    campaign LowCardinality(String),
    revision UInt64 CODEC(LZ4),
    is_deleted Bool DEFAULT false
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (app_id, touched_at_ms, touch_hash);

ALTER TABLE touches MODIFY SETTING non_replicated_deduplication_window = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS touches_to_narrow TO narrow_touches AS
SELECT app_id, touched_at_ms, sipHash64(touch_id) AS touch_hash, touch_type, channel, source, medium, campaign,
    revision, is_deleted
FROM touches;

INSERT INTO narrow_touches
SELECT app_id, touched_at_ms, sipHash64(touch_id) AS touch_hash, touch_type, channel, source, medium, campaign,
    revision, is_deleted
FROM touches
SETTINGS max_execution_time = 0;

-- Where a person's events lie. A projection is written with its part, so it misses nothing; what it tells is looked up
-- in the table by its key. It takes the place of an index that told only which granules to look through.
ALTER TABLE events MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild';
ALTER TABLE events ADD PROJECTION IF NOT EXISTS by_person (
    SELECT app_id, person_key, timestamp_ms ORDER BY app_id, person_key, timestamp_ms
);
ALTER TABLE events MATERIALIZE PROJECTION by_person;
ALTER TABLE events DROP INDEX IF EXISTS by_person_key;

-- One number for each property at the top of an event's object: a hash of its name and its text, or the number the text
-- is. `services.query.events.property_condition` asks for the same. It takes the place of an index that kept no column:
-- a row that may have a property is found without parsing its neighbours.
ALTER TABLE events ADD COLUMN IF NOT EXISTS property_hashes Array(UInt32) MATERIALIZED arrayMap(
    property -> toUInt32(cityHash64(property.1, ifNull(toString(toFloat64OrNull(property.2)), property.2))),
    JSONExtractKeysAndValues(properties, 'String')
) CODEC(ZSTD(1));
ALTER TABLE events MATERIALIZE COLUMN property_hashes;
ALTER TABLE events ADD INDEX IF NOT EXISTS by_property_hash property_hashes TYPE bloom_filter(0.001) GRANULARITY 1;
ALTER TABLE events MATERIALIZE INDEX by_property_hash;
ALTER TABLE events DROP INDEX IF EXISTS by_property;

-- Nothing asks by these.
ALTER TABLE touches DROP INDEX IF EXISTS by_touch_id;
ALTER TABLE touches DROP INDEX IF EXISTS by_session_id;
ALTER TABLE sessions DROP INDEX IF EXISTS by_user_id;
