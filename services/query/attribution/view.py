"""Rows of attribution as answers: the report with every model side by side, and one conversion explained. Pure.

The explanation has every touch before the conversion, kept or left out and why, and its weight.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Final

from msgspec.structs import asdict

from pipeline.domain.attribution.models import reasons
from pipeline.domain.attribution.path_limit import bounded
from pipeline.domain.state import Touch
from schemas.control import AttributionSettings
from schemas.facts import AttributionRow, Model, TouchHead, TouchType, path_of
from services.query.aggregates.counted_conversions import by_goal, goal_sums, report_meta
from services.query.aggregates.credit_sums import credits_by_model, shown_part
from services.query.aggregates.report_parts import ReportRow, part_of
from services.query.attribution.answers import (
    AttributionItem,
    AttributionPath,
    AttributionReport,
    AttributionRevision,
    PathTouch,
    SettingsUsed,
    TouchCredit,
    TouchShare,
)
from services.query.attribution.statements import CREDITS, AttributionQuery, RevisionFact
from services.query.conversions.answers import conversion_of
from services.query.conversions.statements import ConversionFact
from services.query.core.answers import Meta
from services.query.core.numbers import credit, micros_together, money, seconds
from services.query.core.times import time_in_zone
from services.query.touches.answers import touch_of
from services.query.touches.statements import TouchFact


def attribution_report(wanted: AttributionQuery, rows: list[ReportRow], meta: Meta) -> AttributionReport:
    """Build the report; items in the order of the first model's credit, greatest first."""
    currency, goals = wanted.counted.currency, by_goal(goal_sums(rows), wanted.counted)
    credits = shown_part(part_of(rows, CREDITS), wanted.models)
    counted = [row for row in goals if row["is_counted"]]
    items: list[AttributionItem] = [
        {"key": key or None, "models": credits_by_model(numbers, wanted.models, currency)}
        for (_, key), numbers in credits.numbers.items()
    ]
    first = wanted.models[0].value
    items.sort(key=lambda item: (-item["models"][first]["credited_conversions"], item["key"] or ""))
    return {
        "dimension": wanted.dimension.value,
        "items": items,
        "totals": {
            "conversions": sum(row["conversions"] for row in counted),
            "value": sum((row["value"] for row in counted), money(0, currency)),
            "refunded": sum((row["refunded"] for row in counted), money(0, currency)),
            "models": credits_by_model(credits.totals, wanted.models, currency),
        },
        "by_goal": goals,
        "meta": report_meta(meta, wanted.counted, goals),
    }


_DAY_MS: Final = 24 * 3600 * 1000
_DAY_SECONDS: Final = 24 * 3600


@dataclass(frozen=True)
class PathFacts:
    conversion: ConversionFact
    attribution: AttributionRow | None
    """Attribution of the conversion; None: the conversion is stored, its attribution not yet."""
    touches: list[TouchFact]
    """Touches of the person, up to the conversion."""
    revisions: list[RevisionFact]
    settings: AttributionSettings
    """Settings of the configuration the attribution was computed under."""


def attribution_path(facts: PathFacts, models: tuple[Model, ...], meta: Meta) -> AttributionPath:
    found, zone = facts.attribution, meta["timezone"]
    touches = sorted(
        [*_kept_touches(facts, models, zone), *_left_out(facts, zone)],
        key=lambda touch: (-touch["age_seconds"], touch["touch_id"] or ""),
    )
    return {
        "conversion": conversion_of(facts.conversion, zone),
        "revision": found.revision if found else None,
        "reason": found.reason if found else None,
        "supersedes": found.supersedes or None if found else None,
        "config_version": found.config_version if found else None,
        "settings": _settings_of(facts.settings),
        "touches": touches,
        "totals": _totals(found, models, facts.conversion.currency) if found else {},
        "revisions": [_revision(row, facts.conversion.currency, zone) for row in facts.revisions],
        "meta": meta,
    }


def _settings_of(settings: AttributionSettings) -> SettingsUsed:
    return {
        "window_days": {kind.value: days for kind, days in settings.window_days.items()},
        "half_life_days": settings.half_life_days,
        "position_weights": list(settings.position_weights),
        "direct_touch": settings.direct_touch,
        "session_gap_seconds": settings.session_gap_seconds,
    }


def _totals(found: AttributionRow, models: tuple[Model, ...], currency: str) -> dict[str, TouchCredit]:
    return {
        model.value: {
            "credit": credit(sum(micros_together(found.credits_nanos[model.value]))),
            "value": money(sum(found.values_minor[model.value]), currency),
        }
        for model in models
        if model.value in found.credits_nanos
    }


def _revision(row: RevisionFact, currency: str, zone: str) -> AttributionRevision:
    return {
        "revision": row.revision,
        "supersedes": row.supersedes or None,
        "reason": row.reason,
        "config_version": row.config_version,
        "value": money(row.value_minor, currency),
        "refunded": money(row.refunded_minor, currency),
        "touch_ids": [touch_id for touch_id in row.touch_ids if touch_id],
        "is_taken_back": row.is_taken_back,
        "at": time_in_zone(row.stored_at_ms or None, zone),
    }


def _kept_touches(facts: PathFacts, models: tuple[Model, ...], zone: str) -> list[PathTouch]:
    found = facts.attribution
    if found is None:
        return []
    sessions = {touch.touch_id: touch.session_id for touch in facts.touches}
    touches = [TouchFact(**asdict(touch), session_id=sessions.get(touch.touch_id, "")) for touch in path_of(found)]
    credits = _credits(found, models, facts)
    return [_path_touch(facts, touch, None, shares, zone) for touch, shares in zip(touches, credits, strict=True)]


def _credits(found: AttributionRow, models: tuple[Model, ...], facts: PathFacts) -> list[dict[str, TouchShare]]:
    """Return the credits, touch by touch."""
    touches: list[dict[str, TouchShare]] = [{} for _ in found.touch_ids]
    because = _reasons(found, facts.settings)
    for model in models:
        name = model.value
        if name in found.credits_nanos:
            shares = zip(
                micros_together(found.credits_nanos[name]), found.values_minor[name], because[name], strict=True
            )
            for touch, (micros, minor, reason) in zip(touches, shares, strict=True):
                value = money(minor, facts.conversion.currency)
                touch[name] = {"credit": credit(micros), "value": value, "because": reason}
    return touches


def _reasons(found: AttributionRow, settings: AttributionSettings) -> dict[str, list[str]]:
    if not any(found.touch_ids):
        return {model.value: ["no_touch"] * len(found.touch_ids) for model in Model}
    return reasons([_as_state(touch) for touch in path_of(found)], settings.direct_touch == "fallback")


def _left_out(facts: PathFacts, zone: str) -> list[PathTouch]:
    if facts.attribution is None:
        return []  # nothing has been decided yet
    kept_ids = set(facts.attribution.touch_ids)
    kept_contacts = {_contact(touch) for touch in facts.touches if touch.touch_id in kept_ids}
    folded = _folded(facts)
    return [
        _path_touch(facts, touch, why_left_out(facts, touch, folded, kept_contacts), {}, zone)
        for touch in facts.touches
        if touch.touch_id not in kept_ids
    ]


def _folded(facts: PathFacts) -> dict[str, str]:
    """Return the touches beyond those a path can hold, with the reason."""
    window_ms = {str(kind): days * _DAY_MS for kind, days in facts.settings.window_days.items()}
    dropped: dict[str, str] = {}
    bounded([_as_state(touch) for touch in reversed(facts.touches)], window_ms, dropped)
    return dropped


def _as_state(t: TouchHead) -> Touch:
    return Touch(t.touched_at_ms, t.touch_id, t.touch_type, t.channel, t.source, t.medium, t.campaign)


def _contact(touch: TouchFact) -> tuple[str, str, str]:
    """Return the key of a contact: of the touches that agree here a path takes one."""
    return touch.session_id, touch.channel, touch.campaign


def why_left_out(
    facts: PathFacts, touch: TouchFact, folded: Mapping[str, str], kept_contacts: Set[tuple[str, str, str]]
) -> str:
    """Return why a touch was left out. `folded`: id → the reason why a path cannot hold the touch beside the others."""
    window_days = _window_days(facts.settings, touch)
    age_ms = facts.conversion.converted_at_ms - touch.touched_at_ms
    if window_days is not None and age_ms > window_days * _DAY_MS:
        return "outside_window"
    if touch.touch_id in folded:
        return folded[touch.touch_id]
    return "same_contact" if _contact(touch) in kept_contacts else "not_counted"


def _window_days(settings: AttributionSettings, touch: TouchFact) -> int | None:
    return settings.window_days.get(TouchType(touch.touch_type)) if touch.touch_type in set(TouchType) else None


def _path_touch(
    facts: PathFacts, touch: TouchFact, left_out_because: str | None, credits: dict[str, TouchShare], zone: str
) -> PathTouch:
    window_days = _window_days(facts.settings, touch)
    return {
        **touch_of(touch, zone),
        "touch_id": touch.touch_id or None,
        "session_id": touch.session_id or None,
        "age_seconds": seconds(facts.conversion.converted_at_ms - touch.touched_at_ms),
        "window_seconds": None if window_days is None else window_days * _DAY_SECONDS,
        "is_kept": left_out_because is None,
        "left_out_because": left_out_because,
        "models": credits,
    }
