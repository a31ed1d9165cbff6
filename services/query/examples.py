"""An example of every answer, for the OpenAPI document. A test holds them against the models."""

from typing import Any, Final

_META: Final = {
    "complete_through": "2024-01-15T18:29:00.000+08:00",
    "timezone": "Asia/Shanghai",
    "from": "2024-01-15T00:00:00.000+08:00",
    "to": None,
}
_REPORT_META: Final = {**_META, "goals": ["purchase", "user_signup"], "currency": "CNY", "other_currencies": ["USD"]}


def _by_goal(conversions: int, value: float) -> list[dict[str, Any]]:
    """That of a report whose totals these are."""
    beside = {"goal": "purchase", "currency": "USD", "conversions": 1, "value": 25.0, "refunded": 0.0}
    counted = {"goal": "purchase", "currency": "CNY", "conversions": conversions, "value": value, "refunded": 0.0}
    return [counted | {"is_counted": True}, beside | {"is_counted": False}]


_NOTHING: Final[dict[str, Any]] = {"source": None, "medium": None, "name": None, "term": None, "content": None}
_EVENT: Final = {
    "event_id": "evt_01hm5rxqe0x5jw3kq8n4v2t6yz",
    "event_name": "purchase",
    "timestamp": "2024-01-15T18:30:00.000+08:00",
    "original_timestamp": None,
    "received_at": "2024-01-15T18:30:01.000+08:00",
    "user_id": "u_42",
    "anonymous_id": "a_7",
    "properties": {"order_id": "O-1001", "revenue": 199.0, "currency": "CNY"},
    "context": {
        "page": {"url": "https://example.com/checkout", "title": "结算", "referrer": None},
        "campaign": _NOTHING,
        "ip": None,
        "user_agent": None,
        "locale": "zh-CN",
    },
    "is_bot": False,
    "key_id": "key_0123456789abcdef",
}
EVENT_LIST: Final = {"items": [_EVENT], "next_cursor": None, "meta": _META}
COST_LIST: Final = {
    "items": [
        {
            "date": "2024-01-15",
            "channel": "paid_search",
            "campaign": "brand",
            "source": "baidu",
            "cost": 100.5,
            "currency": "CNY",
        }
    ],
    "next_cursor": None,
    "meta": _META,
}
REJECTED_LIST: Final = {
    "items": [
        {
            "reject_id": "rej_5d3e4a1b8c7d6e5f0b9c2f6f",
            "rejected_at": "2024-01-15T18:30:01.000+08:00",
            "stage": "gateway",
            "code": "INVALID_EVENT_NAME",
            "field": "events[3].event_name",
            "reason": "The event name is invalid; use snake_case",
            "payload": '{"event_name":"Sign Up","user_id":"u_42"}',
            "is_cut": False,
            "key_id": "key_0123456789abcdef",
        }
    ],
    "next_cursor": None,
    "meta": _META,
}
_SESSION: Final = {
    "session_id": "ses_0b9c2f6f5d3e4a1b8c7d6e5f",
    "start": "2024-01-15T18:20:00.000+08:00",
    "end": "2024-01-15T18:30:00.000+08:00",
    "duration_seconds": 600,
    "events": 6,
    "page_views": 4,
    "entry_page": "https://example.com/",
    "exit_page": "https://example.com/checkout",
    "channel": "paid_search",
    "source": "baidu",
    "medium": "cpc",
    "campaign": "spring",
    "conversions": 1,
    "values": {"CNY": 199.0},
    "is_bounce": False,
    "is_closed": True,
}
_STEPS: Final = [
    {"step": "accepted", "is_reached": True, "at": "2024-01-15T18:30:01.000+08:00"},
    {"step": "stored", "is_reached": True, "at": "2024-01-15T18:30:01.210+08:00"},
    {"step": "sessionised", "is_reached": True, "at": "2024-01-15T18:30:02.050+08:00"},
    {"step": "converted", "is_reached": True, "at": "2024-01-15T18:30:01.480+08:00"},
    {"step": "attributed", "is_reached": True, "at": "2024-01-15T18:30:01.490+08:00"},
    {"step": "delivered", "is_reached": True, "at": "2024-01-15T18:30:01.730+08:00"},
]
EVENT_DETAIL: Final = {
    "event": _EVENT,
    "session": _SESSION,
    "status": {
        "current": "delivered",
        "steps": _STEPS,
        "conversions": [
            {
                "conversion_id": "cnv_4f6a1c0d9b8e7f2a3c5d6e7f",
                "goal": "purchase",
                "value_issue": None,
                "is_attributed": True,
                "converted_at": "2024-01-15T18:30:01.480+08:00",
                "attributed_at": "2024-01-15T18:30:01.490+08:00",
                "restated_at": None,
                "revision": 1,
                "delivered_at": "2024-01-15T18:30:01.730+08:00",
            }
        ],
        "is_late": False,
        "repeats": 0,
        "refund": None,
    },
    "meta": _META,
}
CONVERSION_LIST: Final[dict[str, Any]] = {
    "items": [
        {
            "conversion_id": "cnv_4f6a1c0d9b8e7f2a3c5d6e7f",
            "goal": "purchase",
            "goal_type": "macro",
            "goal_version": 1,
            "event_id": "evt_01hm5rxqe0x5jw3kq8n4v2t6yz",
            "converted_at": "2024-01-15T18:30:00.000+08:00",
            "user_id": "u_42",
            "anonymous_id": "a_7",
            "session_id": "ses_0b9c2f6f5d3e4a1b8c7d6e5f",
            "order_id": "O-1001",
            "value": 199.0,
            "value_issue": None,
            "refunded": 0.0,
            "currency": "CNY",
            "path_length": 3,
            "first_channel": "paid_search",
            "last_channel": "direct",
            "is_bot": False,
        }
    ],
    "next_cursor": None,
    "meta": _META,
}


def _credit(conversions: float, value: float) -> dict[str, float]:
    return {"credited_conversions": conversions, "credited_value": value}


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
    "touch_id": "evt_01hm5rxqe0x5jw3kq8n4v2t6yz",
    "session_id": "ses_0b9c2f6f5d3e4a1b8c7d6e5f",
    "touched_at": "2024-01-15T18:20:00.000+08:00",
    "touch_type": "click",
    "channel": "paid_search",
    "source": "baidu",
    "medium": "cpc",
    "campaign": "spring",
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
ATTRIBUTION_PATH: Final = {
    "conversion": CONVERSION_LIST["items"][0],
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
    "meta": _META,
}
ATTRIBUTION: Final = {
    "dimension": "channel",
    "items": [
        {"key": "paid_search", "models": {"last_click": _credit(0, 0), "position_based": _credit(0.4, 79.6)}},
        {"key": "paid_social", "models": {"last_click": _credit(1, 199), "position_based": _credit(0.2, 39.8)}},
        {"key": "direct", "models": {"last_click": _credit(0, 0), "position_based": _credit(0.4, 79.6)}},
    ],
    "totals": {
        "conversions": 1,
        "value": 199.0,
        "refunded": 0.0,
        "models": {"last_click": _credit(1, 199), "position_based": _credit(1, 199)},
    },
    "by_goal": _by_goal(1, 199.0),
    "meta": _REPORT_META,
}
_USER: Final = {
    "id": "u_42",
    "user_id": "u_42",
    "linked_ids": ["a_7"],
    "first_seen": "2024-01-02T16:00:00.000+08:00",
    "last_seen": "2024-01-15T18:30:00.000+08:00",
    "sessions": 3,
    "events": 14,
    "page_views": 9,
    "conversions": 1,
    "values": {"CNY": 199.0},
    "first_channel": "paid_search",
    "last_channel": "direct",
    "is_bot": False,
}
USER_LIST: Final = {"items": [_USER], "next_cursor": None, "meta": _META}
USER_DETAIL: Final = {"user": _USER, "meta": _META}
_PERFORMANCE: Final = {
    "touches": 120,
    "clicks": 80,
    "impressions": 40,
    "sessions": 75,
    "users": 60,
    "conversions": 3,
    "value": 597.0,
    "refunded": 0.0,
    "conversion_rate": 0.04,
    "spend": 150.0,
    "models": {"last_click": {**_credit(3, 597), "cpa": 50.0, "roas": 3.98}},
}
_CHANGE: Final = {
    "touches": 0.2,
    "clicks": 0.142857,
    "impressions": 0.333333,
    "sessions": 0.25,
    "users": 0.2,
    "conversions": 0.5,
    "value": 0.5,
    "spend": None,
    "models": {"last_click": {"credited_conversions": 0.5, "credited_value": 0.5}},
}
PERFORMANCE: Final = {
    "dimension": "channel",
    "granularity": "day",
    "items": [{"period": "2024-01-15T00:00:00+08:00", "key": "paid_search", "change": None, **_PERFORMANCE}],
    "totals": _PERFORMANCE,
    "previous": {
        "from": "2024-01-14T00:00:00.000+08:00",
        "to": "2024-01-15T00:00:00.000+08:00",
        "items": [{"period": "2024-01-14T00:00:00+08:00", "key": "paid_search", "change": None, **_PERFORMANCE}],
        "totals": _PERFORMANCE,
    },
    "change": _CHANGE,
    "by_goal": _by_goal(3, 597.0),
    "spend_by_currency": {"CNY": 150.0, "USD": 20.0},
    "meta": _REPORT_META,
}
_GOAL: Final = {
    "conversions": 3,
    "users": 3,
    "value": 597.0,
    "refunded": 0.0,
    "conversion_rate": 0.05,
    "time_to_convert": {"p50_seconds": 86400.0, "p90_seconds": 604800.0},
    "path_lengths": [{"touches": 1, "conversions": 1}, {"touches": 3, "conversions": 2}],
    "first_channels": [{"channel": "paid_search", "conversions": 3}],
    "last_channels": [{"channel": "direct", "conversions": 2}, {"channel": "paid_search", "conversions": 1}],
    "top_paths": [{"channels": ["paid_search", "paid_social", "direct"], "conversions": 2, "value": 398.0}],
}
CONVERSION_REPORT: Final = {
    "items": [{"goal": "purchase", "display_name": "购买", "goal_type": "macro", "is_counted": True, **_GOAL}],
    "totals": _GOAL,
    "active_users": 60,
    "funnel": {
        "within_hours": 168,
        "steps": [
            {"event_name": "page_view", "users": 60, "rate": 1.0, "rate_of_step_before": None},
            {"event_name": "purchase", "users": 3, "rate": 0.05, "rate_of_step_before": 0.05},
        ],
    },
    "by_goal": _by_goal(3, 597.0),
    "meta": _REPORT_META,
}
