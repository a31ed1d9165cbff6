"""Reference of the stream's results, computed without it: the domain run in one loop over the messages."""

from collections.abc import Iterable
from typing import Any

import msgspec

from pipeline.domain.apply import apply_event, owes_rows, publish_sessions, write_owed_rows
from pipeline.domain.context import PersonContext
from pipeline.domain.effects import Effects
from pipeline.domain.rules import compile_rules
from pipeline.domain.state import PersonState, new_state
from pipeline.domain.watermark import Watermark
from schemas.control import App
from schemas.events import decode_stream_events
from schemas.facts import AttributionRow, ConversionRow, EventMarkRow, PersonLinkRow, SessionRow, TouchRow
from schemas.persons import person_key
from schemas.topics import Topic

IDS = {
    Topic.SESSIONS: ("app_id", "session_id"),
    Topic.TOUCHES: ("app_id", "touch_id"),
    Topic.CONVERSIONS: ("app_id", "conversion_id"),
    Topic.ATTRIBUTIONS: ("app_id", "conversion_id"),
    Topic.EVENT_MARKS: ("app_id", "event_id", "mark", "partition", "offset", "index"),
    Topic.PERSON_LINKS: ("app_id", "anonymous_id", "user_id"),
}
ROWS: dict[Topic, tuple[str, Any]] = {
    Topic.SESSIONS: ("sessions", SessionRow),
    Topic.TOUCHES: ("touches", TouchRow),
    Topic.CONVERSIONS: ("conversions", ConversionRow),
    Topic.ATTRIBUTIONS: ("attributions", AttributionRow),
    Topic.EVENT_MARKS: ("marks", EventMarkRow),
    Topic.PERSON_LINKS: ("links", PersonLinkRow),
}
"""Topic → the list of `Effects` its rows are in, and their type."""
Folded = dict[Topic, dict[tuple[Any, ...], dict[str, Any]]]


def fold(rows: dict[Topic, Iterable[dict[str, Any]]]) -> Folded:
    """Return the rows a reader of the tables sees: of each id the row of the greatest revision, unless that takes it
    back.
    """
    folded: Folded = {}
    for topic, names in IDS.items():
        newest: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in rows[topic]:
            row_id = tuple(row[name] for name in names)
            if row_id not in newest or row.get("revision", 0) >= newest[row_id].get("revision", 0):
                newest[row_id] = row
        folded[topic] = {row_id: row for row_id, row in newest.items() if not row.get("is_deleted")}
    return folded


def reference(app: App, messages: Iterable[tuple[int, bytes]], out_of_orderness_seconds: float) -> Folded:
    """The folded rows of an undisturbed run over (partition, value), with every session published at the end."""
    rules, effects = compile_rules(app), Effects()
    states: dict[tuple[int, str], PersonState] = {}
    watermarks: dict[int, Watermark] = {}
    offsets: dict[int, int] = {}
    for partition, value in messages:
        watermark = watermarks.setdefault(partition, Watermark(int(out_of_orderness_seconds * 1000)))
        offset = offsets.get(partition, 0)
        offsets[partition] = offset + 1
        for index, event in enumerate(decode_stream_events(value)):
            person = person_key(event.user_id, event.anonymous_id, event.event_id)
            state = states.setdefault((partition, person), new_state())
            watermark.observe(event.timestamp_ms, event.received_us // 1000)
            apply_event(
                PersonContext(
                    state, event.app_id, person, rules, watermark.value_ms, effects, (partition, offset, index)
                ),
                event,
            )
    for (partition, person), state in states.items():
        while owes_rows(state):
            write_owed_rows(PersonContext(state, app.app_id, person, rules, 0, effects))
        publish_sessions(PersonContext(state, app.app_id, person, rules, watermarks[partition].value_ms, effects))
    return fold(
        {
            Topic.SESSIONS: msgspec.to_builtins(effects.sessions),
            Topic.TOUCHES: msgspec.to_builtins(effects.touches),
            Topic.CONVERSIONS: msgspec.to_builtins(effects.conversions),
            Topic.ATTRIBUTIONS: msgspec.to_builtins(effects.attributions),
            Topic.EVENT_MARKS: msgspec.to_builtins(effects.marks),
            Topic.PERSON_LINKS: msgspec.to_builtins(effects.links),
        }
    )
