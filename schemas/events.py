"""The event as the gateway accepts it and as it stands, one JSON line each, in the `events` topic.

A Kafka message is *packed*: its value is NDJSON, many events of one partition. The field names are also
the column names of the ClickHouse table `events`, so a loader can insert the bytes as they are.

`AcceptedEvent` declares the fields, each once. What callers send and how it is decoded, the columns that are read, the
answers and files that show them, and the API document follow from `FIELDS`. `StreamEvent` is what the stream decodes:
fields a struct does not name are skipped by the decoder without building Python objects, which is most of its speed.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, get_args

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


@dataclass(frozen=True)
class Shown:
    """A field as callers and readers know it: `path` is where it stands in their events, `context.page.url` say."""

    path: str
    description: str = ""
    is_sent: bool = True
    """False: the gateway finds it out, and callers cannot send it."""
    or_property: str = ""
    """The property that stands for it in events whose context has none."""
    has_rule: bool = False
    """True: what is stored is not simply what was sent; the gateway's checks give the value."""
    is_url: bool = False
    """True: an app may leave out parameters of it (`services.gateway.privacy`)."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """JSON schema of what callers may send; empty: any text."""


@dataclass(frozen=True)
class EventField:
    """A field of `AcceptedEvent` that is shown: its name there and in the table, and its type."""

    name: str
    type: type
    shown: Shown


IN_STREAM: Final = "in stream"
"""Mark of the fields that the stream reads."""
_IP: Final = {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}, {"const": ""}]}
_IP_TEXT: Final = (
    "The visitor's address; the caller's if absent. Stored as the app's settings say: whole, shortened to /24 or /48 "
    "(new apps), or not at all."
)
_AGENT_TEXT: Final = "The visitor's agent; the caller's if absent. Cut at 1,024 characters."
_KEY_TEXT: Final = "Key it was reported with; `app_id`: none, a page reported with the app's id."


class AcceptedEvent(msgspec.Struct, gc=False, omit_defaults=True):
    """One validated event. Times are UTC: `_ms` milliseconds and `_us` microseconds since the epoch."""

    app_id: Annotated[str, IN_STREAM]
    event_id: Annotated[str, IN_STREAM]
    event_name: Annotated[str, IN_STREAM]
    timestamp_ms: Annotated[int, IN_STREAM]
    """Event time, corrected for clock skew when `sent_at` was given."""
    received_us: Annotated[int, IN_STREAM]
    user_id: Annotated[str, IN_STREAM] = ""
    anonymous_id: Annotated[str, IN_STREAM] = ""
    properties: Annotated[msgspec.Raw, IN_STREAM] = EMPTY_OBJECT
    """The caller's object, byte for byte (whitespace aside)."""
    page_url: Annotated[str, Shown("context.page.url", or_property="page_url", is_url=True), IN_STREAM] = ""
    page_title: Annotated[str, Shown("context.page.title", or_property="page_title")] = ""
    referrer: Annotated[str, Shown("context.page.referrer", or_property="referrer", is_url=True), IN_STREAM] = ""
    campaign_source: Annotated[str, Shown("context.campaign.source"), IN_STREAM] = ""
    campaign_medium: Annotated[str, Shown("context.campaign.medium"), IN_STREAM] = ""
    campaign_name: Annotated[str, Shown("context.campaign.name"), IN_STREAM] = ""
    campaign_term: Annotated[str, Shown("context.campaign.term")] = ""
    campaign_content: Annotated[str, Shown("context.campaign.content")] = ""
    ip: Annotated[str, Shown("context.ip", _IP_TEXT, has_rule=True, schema=_IP)] = ""
    user_agent: Annotated[str, Shown("context.user_agent", _AGENT_TEXT, has_rule=True)] = ""
    locale: Annotated[str, Shown("context.locale")] = ""
    original_timestamp_ms: int = 0
    """The caller's own `timestamp` where correction changed it, else 0."""
    is_bot: Annotated[bool, Shown("is_bot", is_sent=False), IN_STREAM] = False
    key_id: Annotated[str, Shown("key_id", _KEY_TEXT, is_sent=False)] = ""


_STRUCT_FIELDS: Final = msgspec.structs.fields(AcceptedEvent)
FIELDS: Final = tuple(
    EventField(one.name, get_args(one.type)[0], mark)
    for one in _STRUCT_FIELDS
    for mark in get_args(one.type)
    if isinstance(mark, Shown)
)
"""The fields that are shown, but for ids, times and properties, which every consumer treats in its own way."""

Tree: TypeAlias = dict[str, Any]
"""Name → a field, or a tree of those in the object of that name."""


def _tree_of(fields: Iterable[EventField]) -> Tree:
    root: Tree = {}
    for one in fields:
        *folders, name = one.shown.path.split(".")
        reduce(lambda tree, folder: tree.setdefault(folder, {}), folders, root)[name] = one
    return root


TREE: Final = _tree_of(FIELDS)
"""The same fields as they lie in an event that is shown: `TREE["context"]["page"]["url"]`."""


def shown(value_of: Callable[[EventField], Any], tree: Tree = TREE) -> dict[str, Any]:
    """Return the fields as they lie in an event that is shown, each with its value."""
    return {key: value_of(one) if isinstance(one, EventField) else shown(value_of, one) for key, one in tree.items()}


if TYPE_CHECKING:
    StreamEvent: TypeAlias = AcceptedEvent
else:
    StreamEvent = msgspec.defstruct(
        "StreamEvent",
        [(one.name, get_args(one.type)[0], one.default) for one in _STRUCT_FIELDS if IN_STREAM in get_args(one.type)],
        module=__name__,
        gc=False,
    )
    """Fields of an accepted event that the stream reads."""


encode_event = msgspec.json.Encoder().encode
decode_stream_events = msgspec.json.Decoder(StreamEvent).decode_lines
decode_stream_event = msgspec.json.Decoder(StreamEvent).decode
