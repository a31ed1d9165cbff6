"""Derived facts: the rows the stream and the gateway write and the loader inserts as they are.

Each struct's fields are the columns of the ClickHouse table of the same name. All tables are
`ReplacingMergeTree(revision, is_deleted)` on the row's deterministic id: a row with a greater revision replaces the
one before it, and one with `is_deleted` takes it back (a session that joined another, say).

Money is in the smallest unit of its currency (`_minor`), credit in billionths (`_nanos`): integers add up exactly.
Times are milliseconds since the epoch, UTC.
"""

from datetime import date
from enum import StrEnum
from operator import attrgetter
from typing import Final

import msgspec

NANOS_PER_CONVERSION: Final = 1_000_000_000


class TouchType(StrEnum):
    """Type of a touch: how a person met a channel. `visit` is an unpaid arrival (organic, referral, e-mail, direct)."""

    CLICK = "click"
    IMPRESSION = "impression"
    VIEW = "view"
    VISIT = "visit"


class Model(StrEnum):
    """The attribution models."""

    LAST_CLICK = "last_click"
    FIRST_CLICK = "first_click"
    LINEAR = "linear"
    TIME_DECAY = "time_decay"
    POSITION_BASED = "position_based"
    LAST_NON_DIRECT = "last_non_direct"
    """The last touch of any type that is not direct; direct only where there is nothing else."""


class Reason(StrEnum):
    """Reasons why an attribution was written."""

    INITIAL = "initial"
    LATE_TOUCH = "late_touch"
    """A late event changed the path, or which events of the goal count."""
    MERGE = "merge"
    """Two journeys turned out to be one person's."""
    REFUND = "refund"
    """Value was taken back; who gets the credit did not change by it."""
    CONFIG = "config"
    """Restated by a late event under another configuration than before: the difference may come from either."""


class SessionRow(msgspec.Struct, gc=False):
    """A session. It is written when it opens, at most about once a second while it changes, and when it closes."""

    app_id: str
    session_id: str
    person_key: str
    user_id: str
    anonymous_id: str
    start_ms: int
    end_ms: int
    events: int
    page_views: int
    entry_page: str
    exit_page: str
    channel: str
    source: str
    medium: str
    campaign: str
    conversions: int
    values_minor: dict[str, int]
    """Conversion value per currency code, before refunds: a session is history, its orders may yet be returned."""
    is_bounce: bool
    is_closed: bool
    revision: int
    is_deleted: bool = False
    is_bot: bool = False
    """True if all of its events are a bot's."""


class TouchHead(msgspec.Struct, gc=False):
    """A touch as a path shows it. `touch_id`: the event it was made from; empty: the touch of an empty path."""

    touch_id: str
    touched_at_ms: int
    touch_type: str
    channel: str
    source: str
    medium: str
    campaign: str


class TouchRow(TouchHead, gc=False):
    """A marketing contact."""

    app_id: str
    person_key: str
    session_id: str
    revision: int
    is_deleted: bool = False
    is_bot: bool = False


class ConversionHead(msgspec.Struct, gc=False):
    """A conversion without its path."""

    conversion_id: str
    goal: str
    goal_type: str
    event_id: str
    person_key: str
    user_id: str
    anonymous_id: str
    session_id: str
    converted_at_ms: int
    value_minor: int
    """Value as reported with the event; `refunded_minor` of it was taken back since."""
    currency: str
    order_id: str


class ConversionRow(ConversionHead, gc=False):
    """An event that met a goal. `path_*` are parallel arrays (`path_of`): the touches inside their windows, oldest
    first.
    """

    app_id: str
    path_touch_ids: list[str]
    path_touched_at_ms: list[int]
    path_touch_types: list[str]
    path_channels: list[str]
    path_sources: list[str]
    path_mediums: list[str]
    path_campaigns: list[str]
    revision: int
    is_deleted: bool = False
    goal_version: int = 1
    """The version of the goal it was counted under."""
    refunded_minor: int = 0
    """Never more than `value_minor`."""
    refund_excess_minor: int = 0
    """Amount that refunds of the order asked for beyond the value there was to take back."""
    reason: str = ""
    """Reason why this row was written: a `Reason`, `initial` in the first row of a conversion and in no later one;
    empty: only its session got another id.
    """
    value_issue: str = ""
    """Reason why the value is not known (`schemas.amounts.ValueIssue`); `value_minor` is 0 then, and adds nothing to
    sums. Empty: it is known, or none was named.
    """
    is_bot: bool = False


class AttributionRow(msgspec.Struct, gc=False):
    """Credit for one conversion, under every model at once.

    One row per conversion, not one per credit: a restatement replaces all of it in one step, so no reader ever adds
    old credits to new ones. `credits_nanos[model][i]` and `values_minor[model][i]` belong to touch i of the parallel
    arrays (`path_of`); each model's credits sum to 1,000,000,000 and its values to `value_minor`. An empty path stands
    as one touch of channel `direct` with an empty touch id. `value_minor` is net: what is left after refunds.
    """

    app_id: str
    conversion_id: str
    goal: str
    person_key: str
    converted_at_ms: int
    value_minor: int
    currency: str
    touch_ids: list[str]
    touched_at_ms: list[int]
    touch_types: list[str]
    channels: list[str]
    sources: list[str]
    mediums: list[str]
    campaigns: list[str]
    credits_nanos: dict[str, list[int]]
    values_minor: dict[str, list[int]]
    reason: str
    """A `Reason`."""
    revision: int
    """1 for the first attribution of the conversion, then n+1."""
    is_deleted: bool = False
    """The event does not count after all: an earlier one of its session or person came in late."""
    supersedes: int = 0
    """The revision this one replaces; 0: it is the first."""
    config_version: int = 1
    """The version of the app's attribution settings it was computed under."""
    refunded_minor: int = 0
    value_issue: str = ""
    """See `ConversionRow`."""
    is_bot: bool = False
    """See `ConversionRow`."""


PATH_COLUMNS: Final = {
    "touch_id": "touch_ids",
    "touched_at_ms": "touched_at_ms",
    "touch_type": "touch_types",
    "channel": "channels",
    "source": "sources",
    "medium": "mediums",
    "campaign": "campaigns",
}
"""Field of `TouchHead` → the column of `AttributionRow` that has it for each touch of a path. `ConversionRow` has the
same columns, with `path_` before their names.
"""
CONVERSION_PATH_COLUMNS: Final = tuple(f"path_{column}" for column in PATH_COLUMNS.values())
_read_credited = attrgetter(*PATH_COLUMNS.values())
_read_path = attrgetter(*CONVERSION_PATH_COLUMNS)


def path_of(row: ConversionRow | AttributionRow) -> list[TouchHead]:
    columns = _read_path(row) if isinstance(row, ConversionRow) else _read_credited(row)
    return [TouchHead(*touch) for touch in zip(*columns, strict=True)]


class EventMarkRow(msgspec.Struct, gc=False):
    """Mark of the stream about a single accepted event, with the event's place in the `events` topic.

    `duplicate`: its id was accepted before, within 7 days (`first_timestamp_ms` is the time the kept one carries). If
    that was found only when two journeys became one person's, its place is `NO_PLACE`, its `index` names the person,
    its receipt is to the millisecond, and where its id is not known any more, `HASHED_ID` and a hash stand for it.
    `late`: older than the allowed lateness, so stored but not counted into sessions or credits.
    """

    app_id: str
    event_id: str
    mark: str
    timestamp_ms: int
    first_timestamp_ms: int
    received_us: int
    partition: int
    offset: int
    index: int
    person_key: str = ""
    """The event's person; given where the place is not."""


NO_PLACE: Final = -1
HASHED_ID: Final = "#"
"""No id of an event begins with it."""


class RejectedRow(msgspec.Struct, gc=False):
    """Something that was refused: an event by the gateway, or a message (or line of one) by the stream."""

    app_id: str
    reject_id: str
    rejected_at_ms: int
    stage: str
    """`gateway`, `stream` or `loader`."""
    code: str
    field: str
    reason: str
    payload: str
    """The payload, as `kept_text` keeps it."""
    key_id: str = ""


class ProgressRow(msgspec.Struct, gc=False):
    """Progress of one partition of `events`: how far it has been processed, and where the results of that stand."""

    partition: int
    next_offset: int
    """The first offset of `events` not yet processed."""
    watermark_ms: int
    pending_sessions: int
    """Changed sessions not written yet, and messages of `people` that wait for their turn; at 0 the derived topics hold
    everything up to `next_offset`."""
    derived_offsets: dict[str, int]
    """Per derived topic: the first offset after the results."""
    reported_at_ms: int
    people_next_offset: int = 0
    """The first offset of `people` not yet processed."""
    people_sent: dict[str, int] = {}
    """Per partition of `people`: the first offset after what this partition wrote there."""


class PersonLinkRow(msgspec.Struct, gc=False):
    """An anonymous id and a user it was seen with. Its owner is the first; the journey moves to no other."""

    app_id: str
    anonymous_id: str
    user_id: str
    linked_at_ms: int
    """Time of the first event with both ids, in the order of acceptance."""
    event_id: str
    """Id of that event."""
    is_owner: bool
    revision: int = 1
    is_deleted: bool = False


class CostRow(msgspec.Struct, gc=False):
    """Cost of a channel and campaign at a source on a day, in a currency. Imported again, it is replaced."""

    app_id: str
    date: date
    channel: str
    campaign: str
    cost_minor: int
    currency: str
    imported_at_ms: int
    revision: int
    """The time of the import, so the last one stands."""
    source: str = ""
    """The platform the file is of: another one's costs are other rows."""
    is_marker: bool = False
    """No cost: earlier imports of this day and source no longer stand."""
    is_deleted: bool = False


class GatewayCountRow(msgspec.Struct, gc=False):
    """Counts of one gateway process's answers to one app in one minute, by the time of receipt; written about once a
    second while it changes. The counts only grow, so the row of the greatest `sequence` stands. What a gateway that is
    killed had not written yet is missing: these counts are what was *at least* acknowledged.
    """

    app_id: str
    gateway_id: str
    """Another one with every start of a gateway."""
    minute_ms: int
    """Beginning of the minute."""
    sequence: int
    accepted: int = 0
    """Events acknowledged to their sender: answered 2xx as accepted."""
    duplicates: int = 0
    """Events recognised as repeats within their own request, and so never published."""
    rejected: int = 0
    """Events refused, whether or not their refusal could be written down."""
    requests: int = 0
    """Requests of any kind, reads included."""
    failed: int = 0
    """Requests answered with 5xx."""
    latency_counts: list[int] = []
    """Requests by the time their answer took: at most `LATENCY_BOUNDS_MS[i]`, and above the last of them."""


LATENCY_BOUNDS_MS: Final = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)


class AlertWindowRow(msgspec.Struct, gc=False):
    """Value of a rule's metric in one window, once and for all: of two rows of a window the first one stands."""

    app_id: str
    rule_id: str
    window_start_ms: int
    window_end_ms: int
    value: float | None
    """None: nothing happened that the metric could be told of (a rate of no events)."""
    evaluated_at_us: int


class AlertState(StrEnum):
    BEGAN = "began"
    ENDED = "ended"


class AlertRow(msgspec.Struct, gc=False):
    """A rule began to hold in a window, or stopped: one row each, sent to receivers as `threshold.alert`.

    Everything in it follows from the rule and its `AlertWindowRow`s, its id too: written twice it is the same twice.
    """

    app_id: str
    alert_id: str
    rule_id: str
    rule_name: str
    metric: str
    """A `schemas.control.AlertMetric`."""
    subject: str
    """The event name or goal the rule is about; empty: all."""
    comparison: str
    """A `schemas.control.Comparison`."""
    threshold: float
    """Number the value was compared with, in `unit`; from the rule, or from the average and the rule's percentage."""
    value: float
    average: float | None
    """Average of the trailing windows, where the rule compares with it."""
    unit: str
    """`events`, `conversions`, a currency code, `%` or `ms`."""
    state: str
    """An `AlertState`."""
    window_start_ms: int
    window_end_ms: int
    """Event time at which it began or stopped holding."""
    began_at_ms: int
    """`window_end_ms` of the row that began it; the same where it is this one."""
    fired_at_ms: int
    """Time when that was found out, by the wall clock."""
    revision: int = 1
    is_deleted: bool = False


encode_row = msgspec.json.Encoder().encode
"""A row as one JSON object, without the newline."""

encode_rows = msgspec.json.Encoder().encode_lines
"""Rows as NDJSON, a newline after each."""
