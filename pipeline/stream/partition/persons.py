"""Persons of one partition: their states, the rules they are judged by, and how far time has come."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.domain.context import NO_PLACE, PersonContext, Place
from pipeline.domain.effects import Effects
from pipeline.domain.rules import AppRules
from pipeline.domain.watermark import Watermark
from pipeline.stream.partition.state_cache import LiveStates

SEPARATOR: Final = "\x1f"
"""Between app id and person key in a state's key."""


@dataclass(frozen=True, slots=True)
class Persons:
    partition: int
    states: LiveStates
    rules: Mapping[str, AppRules]
    """By app id."""
    watermark: Watermark

    def rules_of(self, key: str) -> AppRules:
        return self.rules[key[: key.index(SEPARATOR)]]

    def context(self, key: str, effects: Effects, place: Place = NO_PLACE) -> PersonContext:
        """The context in which something is applied to a person whose state was fetched."""
        app_id, _, person = key.partition(SEPARATOR)
        state, rules, at_ms = self.states.hot[key], self.rules[app_id], self.watermark.value_ms
        return PersonContext(state, app_id, person, rules, at_ms, effects, place)
