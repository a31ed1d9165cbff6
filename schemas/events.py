"""The event as the gateway accepts it and as it stands, one JSON line each, in the `events` topic.

A Kafka message is *packed*: its value is NDJSON, many events of one partition. The field names are also
the column names of the ClickHouse table `events`, so a loader can insert the bytes as they are.

`AcceptedEvent` is what the gateway writes, `StreamEvent` the part of it the stream decodes: fields a struct
does not name are skipped by the decoder without building Python objects, which is most of the stream's speed.
"""

import re
from typing import Final

import msgspec

EVENT_NAME_PATTERN: Final = re.compile(r"^[a-z][a-z0-9_]{0,63}\Z")
EVENT_ID_PATTERN: Final = re.compile(r"^[A-Za-z0-9_.:-]{1,64}\Z")
MAX_EVENT_BYTES: Final = 32 * 1024
MAX_BATCH_BYTES: Final = 5 * 1024 * 1024
MAX_BATCH_EVENTS: Final = 1_000
MAX_PROPERTY_DEPTH: Final = 8
MAX_ID_CHARACTERS: Final = 200
MAX_FUTURE_SECONDS: Final = 24 * 3600
DUPLICATE_WINDOW_DAYS: Final = 7

EMPTY_OBJECT: Final = msgspec.Raw(b"{}")


class AcceptedEvent(msgspec.Struct, gc=False, omit_defaults=True):
    """One validated event. Times are UTC: `_ms` milliseconds and `_us` microseconds since the epoch."""

    app_id: str
    event_id: str
    event_name: str
    timestamp_ms: int
    """Event time, corrected for clock skew when `sent_at` was given."""
    received_us: int
    user_id: str = ""
    anonymous_id: str = ""
    properties: msgspec.Raw = EMPTY_OBJECT
    """The caller's object, byte for byte (whitespace aside)."""
    page_url: str = ""
    """`context.page.url`, else `properties.page_url`."""
    page_title: str = ""
    referrer: str = ""
    """`context.page.referrer`, else `properties.referrer`."""
    campaign_source: str = ""
    campaign_medium: str = ""
    campaign_name: str = ""
    campaign_term: str = ""
    campaign_content: str = ""
    ip: str = ""
    user_agent: str = ""
    locale: str = ""
    original_timestamp_ms: int = 0
    """The caller's own `timestamp` where correction changed it, else 0."""
    is_bot: bool = False
    key_id: str = ""


class StreamEvent(msgspec.Struct, gc=False):
    """Fields of an accepted event that the stream reads."""

    app_id: str
    event_id: str
    event_name: str
    timestamp_ms: int
    received_us: int
    user_id: str = ""
    anonymous_id: str = ""
    properties: msgspec.Raw = EMPTY_OBJECT
    page_url: str = ""
    referrer: str = ""
    campaign_source: str = ""
    campaign_medium: str = ""
    campaign_name: str = ""
    is_bot: bool = False


def person_key(user_id: str, anonymous_id: str, event_id: str) -> str:
    """Return the key of the person an event belongs to, inside its app.

    `u:` + user id, else `a:` + anonymous id, else `e:` + event id: an event without a person stands alone, and
    its key serves only to recognise a repeat of it.
    """
    if user_id:
        return "u:" + user_id
    if anonymous_id:
        return "a:" + anonymous_id
    return "e:" + event_id


encode_event = msgspec.json.Encoder().encode
decode_stream_events = msgspec.json.Decoder(StreamEvent).decode_lines
decode_stream_event = msgspec.json.Decoder(StreamEvent).decode
