-- Which ids are one person's: an anonymous id and a user it was seen with. Of the users of one anonymous id the first
-- is the owner, whose journey the anonymous one became.
CREATE TABLE IF NOT EXISTS person_links
(
    app_id LowCardinality(String),
    anonymous_id String CODEC(ZSTD(1)),
    user_id String CODEC(ZSTD(1)),
    linked_at_ms Int64 CODEC(Delta, ZSTD(1)),
    event_id String CODEC(ZSTD(1)),
    is_owner Bool,
    revision UInt64 CODEC(ZSTD(1)),
    is_deleted Bool DEFAULT false,
    linked_at DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(linked_at_ms, 'UTC'),
    INDEX by_user_id user_id TYPE bloom_filter(0.01) GRANULARITY 1,
    CONSTRAINT has_identity CHECK app_id != '' AND anonymous_id != '' AND user_id != ''
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (app_id, anonymous_id, user_id)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 1000;

-- How far the stream has come in `people`, and how far what it wrote there must be read.
ALTER TABLE progress ADD COLUMN IF NOT EXISTS people_next_offset Int64 DEFAULT 0;
ALTER TABLE progress ADD COLUMN IF NOT EXISTS people_sent Map(String, Int64);
