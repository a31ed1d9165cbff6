"""The shapes of the answers' `data`, for the functions that build them and for the OpenAPI document.

Times are RFC 3339 in UTC; the periods of a report carry the offset of their zone. Money is a number in whole units of
its currency, credit a number of conversions. A field without a value is null.
"""

from decimal import Decimal
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from pipeline.domain.attribution import SHARE_REASONS

Number: TypeAlias = Annotated[Decimal, WithJsonSchema({"type": "number"})]
JsonObject: TypeAlias = Annotated[Any, WithJsonSchema({"type": "object", "additionalProperties": True})]
Text: TypeAlias = str | None
Refunded: TypeAlias = Annotated[Number, Field(description="Taken back by refunds; `value` is without it.")]
ValueIssueText: TypeAlias = Annotated[
    str | None,
    Field(
        description="Why the value is not known, though one is given: unreadable_currency, unreadable_value (the "
        "amount cannot be read) or negative_value. Such a conversion counts, and adds nothing to sums of value. Null: "
        "the value is known, or none was given and it is 0."
    ),
]
NextCursor: TypeAlias = Annotated[
    str | None, Field(description="Pass it as `cursor` for the next page; null: this is the last.")
]
CompleteThrough: TypeAlias = Annotated[
    str | None,
    Field(
        description="Every event accepted with a time before this has been processed and can be read; later ones may "
        "still be on their way. Null: not known yet."
    ),
]


RangeEnd: TypeAlias = Annotated[
    str | None, Field(description="As it was understood, in `timezone`: `from` inclusive, `to` exclusive. Null: open.")
]
Meta = TypedDict("Meta", {"complete_through": CompleteThrough, "timezone": str, "from": RangeEnd, "to": RangeEnd})


class ReportMeta(Meta):
    goals: Annotated[
        list[str],
        Field(
            description="Conversions of these goals are counted: those asked for, else all goals but micro goals (one "
            "that the app has no more is named where the range has conversions of it). `by_goal` has the others."
        ),
    ]
    currency: Annotated[str, Field(description="Conversions and costs in this currency only are counted.")]
    other_currencies: Annotated[
        list[str], Field(description="Of conversions and costs that are left out; ask for them with `currency`.")
    ]


class GoalTotals(TypedDict):
    goal: str
    currency: str
    conversions: int
    value: Number
    refunded: Refunded
    is_counted: Annotated[
        bool,
        Field(
            description="In the other numbers of the report: of `meta.goals`, in `meta.currency`. Else it is in none."
        ),
    ]


ByGoal: TypeAlias = Annotated[
    list[GoalTotals],
    Field(
        description="All conversions of the range (of the goals asked for), for each goal and currency: those that are "
        "counted, and those that are left out."
    ),
]


class Page(TypedDict):
    url: Text
    title: Text
    referrer: Text


class Campaign(TypedDict):
    source: Text
    medium: Text
    name: Text
    term: Text
    content: Text


class Context(TypedDict):
    page: Page
    campaign: Campaign
    ip: Text
    user_agent: Text
    locale: Text


class Event(TypedDict):
    event_id: str
    event_name: str
    timestamp: Annotated[str, Field(description="Event time, corrected for clock skew if `sent_at` was given.")]
    original_timestamp: Annotated[Text, Field(description="As the caller gave it, where correction changed it.")]
    received_at: str
    user_id: Text
    anonymous_id: Text
    properties: JsonObject
    context: Context
    is_bot: bool
    key_id: Annotated[
        Text, Field(description="Key it was reported with; `app_id`: none, a page reported with the app's id.")
    ]


class EventList(TypedDict):
    items: list[Event]
    next_cursor: NextCursor
    meta: Meta


class RejectedEvent(TypedDict):
    reject_id: str
    rejected_at: Annotated[str, Field(description="When it was received.")]
    stage: Annotated[
        str, Field(description="`gateway`; `stream` or `loader` for what was accepted and could not be processed.")
    ]
    code: str
    field: Annotated[Text, Field(description="Its path, `events[3].user_id` say. Null: the whole of it.")]
    reason: Annotated[str, Field(description="In English.")]
    payload: Annotated[
        str,
        Field(
            description="What came: all of it up to 32 KB; of more, or of bytes that are no UTF-8 (they are replaced), "
            "the first 4 KB. Empty: nothing was kept."
        ),
    ]
    is_cut: Annotated[bool, Field(description="The end of the payload is missing, so it cannot be sent again.")]
    key_id: Text


class RejectedList(TypedDict):
    items: list[RejectedEvent]
    next_cursor: NextCursor
    meta: Meta


class Session(TypedDict):
    session_id: str
    start: str
    end: str
    duration_seconds: Number
    events: int
    page_views: int
    entry_page: Text
    exit_page: Text
    channel: Text
    source: Text
    medium: Text
    campaign: Text
    conversions: int
    values: Annotated[dict[str, Number], Field(description="Conversion value by currency, before refunds.")]
    is_bounce: bool
    is_closed: bool


class Step(TypedDict):
    step: Annotated[str, Field(description="accepted, stored, sessionised, converted, attributed, delivered")]
    is_reached: bool
    at: Annotated[
        Text,
        Field(
            description="accepted: when it was received. Else when the row that says so could be read; a session is "
            "written again with every change. Null: not reached, or not known."
        ),
    ]


class EventConversion(TypedDict):
    conversion_id: str
    goal: str
    value_issue: ValueIssueText
    is_attributed: bool
    converted_at: Annotated[Text, Field(description="When the conversion, as it stands, could be read.")]
    attributed_at: Annotated[Text, Field(description="When its first attribution could be read.")]
    restated_at: Annotated[Text, Field(description="When its newest one could, if that is not the first.")]
    revision: Annotated[int | None, Field(description="Of the newest attribution.")]
    delivered_at: Annotated[Text, Field(description="When a webhook's receiver first acknowledged it.")]


_LATE: Final = (
    "It fell before what was already final for its person (older than the allowed lateness, with later events of "
    "theirs before it): stored, but in no session, no conversion and no credit."
)


class OrderPart(TypedDict):
    conversion_id: str
    goal: str
    converted_at: str
    value: Annotated[Number | None, Field(description="What is left after refunds. Null: not known.")]
    value_issue: ValueIssueText
    refunded: Refunded
    currency: Text


class RefundOutcome(TypedDict):
    order_id: Text
    state: Annotated[
        str,
        Field(
            description="applied: value was taken back of conversions of the order. pending: it is about to be. "
            "waiting: no conversion of the order is known; it is applied when one comes, within the app's history "
            "limit. no_effect: the order is known, and nothing of it can be taken (another currency, no known value, "
            "an amount that cannot be read, all of it later than the refund, or older than the app's history limit). "
            "no_order: the refund names none."
        ),
    ]
    conversions: Annotated[
        list[OrderPart], Field(description="Of the order, as they stand, newest first; at most 100.")
    ]


class EventStatus(TypedDict):
    current: str
    steps: list[Step]
    conversions: list[EventConversion]
    is_late: Annotated[bool, Field(description=_LATE)]
    repeats: Annotated[int, Field(description="How often its id was accepted again, within 7 days; counted once.")]
    refund: Annotated[RefundOutcome | None, Field(description="What became of it. Null: the event is no refund.")]


class EventDetail(TypedDict):
    event: Event
    session: Session | None
    status: EventStatus
    meta: Meta


class Conversion(TypedDict):
    conversion_id: str
    goal: str
    goal_type: str
    goal_version: Annotated[int, Field(description="The version of the goal it was counted under.")]
    event_id: str
    converted_at: str
    user_id: Text
    anonymous_id: Text
    session_id: Text
    order_id: Text
    value: Annotated[
        Number | None, Field(description="What is left after refunds. Null: not known, see `value_issue`.")
    ]
    value_issue: ValueIssueText
    refunded: Refunded
    currency: Text
    path_length: Annotated[int, Field(description="Touches inside their windows.")]
    first_channel: str
    last_channel: str
    is_bot: Annotated[bool, Field(description="Its event is a bot's.")]


class ConversionList(TypedDict):
    items: list[Conversion]
    next_cursor: NextCursor
    meta: Meta


class Credit(TypedDict):
    credited_conversions: Number
    credited_value: Number


class AttributionItem(TypedDict):
    key: Annotated[Text, Field(description="The dimension's value; null: the touch has none.")]
    models: dict[str, Credit]


class AttributionTotals(TypedDict):
    conversions: int
    value: Number
    refunded: Refunded
    models: dict[str, Credit]


class AttributionReport(TypedDict):
    dimension: str
    items: list[AttributionItem]
    totals: AttributionTotals
    by_goal: ByGoal
    meta: ReportMeta


class TouchCredit(TypedDict):
    credit: Annotated[Number, Field(description="The touch's share of the conversion; a model's shares sum to 1.")]
    value: Number


class TouchShare(TouchCredit):
    because: Annotated[
        str,
        Field(
            description="Why this share under this model. "
            + " ".join(f"{word}: {meaning}." for word, meaning in SHARE_REASONS.items())
        ),
    ]


class PathTouch(TypedDict):
    touch_id: Text
    session_id: Text
    touched_at: str
    touch_type: Text
    channel: Text
    source: Text
    medium: Text
    campaign: Text
    age_seconds: Annotated[Number, Field(description="At the conversion.")]
    window_seconds: Annotated[
        int | None, Field(description="How old a touch of its type may be to count. Null: its type has no window.")
    ]
    is_kept: bool
    left_out_because: Annotated[
        Text,
        Field(
            description="outside_window: older than the window of its type. A path holds 100 touches; beyond that go "
            "repeated_direct: direct visits after another one, then repeated_contact: touches of a type, channel and "
            "campaign that are there already, then too_many: other touches, clicks last; always the oldest, but never "
            "the first touch and the first click. same_contact: another touch of its channel and campaign in the same "
            "session stands for it. not_counted: not in the path for another reason."
        ),
    ]
    models: Annotated[
        dict[str, TouchShare], Field(description="By model. Empty: left out, under every model for the same reason.")
    ]


class SettingsUsed(TypedDict):
    window_days: Annotated[dict[str, int], Field(description="By touch type.")]
    half_life_days: Annotated[float, Field(description="Of time_decay.")]
    position_weights: Annotated[list[float], Field(description="Of position_based: first, middle, last.")]
    direct_touch: str
    session_gap_seconds: int


class AttributionRevision(TypedDict):
    revision: int
    supersedes: int | None
    reason: str
    config_version: int
    value: Annotated[Number, Field(description="What was left after refunds, and was credited.")]
    refunded: Refunded
    touch_ids: Annotated[list[str], Field(description="The touches kept, oldest first.")]
    is_taken_back: Annotated[bool, Field(description="The event does not count after all, and nobody gets credit.")]
    at: Annotated[Text, Field(description="When it could first be read. Null: not known.")]


class AttributionPath(TypedDict):
    conversion: Conversion
    revision: Annotated[int | None, Field(description="1, then one more each time it is restated; null: not yet.")]
    reason: Annotated[Text, Field(description="initial, or why it was restated: late_touch, merge, refund or config.")]
    supersedes: Annotated[int | None, Field(description="The revision it replaces; null: it is the first.")]
    config_version: Annotated[int | None, Field(description="The version of the app's attribution settings used.")]
    settings: Annotated[SettingsUsed, Field(description="What that version of the settings says.")]
    touches: Annotated[
        list[PathTouch],
        Field(description="Every touch of the person up to the conversion, the newest 1,000, oldest first."),
    ]
    totals: Annotated[dict[str, TouchCredit], Field(description="Sums by model: 1 and the conversion's value.")]
    revisions: Annotated[list[AttributionRevision], Field(description="All there were, oldest first.")]
    meta: Meta


class Cost(TypedDict):
    date: Annotated[str, Field(description="A calendar day; it belongs to no time zone.")]
    channel: str
    campaign: Text
    source: Annotated[Text, Field(description="The platform the cost is of.")]
    cost: Number
    currency: str


class CostList(TypedDict):
    items: list[Cost]
    next_cursor: NextCursor
    meta: Meta


class User(TypedDict):
    id: Annotated[str, Field(description="What `/users/{id}` finds it by.")]
    user_id: Text
    linked_ids: Annotated[list[str], Field(description="Anonymous ids seen with this user (at most 100).")]
    first_seen: str
    last_seen: str
    sessions: int
    events: int
    page_views: int
    conversions: Annotated[int, Field(description="Of every goal, micro goals too.")]
    values: Annotated[dict[str, Number], Field(description="Conversion value by currency, after refunds.")]
    first_channel: Text
    last_channel: Text
    is_bot: Annotated[bool, Field(description="All of the sessions are a bot's.")]


class UserList(TypedDict):
    items: list[User]
    next_cursor: NextCursor
    meta: Meta


class UserDetail(TypedDict):
    user: User
    meta: Meta
