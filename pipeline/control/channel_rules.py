"""Changes of an app's channel rules, which are ordered. Pure; nothing is stored here."""

from dataclasses import replace

from pipeline.control.errors import UnknownRecord
from schemas.control import ChannelRule, ChannelSettings

FACTS = ("source", "medium", "campaign", "referrer", "landing_page")
"""Facts of an arrival that a rule can match with a pattern."""


def with_rule(settings: ChannelSettings, new: ChannelRule, before: str = "") -> ChannelSettings:
    """Add a rule before another, or last; without `before` one of its name is replaced where it stands."""
    names = [rule.name for rule in settings.rules]
    if before:
        _require(settings, before)
    if new.name in names and not before:
        return replace(settings, rules=tuple(new if rule.name == new.name else rule for rule in settings.rules))
    kept = [rule for rule in settings.rules if rule.name != new.name]
    at = next((i for i, rule in enumerate(kept) if rule.name == before), len(kept))
    return replace(settings, rules=(*kept[:at], new, *kept[at:]))


def without_rule(settings: ChannelSettings, name: str) -> ChannelSettings:
    _require(settings, name)
    return replace(settings, rules=tuple(rule for rule in settings.rules if rule.name != name))


def moved_rule(settings: ChannelSettings, name: str, by: int) -> ChannelSettings:
    """Move a rule `by` places down (negative: up), as far as there are places."""
    _require(settings, name)
    rules = list(settings.rules)
    at = next(i for i, rule in enumerate(rules) if rule.name == name)
    rule = rules.pop(at)
    rules.insert(max(0, at + by), rule)
    return replace(settings, rules=tuple(rules))


def conditions_text(rule: ChannelRule) -> str:
    return ", ".join(f"{fact}={value}" for fact in FACTS if (value := getattr(rule, fact)))


def _require(settings: ChannelSettings, name: str) -> None:
    if all(rule.name != name for rule in settings.rules):
        raise UnknownRecord("there is no rule %(rule)r", rule=name)
