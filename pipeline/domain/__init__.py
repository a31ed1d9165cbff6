"""The rules about visitors: sessions, channels, touches, goals, attribution, watermark.

Pure: facts and a time in, facts out; no I/O, no clock, no randomness.

The data's way: an event is compared with the ids already `seen`, classified (`channels`, `touches`, `goals`), folded
into a `segments` aggregate of its person's `state`, and what that changed comes out as rows (`journey`, `publishing`).
An anonymous person's journey becomes a user's in `merging`.
"""
