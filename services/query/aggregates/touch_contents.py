"""Contents of touches (which ad of a campaign it was), read from the events that touches were made from. Pure.

A touch's id is its event's, and the content is the event's own field, else `utm_content` in the page's address. So
touches of every age have it, and nothing is stored twice.
"""

from typing import Final

from pipeline.control.rules import MAX_WINDOW_DAYS
from services.query.core.sql import Condition, Table, source
from services.query.core.times import TimeRange

_LONGEST_WINDOW_MS: Final = MAX_WINDOW_DAYS * 86_400_000
"""A touch that is credited is no older than the longest window that an app may have."""
_CONTENT: Final = (
    "if(campaign_content != '', campaign_content, decodeURLFormComponent(extractURLParameter(page_url, 'utm_content')))"
)
_HAS_CONTENT: Final = Condition("(campaign_content != '' OR position(page_url, 'utm_content=') > 0)")


def content_conditions(read: TimeRange) -> list[Condition]:
    """Return the conditions of the events; a statement that uses `by_content` binds their parameters, and has `to_ms`
    of `within` bound already."""
    found = [_HAS_CONTENT]
    if read.from_ms is not None:
        earliest = {"earliest_touch_ms": read.from_ms - _LONGEST_WINDOW_MS}
        found.append(Condition("timestamp_ms >= {earliest_touch_ms:Int64}", earliest))
    if read.to_ms is not None:
        found.append(Condition("timestamp_ms < {to_ms:Int64}"))
    return found


def has_content(read: TimeRange, content: str) -> Condition:
    """Hold for a `touch_id` with that content, or with none where it is empty. A statement that uses it has `to_ms` of
    `within` bound already."""
    found = content_conditions(read)
    is_it = Condition(f"{_CONTENT} = {{touch_content:String}}" if content else f"{_CONTENT} != ''")
    events = source(Table.EVENTS, [*found, is_it])
    bound = {name: value for one in found for name, value in one.parameters.items()} | {"touch_content": content}
    return Condition(f"touch_id {'' if content else 'NOT '}IN (SELECT event_id FROM {events})", bound)


def by_content(rows: str, read: TimeRange) -> str:
    """Select `rows`, a select whose `key` is the hash of a touch's id, with the touch's content as `key`."""
    events = source(Table.EVENTS, content_conditions(read))
    return f"""SELECT touched.* EXCEPT (key), content AS key FROM ({rows}) AS touched
LEFT ANY JOIN (SELECT sipHash64(event_id) AS touch_hash, {_CONTENT} AS content FROM {events}) AS tagged
ON touched.key = tagged.touch_hash"""
