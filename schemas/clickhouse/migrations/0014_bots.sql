-- Whether a bot did what a row tells of: a touch, a conversion and its attribution by the mark of their event, a session
-- if all of its events are marked. Rows of before this migration say no.
ALTER TABLE sessions ADD COLUMN IF NOT EXISTS is_bot Bool DEFAULT false;
ALTER TABLE sessions_by_person ADD COLUMN IF NOT EXISTS is_bot Bool DEFAULT false;
ALTER TABLE narrow_sessions ADD COLUMN IF NOT EXISTS is_bot Bool DEFAULT false;
ALTER TABLE touches ADD COLUMN IF NOT EXISTS is_bot Bool DEFAULT false;
ALTER TABLE narrow_touches ADD COLUMN IF NOT EXISTS is_bot Bool DEFAULT false;
ALTER TABLE conversions ADD COLUMN IF NOT EXISTS is_bot Bool DEFAULT false;
ALTER TABLE attributions ADD COLUMN IF NOT EXISTS is_bot Bool DEFAULT false;

ALTER TABLE sessions_to_persons MODIFY QUERY
SELECT app_id, person_key, start_ms, session_id, anonymous_id, end_ms, events, page_views, channel, conversions,
    values_minor, revision, is_deleted, is_bot
FROM sessions;

ALTER TABLE sessions_to_narrow MODIFY QUERY
SELECT app_id, start_ms, end_ms, sipHash64(session_id) AS session_hash, sipHash64(person_key) AS person_hash, channel,
    source, medium, campaign, conversions, revision, is_deleted, is_bot
FROM sessions;

ALTER TABLE touches_to_narrow MODIFY QUERY
SELECT app_id, touched_at_ms, sipHash64(touch_id) AS touch_hash, touch_type, channel, source, medium, campaign,
    revision, is_deleted, is_bot
FROM touches;
