"""One conversion explained: every touch before it, kept or left out and why, and what each one weighs. Pure."""

from collections.abc import Set
from dataclasses import dataclass
from itertools import repeat
from typing import Final

import msgspec

from schemas.control import AttributionSettings
from schemas.facts import Model, TouchType
from services.query.answers import AttributionPath, Meta, PathTouch, TouchCredit
from services.query.conversions import ConversionFact, conversion_of
from services.query.numbers import credit, money, seconds
from services.query.sql import Condition, Statement, Table, columns, equals, source, statement
from services.query.times import utc_text

MAX_TOUCHES: Final = 1_000
"""Of a person before a conversion, the newest; a path itself is never cut."""
_DAY_MS: Final = 24 * 3600 * 1000


class AttributionFact(msgspec.Struct):
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
    revision: int
    supersedes: int
    config_version: int


class TouchFact(msgspec.Struct):
    touch_id: str
    session_id: str
    touched_at_ms: int
    touch_type: str
    channel: str
    source: str
    medium: str
    campaign: str


@dataclass(frozen=True)
class PathFacts:
    conversion: ConversionFact
    attribution: AttributionFact | None
    """None: the conversion is there, its attribution not yet."""
    touches: list[TouchFact]


def find_attribution(app_id: str, conversion_id: str) -> Statement[AttributionFact]:
    conditions = equals("conversion_id", conversion_id)
    sql = f"SELECT {columns(AttributionFact)} FROM {source(Table.ATTRIBUTIONS, conditions)} LIMIT 1"
    return statement(AttributionFact, app_id, sql, conditions)


def touches_before(app_id: str, conversion: ConversionFact) -> Statement[TouchFact]:
    """The person's touches up to the conversion, newest first."""
    conditions = [
        *equals("person_key", conversion.person_key),
        Condition("touched_at_ms <= {converted_at_ms:Int64}", {"converted_at_ms": conversion.converted_at_ms}),
    ]
    sql = (
        f"SELECT {columns(TouchFact)} FROM {source(Table.TOUCHES, conditions)}"
        f" ORDER BY touched_at_ms DESC, touch_id DESC LIMIT {MAX_TOUCHES}"
    )
    return statement(TouchFact, app_id, sql, conditions)


def attribution_path(
    facts: PathFacts, models: tuple[Model, ...], settings: AttributionSettings, meta: Meta
) -> AttributionPath:
    kept = _kept_touches(facts, models)
    touches = sorted(
        [*kept, *_left_out(facts, settings)], key=lambda touch: (touch["touched_at"], touch["touch_id"] or "")
    )
    return {
        "conversion": conversion_of(facts.conversion),
        "revision": facts.attribution.revision if facts.attribution else None,
        "reason": facts.attribution.reason if facts.attribution else None,
        "supersedes": facts.attribution.supersedes or None if facts.attribution else None,
        "config_version": facts.attribution.config_version if facts.attribution else None,
        "touches": touches,
        "meta": meta,
    }


def _kept_touches(facts: PathFacts, models: tuple[Model, ...]) -> list[PathTouch]:
    found = facts.attribution
    if found is None:
        return []
    touches = map(
        TouchFact,
        found.touch_ids,
        repeat(""),
        found.touched_at_ms,
        found.touch_types,
        found.channels,
        found.sources,
        found.mediums,
        found.campaigns,
    )
    return [
        _path_touch(facts.conversion, touch, None, _credits(found, index, models, facts.conversion.currency))
        for index, touch in enumerate(touches)
    ]


def _credits(found: AttributionFact, index: int, models: tuple[Model, ...], currency: str) -> dict[str, TouchCredit]:
    return {
        model.value: {
            "credit": credit(found.credits_nanos[model.value][index]),
            "value": money(found.values_minor[model.value][index], currency),
        }
        for model in models
        if model.value in found.credits_nanos
    }


def _left_out(facts: PathFacts, settings: AttributionSettings) -> list[PathTouch]:
    if facts.attribution is None:
        return []  # nothing has been decided yet
    kept_ids = set(facts.attribution.touch_ids)
    kept_contacts = {_contact(touch) for touch in facts.touches if touch.touch_id in kept_ids}
    others = [touch for touch in facts.touches if touch.touch_id not in kept_ids]
    return [
        _path_touch(facts.conversion, touch, why_left_out(facts.conversion, touch, settings, kept_contacts), {})
        for touch in others
    ]


def _contact(touch: TouchFact) -> tuple[str, str, str]:
    """Of the touches that agree here a path takes one."""
    return touch.session_id, touch.channel, touch.campaign


def why_left_out(
    conversion: ConversionFact,
    touch: TouchFact,
    settings: AttributionSettings,
    kept_contacts: Set[tuple[str, str, str]],
) -> str:
    """By the app's windows as they are now."""
    known = touch.touch_type in set(TouchType)
    window_days = settings.window_days.get(TouchType(touch.touch_type)) if known else None
    if window_days is not None and conversion.converted_at_ms - touch.touched_at_ms > window_days * _DAY_MS:
        return "outside_window"
    return "same_contact" if _contact(touch) in kept_contacts else "not_counted"


def _path_touch(
    conversion: ConversionFact, touch: TouchFact, left_out_because: str | None, credits: dict[str, TouchCredit]
) -> PathTouch:
    return {
        "touch_id": touch.touch_id or None,
        "touched_at": utc_text(touch.touched_at_ms),
        "touch_type": touch.touch_type or None,
        "channel": touch.channel or None,
        "source": touch.source or None,
        "medium": touch.medium or None,
        "campaign": touch.campaign or None,
        "age_seconds": seconds(conversion.converted_at_ms - touch.touched_at_ms),
        "is_kept": left_out_because is None,
        "left_out_because": left_out_because,
        "models": credits,
    }
