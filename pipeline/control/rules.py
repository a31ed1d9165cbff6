"""Validation of the control plane's facts, and their form in rows. Pure."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final
from zoneinfo import available_timezones

from pipeline.control.errors import message, require
from pipeline.control.records import record_of, values_of
from schemas.control import (
    MICRO,
    ApiKey,
    App,
    AttributionSettings,
    ChannelRule,
    ChannelSettings,
    Goal,
    GoalCondition,
    Operator,
    PrivacySettings,
)
from schemas.currencies import CODES
from schemas.events import EVENT_NAME_PATTERN

_APP_ID: Final = re.compile(r"^[a-z0-9][a-z0-9_-]{0,63}\Z")
_ORIGIN: Final = re.compile(
    r"^(?:\*|null|[a-z][a-z0-9+.-]*://(?:\*\.)?(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?)\Z"
)
"""Pattern of an origin as browsers write it (RFC 6454, section 6.2): no path, no trailing slash, in lower case."""
_MAX_ORIGINS: Final = 100
_PARAMETER: Final = re.compile(r"^[A-Za-z0-9_.-]{1,64}\Z")
_MAX_PARAMETERS: Final = 200
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_CHARACTERS: Final = 32
SECRET_BITS: Final = 190
"""log2(62 ** 32), rounded down."""
MAX_GOALS: Final = 100
MAX_CONDITIONS: Final = 20
MAX_CHANNEL_RULES: Final = 100
MAX_CHANNEL_HOSTS: Final = 100
_HOST: Final = re.compile(r"^(?=.{1,253}\Z)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\Z")
MAX_WINDOW_DAYS: Final = 400
_ORDERING: Final = frozenset({Operator.GT, Operator.GTE, Operator.LT, Operator.LTE})
_SHOWN_CHARACTERS: Final = len("ak_live_") + 4


def check_app(app: App) -> None:
    """Raise `InvalidRecord` naming the first field that is not acceptable."""
    require(bool(_APP_ID.match(app.app_id)), "app id", app.app_id, "lower-case letters, digits, _ and -, at most 64")
    require(0 < len(app.name) <= 200, "name", app.name, "1 to 200 characters")
    require(app.currency in CODES, "currency", app.currency, "an ISO 4217 code such as CNY")
    require(app.timezone in available_timezones(), "timezone", app.timezone, "an IANA name such as Asia/Shanghai")
    require(app.history_limit_days > 0, "history limit", app.history_limit_days, "1 day or more")
    check_attribution(app.attribution)
    _check_origins(app.allowed_origins)
    _check_privacy(app.privacy)
    names = [goal.name for goal in app.goals]
    require(len(set(names)) == len(names), "goals", names, "no name twice")
    for goal in app.goals:
        check_goal(goal)


def _check_origins(origins: tuple[str, ...]) -> None:
    require(
        len(origins) <= _MAX_ORIGINS, "number of origins", len(origins), message("at most %(most)s", most=_MAX_ORIGINS)
    )
    for origin in origins:
        expected = message("an origin such as https://shop.example, https://*.shop.example or *")
        require(len(origin) <= 255 and bool(_ORIGIN.match(origin)), "origin", origin, expected)


def _check_privacy(settings: PrivacySettings) -> None:
    names = settings.dropped_parameters
    require(
        len(names) <= _MAX_PARAMETERS,
        "number of parameters",
        len(names),
        message("at most %(most)s", most=_MAX_PARAMETERS),
    )
    for name in names:
        require(bool(_PARAMETER.match(name)), "parameter", name, "letters, digits, _, - and ., at most 64")


def check_goal(goal: Goal) -> None:
    """Raise `InvalidRecord` naming the first field that is not acceptable."""
    require(bool(EVENT_NAME_PATTERN.match(goal.name)), "goal name", goal.name, "snake_case, at most 64 characters")
    require(bool(EVENT_NAME_PATTERN.match(goal.event_name)), "event name", goal.event_name, "snake_case")
    require(goal.goal_type in ("macro", "micro"), "goal type", goal.goal_type, "macro or micro")
    require(len(goal.display_name) <= 200, "display name", goal.display_name, "at most 200 characters")
    require(
        len(goal.conditions) <= MAX_CONDITIONS,
        "conditions",
        len(goal.conditions),
        message("at most %(most)s", most=MAX_CONDITIONS),
    )
    for condition in goal.conditions:
        _check_condition(condition)


def _check_condition(condition: GoalCondition) -> None:
    operator, value = condition.operator, condition.value
    what = message("value of %(operator)s", operator=operator)
    require(0 < len(condition.name) <= 200, "property", condition.name, "1 to 200 characters")
    if operator is Operator.EXISTS:
        require(value in (None, True, False), what, value, "none, true or false")
        return
    require(value is not None, what, value, "a text, a number, true or false")
    require(_fits_64_bits(value), what, value, "a number of at most 64 bits")
    require(len(str(value)) <= 1_000, what, value, "at most 1000 characters")
    is_orderable = isinstance(value, str | int | float) and not isinstance(value, bool)
    require(operator not in _ORDERING or is_orderable, what, value, "a number or a text")


def _fits_64_bits(value: str | float | bool | None) -> bool:
    """Tell whether a number is one that is compared and written alike everywhere. A text is no number."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**64
    return not isinstance(value, float) or math.isfinite(value)


def check_attribution(settings: AttributionSettings) -> None:
    """Raise `InvalidRecord` naming the first setting that is not acceptable."""
    gap, lateness = settings.session_gap_seconds, settings.allowed_lateness_seconds
    require(0 < gap <= 86_400, "session gap", gap, "1 second to 1 day")
    require(0 <= lateness <= 30 * 86_400, "allowed lateness", lateness, "0 seconds to 30 days")
    for kind, days in settings.window_days.items():
        require(
            0 <= days <= MAX_WINDOW_DAYS,
            message("window of %(kind)s", kind=kind),
            days,
            message("0 to %(most)s days", most=MAX_WINDOW_DAYS),
        )
    require(
        0 < settings.half_life_days <= MAX_WINDOW_DAYS,
        "half-life",
        settings.half_life_days,
        message("up to %(most)s days", most=MAX_WINDOW_DAYS),
    )
    weights = settings.position_weights
    require(all(0 <= weight <= 1 for weight in weights), "position weights", weights, "three numbers from 0 to 1")
    require(
        settings.direct_touch in ("include", "fallback"), "direct touch", settings.direct_touch, "include, fallback"
    )
    _check_channels(settings.channels)


def _check_channels(settings: ChannelSettings) -> None:
    own = message("own domain"), message("number of own domains"), settings.own_domains
    ignored = message("ignored referrer"), message("number of ignored referrers"), settings.ignored_referrers
    for what, number, hosts in (own, ignored):
        require(
            len(hosts) <= MAX_CHANNEL_HOSTS, number, len(hosts), message("at most %(most)s", most=MAX_CHANNEL_HOSTS)
        )
        for host in hosts:
            require(bool(_HOST.match(host)), what, host, "a host in lower case, such as shop.example")
    rules = settings.rules
    require(
        len(rules) <= MAX_CHANNEL_RULES,
        "number of channel rules",
        len(rules),
        message("at most %(most)s", most=MAX_CHANNEL_RULES),
    )
    names = [rule.name for rule in rules]
    require(len(set(names)) == len(names), "channel rules", names, "no name twice")
    for rule in rules:
        _check_channel_rule(rule)


def _check_channel_rule(rule: ChannelRule) -> None:
    require(bool(EVENT_NAME_PATTERN.match(rule.name)), "rule name", rule.name, "snake_case, at most 64 characters")
    require(bool(EVENT_NAME_PATTERN.match(rule.channel)), "channel", rule.channel, "snake_case, at most 64 characters")
    require(len(rule.new_source) <= 200, "source", rule.new_source, "at most 200 characters")
    patterns = [rule.source, rule.medium, rule.campaign, rule.referrer, rule.landing_page]
    require(any(patterns), "rule", rule.name, "one pattern at least")
    for pattern in patterns:
        is_fit = len(pattern) <= 200 and pattern.count("*") <= 10
        require(is_fit, "pattern", pattern, "at most 200 characters, of which 10 may be *")


def format_secret(random_bits: int, *, is_test: bool) -> str:
    """A key: `ak_live_` or `ak_test_` and 32 base-62 digits of `random_bits` (`SECRET_BITS` of them)."""
    digits = []
    for _ in range(_SECRET_CHARACTERS):
        random_bits, digit = divmod(random_bits, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return ("ak_test_" if is_test else "ak_live_") + "".join(digits)


def secret_hash(secret: str) -> str:
    """Return the hash that is stored of a key, and by which an incoming one is looked up."""
    return sha256(secret.encode()).hexdigest()


def shown_prefix(secret: str) -> str:
    """Enough of a key to recognise it in a list."""
    return secret[:_SHOWN_CHARACTERS]


def app_values(app: App) -> dict[str, Any]:
    values = values_of(app)
    del values["goals"], values["retired_micro_goals"]  # they are rows of their own
    return values


def goal_values(app_id: str, goal: Goal, position: int) -> dict[str, Any]:
    return values_of(goal) | {"app_id": app_id, "position": position}


def goal_definition(goal: Goal) -> dict[str, Any]:
    """Return the definition of a goal: all of it but its name and version."""
    definition = values_of(goal)
    del definition["name"], definition["version"]
    return definition


def app_from_row(row: Mapping[Any, Any], goals: Iterable[Goal], retired: Iterable[Goal] = ()) -> App:
    goals = tuple(goals)
    names = {goal.name for goal in goals}
    micro = tuple(goal.name for goal in retired if goal.goal_type == MICRO and goal.name not in names)
    return replace(record_of(App, row), goals=goals, retired_micro_goals=micro)


def key_from_row(row: Mapping[Any, Any]) -> ApiKey:
    return record_of(ApiKey, {**row, "is_revoked": row["revoked_at_ms"] is not None})
