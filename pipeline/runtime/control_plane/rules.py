"""What the control plane accepts, and how its facts are written to rows and read back. Pure."""

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final
from zoneinfo import available_timezones

import msgspec

from pipeline.runtime.control_plane.errors import InvalidRecord
from schemas.control import ApiKey, App, AttributionSettings, Goal, Plan, Scope
from schemas.events import EVENT_NAME_PATTERN

_APP_ID: Final = re.compile(r"^[a-z0-9][a-z0-9_-]{0,63}\Z")
_CURRENCY: Final = re.compile(r"^[A-Z]{3}\Z")
_ORIGIN: Final = re.compile(
    r"^(?:\*|null|[a-z][a-z0-9+.-]*://(?:\*\.)?(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?)\Z"
)
"""As browsers write it (RFC 6454, section 6.2): no path, no trailing slash, in lower case."""
_MAX_ORIGINS: Final = 100
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_CHARACTERS: Final = 32
SECRET_BITS: Final = 190
"""log2(62 ** 32), rounded down."""
_SHOWN_CHARACTERS: Final = len("ak_live_") + 4


def check_app(app: App) -> None:
    """Raise `InvalidRecord` naming the first field that is not acceptable."""
    _require(bool(_APP_ID.match(app.app_id)), "app id", app.app_id, "lower-case letters, digits, _ and -, at most 64")
    _require(0 < len(app.name) <= 200, "name", app.name, "1 to 200 characters")
    _require(bool(_CURRENCY.match(app.currency)), "currency", app.currency, "an ISO 4217 code such as CNY")
    _require(app.timezone in available_timezones(), "timezone", app.timezone, "an IANA name such as Asia/Shanghai")
    _require(app.history_limit_days > 0, "history limit", app.history_limit_days, "1 day or more")
    _check_origins(app.allowed_origins)
    names = [goal.name for goal in app.goals]
    _require(len(set(names)) == len(names), "goals", names, "no name twice")
    for goal in app.goals:
        check_goal(goal)


def _check_origins(origins: tuple[str, ...]) -> None:
    _require(len(origins) <= _MAX_ORIGINS, "number of origins", len(origins), f"at most {_MAX_ORIGINS}")
    for origin in origins:
        expected = "an origin such as https://shop.example, https://*.shop.example or *"
        _require(len(origin) <= 255 and bool(_ORIGIN.match(origin)), "origin", origin, expected)


def check_goal(goal: Goal) -> None:
    """Raise `InvalidRecord` naming the first field that is not acceptable."""
    _require(bool(EVENT_NAME_PATTERN.match(goal.name)), "goal name", goal.name, "snake_case, at most 64 characters")
    _require(bool(EVENT_NAME_PATTERN.match(goal.event_name)), "event name", goal.event_name, "snake_case")
    _require(goal.goal_type in ("macro", "micro"), "goal type", goal.goal_type, "macro or micro")


def _require(is_met: bool, what: str, value: object, expected: str) -> None:
    if not is_met:
        raise InvalidRecord(f"{what} {value!r} is not acceptable: expected {expected}")


def format_secret(random_bits: int, *, is_test: bool) -> str:
    """A key: `ak_live_` or `ak_test_` and 32 base-62 digits of `random_bits` (`SECRET_BITS` of them)."""
    digits = []
    for _ in range(_SECRET_CHARACTERS):
        random_bits, digit = divmod(random_bits, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return ("ak_test_" if is_test else "ak_live_") + "".join(digits)


def secret_hash(secret: str) -> str:
    """What is stored of a key, and what an incoming one is looked up by."""
    return sha256(secret.encode()).hexdigest()


def shown_prefix(secret: str) -> str:
    """Enough of a key to recognise it in a list."""
    return secret[:_SHOWN_CHARACTERS]


def app_values(app: App) -> dict[str, Any]:
    return {
        "app_id": app.app_id,
        "name": app.name,
        "plan": app.plan.value,
        "currency": app.currency,
        "timezone": app.timezone,
        "history_limit_days": app.history_limit_days,
        "attribution": msgspec.to_builtins(app.attribution, str_keys=True),
        "allowed_origins": list(app.allowed_origins),
    }


def goal_values(app_id: str, goal: Goal, position: int) -> dict[str, Any]:
    return {
        "app_id": app_id,
        "name": goal.name,
        "display_name": goal.display_name,
        "goal_type": goal.goal_type,
        "event_name": goal.event_name,
        "value_properties": list(goal.value_properties),
        "position": position,
    }


def goal_from_row(row: Mapping[Any, Any]) -> Goal:
    return Goal(
        name=row["name"],
        display_name=row["display_name"],
        goal_type=row["goal_type"],
        event_name=row["event_name"],
        value_properties=tuple(row["value_properties"]),
    )


def app_from_row(row: Mapping[Any, Any], goals: Iterable[Goal]) -> App:
    return App(
        app_id=row["app_id"],
        name=row["name"],
        plan=Plan(row["plan"]),
        currency=row["currency"],
        timezone=row["timezone"],
        history_limit_days=row["history_limit_days"],
        goals=tuple(goals),
        attribution=msgspec.convert(row["attribution"], AttributionSettings),
        allowed_origins=tuple(row["allowed_origins"]),
    )


def key_from_row(row: Mapping[Any, Any]) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        app_id=row["app_id"],
        secret_sha256=row["secret_sha256"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        is_revoked=row["revoked_at_ms"] is not None,
    )
