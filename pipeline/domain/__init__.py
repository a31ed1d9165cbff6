"""The rules about visitors: sessions, channels, touches, goals, attribution, watermark.

Pure: facts and a time in, facts out; no I/O, no clock, no randomness.

`apply` numbers the steps of an event. It is compared with the ids already seen (`sessions.event_ids`), classified
(`channels`, `touches`, `conversions.goals`), folded into its person's `state` (`sessions.segments`), and what that
changed comes out as `rows` (`sessions.publishing`, `conversions.restatement`, `attribution`). An anonymous person's
journey becomes a user's in `identity.stitching`.
"""
