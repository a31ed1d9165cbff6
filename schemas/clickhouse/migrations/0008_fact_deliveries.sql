-- Whether a conversion has been told to somebody is asked for each event that is looked at.
ALTER TABLE webhook_attempts ADD INDEX IF NOT EXISTS by_fact_id fact_id TYPE bloom_filter(0.01) GRANULARITY 1;
