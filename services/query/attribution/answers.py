"""Answers of `/attribution`: the report, and one conversion touch by touch. Pure."""

from typing import Annotated, Final

from pydantic import Field
from typing_extensions import TypedDict

from pipeline.domain.attribution.models import SHARE_REASONS
from services.query.aggregates.answers import REPORT_META, ByGoal, Credit, ReportMeta, example_by_goal, example_credit
from services.query.conversions.answers import EXAMPLE_LIST, Conversion
from services.query.core.answers import META, Meta, Number, Refunded, Text
from services.query.touches.answers import EXAMPLE_TOUCH


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


_REVISION: Final = {
    "revision": 1,
    "supersedes": None,
    "reason": "initial",
    "config_version": 1,
    "value": 199.0,
    "refunded": 0.0,
    "touch_ids": ["evt_01hm5rxqe0x5jw3kq8n4v2t6yz"],
    "is_taken_back": False,
    "at": "2024-01-15T18:30:01.490+08:00",
}
_TOUCH: Final = {
    **EXAMPLE_TOUCH,
    "age_seconds": 600,
    "window_seconds": 2592000,
    "is_kept": True,
    "left_out_because": None,
    "models": {"linear": {"credit": 1, "value": 199.0, "because": "equal"}},
}
_LEFT_OUT: Final = {
    **_TOUCH,
    "touch_id": "evt_01hm2pdkz6v4s8q7x3j9n5b1tc",
    "session_id": "ses_7d1e4b8c2f6a9d3e5c7b1a2f",
    "touched_at": "2023-12-01T16:00:00.000+08:00",
    "age_seconds": 3897000,
    "is_kept": False,
    "left_out_because": "outside_window",
    "models": {},
}
EXAMPLE_PATH: Final = {
    "conversion": EXAMPLE_LIST["items"][0],
    "revision": 1,
    "reason": "initial",
    "supersedes": None,
    "config_version": 1,
    "settings": {
        "window_days": {"click": 30, "impression": 1, "view": 3, "visit": 30},
        "half_life_days": 7.0,
        "position_weights": [0.4, 0.2, 0.4],
        "direct_touch": "include",
        "session_gap_seconds": 1800,
    },
    "touches": [_LEFT_OUT, _TOUCH],
    "totals": {"linear": {"credit": 1, "value": 199.0}},
    "revisions": [_REVISION],
    "meta": META,
}
EXAMPLE: Final = {
    "dimension": "channel",
    "items": [
        {
            "key": "paid_search",
            "models": {"last_click": example_credit(0, 0), "position_based": example_credit(0.4, 79.6)},
        },
        {
            "key": "paid_social",
            "models": {"last_click": example_credit(1, 199), "position_based": example_credit(0.2, 39.8)},
        },
        {"key": "direct", "models": {"last_click": example_credit(0, 0), "position_based": example_credit(0.4, 79.6)}},
    ],
    "totals": {
        "conversions": 1,
        "value": 199.0,
        "refunded": 0.0,
        "models": {"last_click": example_credit(1, 199), "position_based": example_credit(1, 199)},
    },
    "by_goal": example_by_goal(1, 199.0),
    "meta": REPORT_META,
}
