-- A repeat that is found only when two journeys become one person's has no place in the topic: its mark says whose it was.
ALTER TABLE event_marks ADD COLUMN IF NOT EXISTS person_key String CODEC(ZSTD(1));
